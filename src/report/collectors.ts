import type { Counts } from './statistics.js';

/** Rows of one list in a report; its population has all of them. */
const MOST_ROWS = 100;
const MOST_GROUPS = 25;

/** The first rows of a list, and how many there are in all. */
export interface Listed<T> {
  readonly total: number;
  readonly rows: readonly T[];
}

/** Keeps the first rows of a list. */
export class List<T> {
  #total = 0;
  readonly #rows: T[] = [];

  add(row: T): void {
    this.#total += 1;
    if (this.#rows.length < MOST_ROWS) this.#rows.push(row);
  }

  listed(): Listed<T> {
    return { total: this.#total, rows: this.#rows };
  }
}

/** How many rows belong to each group; a row counts once in each of its own. */
export class Tally {
  #total = 0;
  readonly #groups = new Map<string, number>();

  add(keys: readonly string[]): void {
    this.#total += 1;
    for (const key of new Set(keys)) this.#groups.set(key, (this.#groups.get(key) ?? 0) + 1);
  }

  counts(): Counts {
    const groups = [...this.#groups].map(([key, count]) => ({ key, count }));
    groups.sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1));
    return { total: this.#total, groups: groups.slice(0, MOST_GROUPS), more: Math.max(0, groups.length - MOST_GROUPS) };
  }
}

/** Seconds, in steps of a hundredth of their size, so that a million of them take no more memory than a thousand. */
export class Leads {
  #count = 0;
  readonly #steps = new Map<number, number>();

  add(seconds: number): void {
    if (!(seconds >= 0)) return;
    const step = Math.round(Math.log(Math.max(seconds, 0.001)) * 100);
    this.#steps.set(step, (this.#steps.get(step) ?? 0) + 1);
    this.#count += 1;
  }

  median(): number | null {
    let before = 0;
    for (const [step, count] of [...this.#steps].toSorted(([a], [b]) => a - b)) {
      before += count;
      if (before * 2 >= this.#count) return Math.exp(step / 100);
    }
    return null;
  }
}
