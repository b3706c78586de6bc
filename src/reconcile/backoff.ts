import type { CountersignError } from '../errors.js';

/** Milliseconds. What may mend itself is tried again soon; what somebody must mend, seldom. */
const pauses = {
  passing: { first: 250, last: 5_000 },
  standing: { first: 5_000, last: 300_000 },
} as const;
/** However often something changes, a failing environment is not tried more often than this. */
const AT_MOST_EVERY = 1_000;

/** When a failed environment is tried again. */
export class Backoff {
  #failures = 0;
  #retryAt = Infinity;
  #notBefore = 0;

  failed({ retry, code }: CountersignError): void {
    const { first, last } = pauses[retry && code !== 'kind-unknown' ? 'passing' : 'standing'];
    const pause = Math.min(last, first * 2 ** Math.min(this.#failures++, 20));
    this.#retryAt = Date.now() + pause;
    this.#notBefore = Date.now() + Math.min(pause, AT_MOST_EVERY);
  }

  reset(): void {
    this.#failures = 0;
    this.#retryAt = Infinity;
    this.#notBefore = 0;
  }

  isFailing(): boolean {
    return this.#failures > 0;
  }

  /** Milliseconds since the epoch; Infinity where nothing failed. */
  retryAt(): number {
    return this.#retryAt;
  }

  notBefore(): number {
    return this.#notBefore;
  }
}

/** Corrections of one object in a row that are made at once. */
const FREE = 5;
/** Milliseconds after which a correction is forgotten. */
const MEMORY = 60_000;
const LONGEST = 300_000;

/** A controller that keeps changing back what we correct is reported and corrected ever more seldom, not fought for ever. */
export class Damper {
  readonly #objects = new Map<string, { count: number; last: number }>();

  corrected(key: string): void {
    const before = this.#objects.get(key);
    const fresh = before && Date.now() - before.last < MEMORY + pauseAfter(before.count);
    this.#objects.set(key, { count: fresh ? before.count + 1 : 1, last: Date.now() });
  }

  isDue(key: string): boolean {
    return this.#dueAt(key) <= Date.now();
  }

  /** When the first of these is due, in milliseconds since the epoch; Infinity for none. */
  dueAt(keys: Iterable<string>): number {
    let first = Infinity;
    for (const key of keys) first = Math.min(first, this.#dueAt(key));
    return first;
  }

  #dueAt(key: string): number {
    const known = this.#objects.get(key);
    return known ? known.last + pauseAfter(known.count) : 0;
  }
}

function pauseAfter(count: number): number {
  return count < FREE ? 0 : Math.min(LONGEST, 1_000 * 2 ** (count - FREE));
}
