import { Worker } from 'node:worker_threads';
import type { RenderedDocument, Renderer, RenderRequest } from '../../change/renderer.js';
import { CountersignError, type ErrorCode, type Place } from '../../errors.js';
import { builtFile, programVersion, renderModule } from './program.js';

export interface RendererOptions {
  /** Milliseconds for one folder, the start of the program (1 s) not counted. */
  readonly timeLimit?: number;
  /** Of memory, 64 KiB each. */
  readonly maxPages?: number;
}

interface Answer {
  readonly documents?: readonly RenderedDocument[] | null;
  readonly fault?: {
    readonly code: string;
    readonly message: string;
    readonly file?: string;
    readonly line?: number;
    readonly remedy?: string;
  };
}

const IDLE = 15_000;
const CODES: Readonly<Record<string, ErrorCode>> = { random: 'render-refused', remote: 'render-refused' };

/** Kustomize and Helm in a worker thread that is started when first needed and stopped when idle. */
export class SandboxRenderer implements Renderer {
  private known: string | undefined;
  private worker: Worker | undefined;
  private queue: Promise<unknown> = Promise.resolve();
  private idle: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: RendererOptions = {}) {}

  /** Read when first wanted: who renders nothing needs no renderer that was built. */
  get version(): string {
    return (this.known ??= programVersion());
  }

  render(request: RenderRequest): Promise<readonly RenderedDocument[]> {
    // One at a time: the program has one thread, and a request's time must not count another's.
    const turn = this.queue.then(() => this.run(request));
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.rest();
  }

  private async run({ op, dir, files, helm, origins }: RenderRequest): Promise<readonly RenderedDocument[]> {
    if (this.closed) throw new CountersignError('internal', 'the renderer is closed');
    clearTimeout(this.idle);
    const content = Object.fromEntries([...files].map(([path, bytes]) => [path, bytes.toString('base64')]));
    const worker = (this.worker ??= await this.start());
    worker.ref();
    try {
      const includeCRDs = helm?.includeCRDs ?? true;
      const text = await this.exchange(worker, JSON.stringify({ op, dir, files: content, helm: { ...helm, includeCRDs }, origins })); // prettier-ignore
      const { documents, fault } = JSON.parse(text) as Answer;
      if (!fault) return documents ?? [];
      if (fault.code === 'panic') throw crashed(dir, new Error(fault.message));
      throw failed(dir, fault);
    } catch (error) {
      if (!(error instanceof CountersignError) || error.code === 'render-limit') {
        this.worker = undefined; // its state is unknown
        await worker.terminate();
      }
      throw error instanceof CountersignError ? error : crashed(dir, error);
    } finally {
      worker.unref();
      this.idle = setTimeout(() => void this.rest(), IDLE).unref();
    }
  }

  private exchange(worker: Worker, request: string): Promise<string> {
    const limit = this.options.timeLimit ?? 60_000;
    return new Promise<string>((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        worker.off('message', answered).off('error', reject_).off('exit', ended);
        settle();
      };
      const answered = (text: string) => finish(() => resolve(text));
      const reject_ = (error: Error) => finish(() => reject(error));
      const ended = () => finish(() => reject(new Error('the thread ended')));
      const timer = setTimeout(() => finish(() => reject(tooSlow(limit))), limit);
      worker.on('message', answered).on('error', reject_).on('exit', ended);
      worker.postMessage(request);
    });
  }

  private async start(): Promise<Worker> {
    const module = await renderModule(this.options.maxPages ?? 12_288);
    const worker = new Worker(builtFile('renderer-worker.js'), {
      workerData: { module },
      execArgv: [],
    });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.on('error', reject); // stays: an error nobody listens to would end the process
    }).catch((cause: unknown) => {
      if (cause instanceof CountersignError) throw cause;
      throw new CountersignError('internal', 'the renderer of Kustomize and Helm does not start', { cause });
    });
    return worker;
  }

  private async rest(): Promise<void> {
    clearTimeout(this.idle);
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
  }
}

function failed(dir: string, { code, message, file, line, remedy }: NonNullable<Answer['fault']>): CountersignError {
  const at = file ? { file, ...(line ? { line } : {}) } : (templateOf(dir, message) ?? { file: dir || '.' });
  return new CountersignError(CODES[code] ?? 'render-failed', plain(message), {
    place: at,
    remedy: remedy || 'Correct the files; kustomize build and helm template say the same',
  });
}

/** Helm names the template first: `template: chart/templates/x.yaml:3:4: …`. The chart's folder may have another name. */
function templateOf(dir: string, message: string): Place | undefined {
  const found = /(?:template:?|error at|on|in) \(?([\w.-]+\/(?:templates|charts)\/[\w./-]+)(?::(\d+))?/.exec(message);
  if (!found) return undefined;
  const file = `${dir === '' ? '' : `${dir}/`}${found[1].slice(found[1].indexOf('/') + 1)}`;
  return { file, ...(found[2] !== undefined && { line: Number(found[2]) }) };
}

/** One line without what a Secret may hold: Kustomize quotes the literal it could not split (invariant 10). */
function plain(message: string): string {
  const line = message
    .replace(/invalid literal source .*/s, 'invalid literal source')
    .replace(/\s+/g, ' ')
    .trim();
  // The cause stands at the end of a long chain.
  return line.length > 600 ? `${line.slice(0, 200)} … ${line.slice(-350)}` : line;
}

function tooSlow(limit: number): CountersignError {
  return new CountersignError('render-limit', `rendering took more than ${limit / 1000} s`, {
    remedy: 'Look for loops in its templates, or split it',
  });
}

function crashed(dir: string, cause: unknown): CountersignError {
  return new CountersignError('render-limit', 'rendering ran out of memory or crashed', {
    place: { file: dir || '.' },
    remedy: 'Look for recursion or very large values in its files',
    cause,
  });
}
