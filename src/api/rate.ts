/** Names that are remembered; the one that is longest quiet makes room. */
const MOST_NAMES = 50_000;

interface Bucket {
  left: number;
  at: number;
}

/** So many requests a second by each name, and a second's worth more at once. */
export class Rate {
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    private readonly perSecond: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** False: too many. */
  take(name: string): boolean {
    const now = this.now();
    const known = this.#buckets.get(name);
    const most = this.perSecond * 2;
    const left = known ? Math.min(most, known.left + ((now - known.at) / 1_000) * this.perSecond) : most;
    // Whoever asked last is last to be forgotten.
    this.#buckets.delete(name);
    this.#buckets.set(name, { left: Math.max(0, left - 1), at: now });
    if (this.#buckets.size > MOST_NAMES) this.#buckets.delete(this.#buckets.keys().next().value!);
    return left >= 1;
  }
}
