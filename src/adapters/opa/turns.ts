import type { RuleResult } from '../../policy/evaluator.js';
import type { CountersignError } from '../../errors.js';
import type { PolicyBundle } from '../../policy/bundle.js';

/** One input to evaluate. */
export interface Task {
  readonly bundle: PolicyBundle;
  readonly input: string;
  readonly resolve: (result: readonly RuleResult[] | CountersignError) => void;
}

/** As many inputs as one message carries: enough to make its cost small, not so many that a failure repeats much work. */
const BATCH = 64;
const BATCH_CHARACTERS = 2_000_000;
/** Milliseconds that one message may keep a thread, judged by how its bundle did before; who waits behind it waits no longer. */
const TURN = 250;
/** Bundles whose pace is remembered. */
const PACES = 256;

/**
 * What waits for a thread, by bundle, each in its turn. A bundle that takes long never gets all threads: whatever an analysis of one
 * without end has waiting, another repository's decision is made at once.
 */
export class Turns {
  private readonly waiting = new Map<string, Task[]>();
  /** Milliseconds that one input took lately. */
  private readonly paces = new Map<string, number>();

  constructor(private readonly threads: number) {}

  add(bundle: PolicyBundle, inputs: readonly string[]): Promise<(readonly RuleResult[] | CountersignError)[]> {
    const tasks = this.waiting.get(bundle.digest) ?? [];
    if (inputs.length > 0) this.waiting.set(bundle.digest, tasks);
    return Promise.all(inputs.map((input) => new Promise<readonly RuleResult[] | CountersignError>((resolve) => tasks.push({ bundle, input, resolve })))); // prettier-ignore
  }

  /** Those of a message that failed at one of them: first again when it is their bundle's turn. */
  putBack(tasks: readonly Task[]): void {
    if (tasks.length === 0) return;
    const { digest } = tasks[0].bundle;
    this.waiting.set(digest, [...tasks, ...(this.waiting.get(digest) ?? [])]);
  }

  /** Whose turn it is; `busy` tells how many threads work for a bundle. */
  next(busy: (digest: string) => number): string | undefined {
    const most = Math.max(1, this.threads - 1);
    for (const digest of this.waiting.keys()) {
      if (this.paceOf(digest) <= TURN || busy(digest) < most) return digest;
    }
    return undefined;
  }

  /** The next inputs of a bundle, shared fairly among the threads; its next turn comes after those of the others. */
  take(digest: string): readonly Task[] {
    const tasks = this.waiting.get(digest) ?? [];
    const share = Math.ceil(tasks.length / this.threads);
    const inTime = Math.max(1, Math.floor(TURN / this.paceOf(digest)));
    const most = Math.min(BATCH, share, inTime);
    let count = 0;
    for (let characters = 0; count < most; count++) {
      characters += tasks[count].input.length;
      if (count > 0 && characters > BATCH_CHARACTERS) break;
    }
    this.waiting.delete(digest);
    if (count < tasks.length) this.waiting.set(digest, tasks.slice(count));
    return tasks.slice(0, count);
  }

  /** That one input of a bundle took so many milliseconds. */
  took(digest: string, milliseconds: number): void {
    const before = this.paces.get(digest) ?? milliseconds;
    this.paces.delete(digest);
    this.paces.set(digest, (before + milliseconds) / 2);
    if (this.paces.size > PACES) this.paces.delete(this.paces.keys().next().value!);
  }

  /** Takes all there is, for those who can do nothing more. */
  clear(): readonly Task[] {
    const all = [...this.waiting.values()].flat();
    this.waiting.clear();
    return all;
  }

  private paceOf(digest: string): number {
    return this.paces.get(digest) ?? 0;
  }
}
