import { Worker } from 'node:worker_threads';
import { CountersignError, type Place } from '../../errors.js';
import { STARTER_PREFIX } from '../../policy/bundle.js';
import { builtFile } from './program.js';

export interface ThreadOptions {
  /** Milliseconds of processor time for one request, the start of the program (1 s) not counted. */
  readonly timeLimit?: number;
  /** 64 KiB each. */
  readonly maxPages?: number;
  /** Folder below which tests may read files with Conftest's `parse_config_file`; without it they have none of Conftest's functions. */
  readonly testsBelow?: string;
}

/** What is wrong with one place of the sources. */
export interface Fault {
  readonly code: string;
  readonly message: string;
  readonly file?: string;
  readonly row?: number;
  readonly col?: number;
  readonly remedy?: string;
}

/** What request.go reads. */
export interface Asked {
  readonly op: string;
  readonly files: Readonly<Record<string, string>>;
  readonly [more: string]: unknown;
}

export interface Reply<Answer> {
  readonly json: Answer;
  readonly wasm: Uint8Array;
}

/** Milliseconds. */
const IDLE = 15_000;
/** How many times its limit a request may take by the clock. */
const WAITING_FACTOR = 20;

/**
 * The thread of OPA's compiler, started when first needed and stopped when idle. `Answer` is the JSON part of what it answers.
 */
export class CompilerThread<Answer extends { readonly faults?: readonly Fault[] }> {
  private worker: Worker | undefined;
  private queue: Promise<unknown> = Promise.resolve();
  private idle: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: ThreadOptions) {}

  /**
   * One at a time: the program has one thread, and a request's time must not count another's. Throws `rego-invalid`, `policy-timeout`
   * and `policy-memory`; the next request is served normally.
   */
  request(request: Asked): Promise<Reply<Answer>> {
    const turn = this.queue.then(() => this.run(request));
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  private async run(request: Asked): Promise<Reply<Answer>> {
    if (this.closed) throw new CountersignError('internal', 'the Rego compiler is closed');
    clearTimeout(this.idle);
    const worker = (this.worker ??= await this.start());
    worker.ref();
    try {
      const reply = await this.exchange(worker, request);
      if (reply.json.faults?.length) throw invalid(reply.json.faults);
      return reply;
    } catch (error) {
      if (!(error instanceof CountersignError) || error.code !== 'rego-invalid') {
        this.worker = undefined; // its state is unknown
        await worker.terminate();
      }
      throw error;
    } finally {
      worker.unref();
      this.idle = setTimeout(() => void this.rest(), IDLE).unref();
    }
  }

  private exchange(worker: Worker, request: Asked): Promise<Reply<Answer>> {
    const limit = this.options.timeLimit ?? 60_000;
    return new Promise<Reply<Answer>>((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearInterval(watch);
        worker.off('message', answered).off('error', failed);
        settle();
      };
      const answered = (reply: Reply<Answer>) => finish(() => resolve(reply));
      const failed = (error: Error) => finish(() => reject(crashed(error, request)));
      const watch = setInterval(
        stopwatch(worker, limit, () => finish(() => reject(tooSlow(limit, request)))),
        limit / 16,
      );
      worker.on('message', answered).on('error', failed);
      worker.postMessage({ request });
    });
  }

  private async start(): Promise<Worker> {
    const worker = new Worker(builtFile('compiler-worker.js'), {
      workerData: { maxPages: this.options.maxPages ?? 16_384, testsBelow: this.options.testsBelow },
      execArgv: [],
    });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.on('error', reject); // stays: an error nobody listens to would end the process
    });
    return worker;
  }

  /** Gives its memory back; the next request starts the program again. */
  async rest(): Promise<void> {
    const { worker } = this;
    clearTimeout(this.idle);
    this.worker = undefined;
    await worker?.terminate();
  }

  /** The same for good. */
  async close(): Promise<void> {
    this.closed = true;
    await this.rest();
  }
}

/**
 * To be called now and then. Calls `late` when the thread has computed for `limit` milliseconds of processor time, so that a busy machine
 * refuses no more than an idle one does; or, since what waits for ever computes nothing, long after that by the clock.
 */
function stopwatch(worker: Worker, limit: number, late: () => void): () => void {
  const began = performance.now();
  let first: number | undefined;
  return () => {
    if (performance.now() - began >= WAITING_FACTOR * limit) return late();
    void processorTime(worker).then((used) => {
      first ??= used;
      return used - first >= limit ? late() : undefined;
    });
  };
}

/** Milliseconds. */
async function processorTime(worker: Worker): Promise<number> {
  try {
    const { user, system } = await worker.cpuUsage();
    return (user + system) / 1000;
  } catch {
    return 0; // it has ended, which is heard of elsewhere
  }
}

function invalid(faults: readonly Fault[]): CountersignError {
  const first = faults[0];
  const others = faults.slice(1).map(({ file, row, message, remedy }) => {
    const advice = remedy === undefined || remedy === first.remedy ? '' : ` (${remedy})`;
    return `${file === undefined ? '' : `${file}:${row} `}${message}${advice}`;
  });
  const also = others.length > 0 ? ` (also: ${others.join('; ')})` : '';
  return new CountersignError('rego-invalid', first.message + also, {
    place: first.file === undefined ? undefined : { file: first.file, line: first.row, column: first.col },
    remedy: first.remedy ?? 'Correct the policy; countersign policy check PATH shows every fault',
  });
}

function tooSlow(limit: number, { files }: Asked): CountersignError {
  return new CountersignError('policy-timeout', `the policy took more than ${limit / 1000} s to compile or test`, {
    place: largest(files),
    remedy: 'Look for tests that never end, or generated Rego of great size; the place told is the largest file',
  });
}

function crashed(cause: Error, { files }: Asked): CountersignError {
  if (cause instanceof CountersignError) return cause;
  return new CountersignError('policy-memory', 'the Rego compiler ran out of memory or crashed on these sources', {
    place: largest(files),
    remedy:
      'Look for tests that build very large values, or generated Rego of great size or depth; the place told is the largest file',
    cause,
  });
}

/** What never came back cannot say where it was; most often it is the largest file of those that are not ours. */
function largest(files: Asked['files']): Place | undefined {
  const sizes = Object.entries(files).filter(([file]) => !file.startsWith(STARTER_PREFIX));
  const [first] = sizes.toSorted(([, a], [, b]) => b.length - a.length);
  return first && { file: first[0] };
}
