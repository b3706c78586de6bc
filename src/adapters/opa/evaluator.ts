import type { CPUProfileHandle } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { CountersignError } from '../../errors.js';
import type { PolicyBundle } from '../../policy/bundle.js';
import type { Evaluator, RuleResult } from '../../policy/evaluator.js';
import { builtFile } from './program.js';
import { type Task, Turns } from './turns.js';
import { RUNNING, SLOT, type Failure, type FromWorker, type Job, type ThreadData } from './protocol.js';
import { busiestRule, type RunningRule } from './running-rule.js';

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

interface Thread {
  readonly worker: Worker;
  readonly progress: Int32Array;
  /** Digests of bundles it has. */
  readonly bundles: Set<string>;
  /** What it works on; empty when idle. */
  tasks: readonly Task[];
  /** When they were sent to it. */
  began: number;
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
  /** Of a step that takes long: what it does, for when it has to be stopped. */
  profile: Promise<CPUProfileHandle> | undefined;
  /** Those tasks for which it is being stopped. */
  stopping: readonly Task[] | undefined;
}

/** For reading and compiling the Go program where a policy needs one of its builtins. */
const LOADING_LIMIT = 60_000;
/** How many times its limit a step may take by the clock. */
const WAITING_FACTOR = 20;
const KEPT_MODULES = 16;
/** Milliseconds to wait for a thread to tell what it does. */
const PROFILE_LIMIT = 1000;

/** A pool of threads that evaluate compiled policy, each under limits of time and memory. */
export class RegoEvaluator implements Evaluator {
  private readonly threads: Thread[] = [];
  private readonly turns: Turns;
  private readonly modules = new Map<string, Promise<WebAssembly.Module>>();
  private watch: NodeJS.Timeout | undefined;
  private looked = 0;
  private scheduled = false;
  private closed = false;

  constructor(private readonly options: EvaluatorOptions = {}) {
    this.turns = new Turns(this.threadCount);
  }

  async evaluate(bundle: PolicyBundle, input: string): Promise<readonly RuleResult[]> {
    const [result] = await this.evaluateMany(bundle, [input]);
    if (result instanceof CountersignError) throw result;
    return result;
  }

  evaluateMany(bundle: PolicyBundle, inputs: readonly string[]): Promise<(readonly RuleResult[] | CountersignError)[]> {
    if (this.closed) throw new CountersignError('internal', 'the evaluator is closed');
    const results = this.turns.add(bundle, inputs);
    this.schedule();
    return results;
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.watch);
    const closed = new CountersignError('policy-failed', 'the evaluator was closed', { retry: true });
    const left = [...this.turns.clear(), ...this.threads.flatMap((thread) => thread.tasks)];
    for (const task of left) task.resolve(closed);
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
    while (!this.closed) {
      const next = this.turns.next(
        (digest) => this.threads.filter(({ tasks }) => tasks[0]?.bundle.digest === digest).length,
      );
      const thread = next === undefined ? undefined : this.idleThread(next);
      if (next === undefined || !thread) return; // asked again when one has finished
      const tasks = this.turns.take(next);
      thread.tasks = tasks; // taken, before anything is awaited
      const { bundle } = tasks[0];
      let job: Job = { digest: bundle.digest, inputs: tasks.map((task) => task.input) };
      try {
        if (!thread.bundles.has(bundle.digest)) {
          const module = await this.module(bundle);
          const { outputs, rules } = bundle;
          job = { ...job, bundle: { module, data: JSON.stringify(bundle.data), outputs, rules } };
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
    thread.began = performance.now();
    thread.worker.ref();
    thread.worker.postMessage(job);
    if (this.watch === undefined) {
      this.looked = performance.now();
      this.watch = setInterval(() => this.look(), this.interval);
    }
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

  private idleThread(digest: string): Thread | undefined {
    const resting = this.threads.filter((thread) => thread.tasks.length === 0);
    const idle = resting.find(({ bundles }) => bundles.has(digest)) ?? resting[0];
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
      began: 0,
      phase: 0,
      step: 0,
      used: 0,
      counted: 0,
      stepTime: 0,
      stepWait: 0,
      item: -1,
      itemTime: 0,
      profile: undefined,
      stopping: undefined,
    };
    worker.on('message', ({ results, milliseconds }: FromWorker) =>
      this.finish(thread, results.map(fromFailure), milliseconds),
    );
    worker.on('error', (error) => void this.lose(thread, crashed(error)));
    worker.unref();
    this.threads.push(thread);
    return thread;
  }

  private finish(
    thread: Thread,
    results: readonly (readonly RuleResult[] | CountersignError)[],
    milliseconds?: number,
  ): void {
    const { tasks } = thread;
    thread.tasks = [];
    if (tasks.length > 0 && milliseconds !== undefined)
      this.turns.took(tasks[0].bundle.digest, milliseconds / tasks.length);
    void endProfile(thread);
    thread.worker.unref();
    this.watchNoMore();
    for (let i = 0; i < tasks.length; i++) tasks[i].resolve(results[i]);
    this.schedule();
  }

  /** Ends a thread that took too long, and says which rule it was at. */
  private async stop(thread: Thread, limit: number): Promise<void> {
    const { tasks } = thread;
    if (thread.stopping === tasks) return;
    thread.stopping = tasks;
    const profile = await endProfile(thread);
    // It may have finished just now; a job that it then took is none of this one's business.
    if (thread.tasks !== tasks) return;
    const where = profile === undefined ? NOWHERE : busiestRule(profile, tasks[0]?.bundle.rules);
    await this.lose(thread, tooSlow(limit, where));
  }

  /** Ends a thread. The input it was at fails; the others of its batch go back to the head of their queue. */
  private async lose(thread: Thread, error: CountersignError): Promise<void> {
    const at = this.threads.indexOf(thread);
    if (at < 0) return;
    this.threads.splice(at, 1);
    const { tasks } = thread;
    const item = Math.min(Atomics.load(thread.progress, SLOT.item), tasks.length - 1);
    const failed = tasks.at(item);
    if (failed) this.turns.took(failed.bundle.digest, performance.now() - thread.began);
    this.turns.putBack(tasks.filter((task) => task !== failed));
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
      if (thread.stepTime > (running ? limit : LOADING_LIMIT) || late) void this.stop(thread, limit);
      else if (running && thread.itemTime > total) void this.stop(thread, total);
      else if (running && (thread.stepTime > limit / 2 || thread.itemTime > 0.9 * total)) {
        thread.profile ??= thread.worker.startCpuProfile();
        thread.profile.catch(() => {}); // it has ended
      }
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

/** What the thread was doing; undefined if nobody looked, or it cannot tell in time. */
async function endProfile(thread: Thread): Promise<string | undefined> {
  const { profile } = thread;
  thread.profile = undefined;
  if (profile === undefined) return undefined;
  const told = profile.then((handle) => handle.stop()).catch(() => undefined);
  const { promise: waited, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), PROFILE_LIMIT);
  try {
    return await Promise.race([told, waited]);
  } finally {
    clearTimeout(timer);
  }
}

const NOWHERE: RunningRule = { where: '', place: undefined };

function tooSlow(limit: number, { where, place }: RunningRule): CountersignError {
  return new CountersignError('policy-timeout', `the policy was stopped after ${limit / 1000} s${where}`, {
    place,
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
