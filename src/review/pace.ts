/** The longest pause before a repository that fails is looked at again, in milliseconds; or its own pace where that is slower. */
const LONGEST_PAUSE = 30_000;

/**
 * Milliseconds until the next look at a repository: its pace give or take a tenth, so that many do not come in step; twice as long
 * for each failure in a row, less up to a half, so that a forge that comes back is not asked by everybody at once.
 */
export function pauseAfter(
  pace: number,
  failures: number,
  random: () => number = Math.random,
  most = LONGEST_PAUSE,
): number {
  if (failures === 0) return pace * (0.9 + 0.2 * random());
  const longest = Math.max(most, pace);
  return Math.min(longest, pace * 2 ** Math.min(failures, 16)) * (0.5 + 0.5 * random());
}

/** Pauses between two judgements of what could not be judged, in milliseconds: the first, and the longest. */
const FIRST_RETRY = 1_000;
const LONGEST_RETRY = 10 * 60_000;

/**
 * When to judge again what could not be judged. Whether that was the policy's fault, for ever, or the machine's, for a moment, nobody
 * can tell: it is tried again, ever more rarely.
 */
export class Retries {
  readonly #failures = new Map<string, { readonly head: string; readonly count: number; readonly notBefore: number }>();

  constructor(
    private readonly clock: () => number = () => performance.now(),
    private readonly random: () => number = Math.random,
  ) {}

  /** True at once for a head that this process has not yet seen fail. */
  isDue(name: string, head: string): boolean {
    const known = this.#failures.get(name);
    return known?.head !== head || this.clock() >= known.notBefore;
  }

  failed(name: string, head: string): void {
    const known = this.#failures.get(name);
    const count = known?.head === head ? known.count + 1 : 1;
    const pause = pauseAfter(FIRST_RETRY, count, this.random, LONGEST_RETRY);
    this.#failures.set(name, { head, count, notBefore: this.clock() + pause });
  }

  settled(name: string): void {
    this.#failures.delete(name);
  }
}
