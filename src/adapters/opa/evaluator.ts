import { Worker } from 'node:worker_threads';
import { CountersignError } from '../../errors.js';
import type { PolicyBundle } from '../../policy/bundle.js';
import type { Evaluator, RuleResult } from '../../policy/evaluator.js';
import { builtFile } from './program.js';
import { RUNNING, SLOT, type Failure, type FromWorker, type Job, type ThreadData } from './protocol.js';

export interface EvaluatorOptions {
  /** Threads, 2 by default: while one is held up by a policy without end, the other still serves. */
  readonly threads?: number;
  /** Milliseconds of processor time for one object, or for the change-scoped rules once. */
  readonly timeLimit?: number;
  /** Milliseconds of processor time for all of one input. */
  readonly totalLimit?: number;
  /** 64 KiB each; 128 MiB by default. */
  readonly maxPages?: number;
}

interface Task {
  readonly bundle: PolicyBundle;
  readonly input: string;
  readonly resolve: (result: readonly RuleResult[] | CountersignError) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly progress: Int32Array;
  /** Digests of bundles it has. */
  readonly bundles: Set<string>;
  /** What it works on; empty when idle. */
  tasks: readonly Task[];
  /** For the watch: what was last seen. */
  phase: number;
  step: number;
  /** Milliseconds of processor time that it took, all in all, and up to where that was counted. */
  used: number;
  counted: number;
  stepTime: number;
  /** Milliseconds of the clock. */
  stepWait: number;
  item: number;
  itemTime: number;
}

/** As many inputs as one message carries: enough to make its cost small, not so many that a failure repeats much work. */
const BATCH = 64;
const BATCH_CHARACTERS = 2_000_000;
/** For reading and compiling the Go program where a policy needs one of its builtins. */
const LOADING_LIMIT = 60_000;
/** How many times its limit a step may take by the clock. */
const WAITING_FACTOR = 20;
const KEPT_MODULES = 16;

/** A pool of threads that evaluate compiled policy, each under limits of time and memory. */
export class RegoEvaluator implements Evaluator {
  private readonly threads: Thread[] = [];
  private readonly queue: Task[] = [];
  private readonly modules = new Map<string, Promise<WebAssembly.Module>>();
  private watch: NodeJS.Timeout | undefined;
  private looked = 0;
  private scheduled = false;
  private closed = false;

  constructor(private readonly options: EvaluatorOptions = {}) {}

  async evaluate(bundle: PolicyBundle, input: string): Promise<readonly RuleResult[]> {
    const [result] = await this.evaluateMany(bundle, [input]);
    if (result instanceof CountersignError) throw result;
    return result;
  }

  evaluateMany(bundle: PolicyBundle, inputs: readonly string[]): Promise<(readonly RuleResult[] | CountersignError)[]> {
    if (this.closed) throw new CountersignError('internal', 'the evaluator is closed');
    const results = inputs.map((input) => new Promise<readonly RuleResult[] | CountersignError>((resolve) => this.queue.push({ bundle, input, resolve }))); // prettier-ignore
    this.schedule();
    return Promise.all(results);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.watch);
    const closed = new CountersignError('policy-failed', 'the evaluator was closed', { retry: true });
    for (const task of [...this.queue, ...this.threads.flatMap((thread) => thread.tasks)]) task.resolve(closed);
    this.queue.length = 0;
    await Promise.all(this.threads.splice(0).map((thread) => thread.worker.terminate()));
  }

  /** In a microtask, so that evaluations asked for at one time share a message. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      void this.dispatch();
    });
  }

  private async dispatch(): Promise<void> {
    while (this.queue.length > 0 && !this.closed) {
      const thread = this.idleThread();
      if (!thread) return; // asked again when one has finished
      const tasks = this.takeBatch();
      thread.tasks = tasks; // taken, before anything is awaited
      const { bundle } = tasks[0];
      let job: Job = { digest: bundle.digest, inputs: tasks.map((task) => task.input) };
      try {
        if (!thread.bundles.has(bundle.digest)) {
          const module = await this.module(bundle);
          job = { ...job, bundle: { module, data: JSON.stringify(bundle.data), outputs: bundle.outputs } };
          thread.bundles.add(bundle.digest);
        }
      } catch (cause) {
        const error = new CountersignError('policy-failed', 'the compiled policy is no Wasm module', { cause });
        this.finish(thread, tasks.map(() => error)); // prettier-ignore
        continue;
      }
      if (this.closed) return;
      this.send(thread, job);
    }
  }

  private send(thread: Thread, job: Job): void {
    thread.stepTime = thread.itemTime = thread.stepWait = 0;
    thread.step = thread.item = -1; // the first look at a job starts the count, whatever the last one was at
    thread.worker.ref();
    thread.worker.postMessage(job);
    if (this.watch === undefined) {
      this.looked = performance.now();
      this.watch = setInterval(() => this.look(), this.interval);
    }
  }

  /** The next inputs of one bundle, shared fairly among the threads. */
  private takeBatch(): Task[] {
    const share = Math.ceil(this.queue.length / this.threadCount);
    const { bundle } = this.queue[0];
    let count = 0;
    for (let characters = 0; count < Math.min(BATCH, share); count++) {
      const task = this.queue[count];
      characters += task?.input.length ?? 0;
      if (task?.bundle.digest !== bundle.digest || (count > 0 && characters > BATCH_CHARACTERS)) break;
    }
    return this.queue.splice(0, count);
  }

  private get interval(): number {
    return Math.max(10, Math.min((this.options.timeLimit ?? 2000) / 4, 250));
  }

  private get threadCount(): number {
    return this.options.threads ?? 2;
  }

  private module(bundle: PolicyBundle): Promise<WebAssembly.Module> {
    let module = this.modules.get(bundle.wasmDigest);
    if (!module) {
      if (this.modules.size >= KEPT_MODULES) this.modules.delete(this.modules.keys().next().value!);
      module = WebAssembly.compile(bundle.wasm as Uint8Array<ArrayBuffer>);
      this.modules.set(bundle.wasmDigest, module);
    }
    return module;
  }

  private idleThread(): Thread | undefined {
    const idle = this.threads.find((thread) => thread.tasks.length === 0);
    if (idle || this.threads.length >= this.threadCount) return idle;
    const shared = new SharedArrayBuffer(4 * Object.keys(SLOT).length);
    const maxPages = this.options.maxPages ?? 2048;
    const worker = new Worker(builtFile('evaluator-worker.js'), {
      workerData: { maxPages, shared } satisfies ThreadData,
      execArgv: [],
      // What builtins in JavaScript may take: the guest's memory is outside of it.
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    const thread: Thread = {
      worker,
      progress: new Int32Array(shared),
      bundles: new Set(),
      tasks: [],
      phase: 0,
      step: 0,
      used: 0,
      counted: 0,
      stepTime: 0,
      stepWait: 0,
      item: -1,
      itemTime: 0,
    };
    worker.on('message', ({ results }: FromWorker) => this.finish(thread, results.map(fromFailure)));
    worker.on('error', (error) => void this.lose(thread, crashed(error)));
    worker.unref();
    this.threads.push(thread);
    return thread;
  }

  private finish(thread: Thread, results: readonly (readonly RuleResult[] | CountersignError)[]): void {
    const { tasks } = thread;
    thread.tasks = [];
    thread.worker.unref();
    this.watchNoMore();
    for (let i = 0; i < tasks.length; i++) tasks[i].resolve(results[i]);
    this.schedule();
  }

  /** Ends a thread. The input it was at fails; the others of its batch go back to the head of the queue. */
  private async lose(thread: Thread, error: CountersignError): Promise<void> {
    const at = this.threads.indexOf(thread);
    if (at < 0) return;
    this.threads.splice(at, 1);
    const item = Math.min(Atomics.load(thread.progress, SLOT.item), thread.tasks.length - 1);
    const [failed] = thread.tasks.slice(item, item + 1);
    this.queue.unshift(...thread.tasks.filter((task) => task !== failed));
    thread.tasks = [];
    failed?.resolve(error);
    this.watchNoMore();
    this.schedule();
    await thread.worker.terminate();
  }

  private watchNoMore(): void {
    if (this.threads.some((thread) => thread.tasks.length > 0)) return;
    clearInterval(this.watch);
    this.watch = undefined;
  }

  private look(): void {
    const now = performance.now();
    const passed = now - this.looked;
    this.looked = now;
    const limit = this.options.timeLimit ?? 2000;
    const total = this.options.totalLimit ?? 30 * limit;
    for (const thread of this.threads.slice()) {
      if (thread.tasks.length === 0) continue;
      observe(thread);
      thread.stepWait += passed;
      // Starting a thread and loading a bundle are our time, not the policy's.
      const running = thread.phase === RUNNING;
      // Whatever neither ends nor computes is ended all the same, though long after.
      const late = thread.stepWait > WAITING_FACTOR * limit + LOADING_LIMIT;
      if (thread.stepTime > (running ? limit : LOADING_LIMIT) || late) void this.lose(thread, tooSlow(limit));
      else if (running && thread.itemTime > total) void this.lose(thread, tooSlow(total));
    }
  }
}

/**
 * Counts processor time, not the clock's: on a busy machine a policy is given as much work as on an idle one, so that what is
 * judged does not depend on what else runs there. Asked of the thread now, known at the next look.
 */
function observe(thread: Thread): void {
  const [phase = 0, item = 0, step = 0] = [SLOT.phase, SLOT.item, SLOT.step].map((slot) =>
    Atomics.load(thread.progress, slot),
  );
  const passed = thread.used - thread.counted;
  thread.counted = thread.used;
  const same = phase === thread.phase;
  const sameStep = same && step === thread.step;
  thread.stepTime = sameStep ? thread.stepTime + passed : 0;
  if (!sameStep) thread.stepWait = 0;
  thread.itemTime = same && item === thread.item ? thread.itemTime + passed : 0;
  Object.assign(thread, { phase, item, step });
  thread.worker.cpuUsage().then(
    ({ user, system }) => (thread.used = (user + system) / 1000),
    () => {}, // it has ended; whoever ended it tells why
  );
}

function fromFailure(result: readonly RuleResult[] | Failure): readonly RuleResult[] | CountersignError {
  if (!('code' in result)) return result;
  return new CountersignError(result.code, result.message, { place: result.place, remedy: result.remedy });
}

function tooSlow(limit: number): CountersignError {
  return new CountersignError('policy-timeout', `the policy was stopped after ${limit / 1000} s`, {
    remedy: 'Look for a rule that tries all combinations of something large, or raise limits.evaluation',
  });
}

function crashed(cause: Error): CountersignError {
  const memory = (cause as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY';
  return new CountersignError(
    memory ? 'policy-memory' : 'policy-failed',
    memory ? 'the policy ran out of memory' : `the evaluation crashed: ${cause.message}`,
    {
      remedy: 'Look for a rule that builds large values',
      cause,
    },
  );
}
