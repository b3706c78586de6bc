import { createHash } from 'node:crypto';
import type { Sampling } from './export-entry.js';

/**
 * A sample that anybody can draw again: of the rows of a population, those whose SHA-256 over the seed, a line feed and the leaf hash
 * (hex) is smallest, `size` of them. Neither who asks nor who answers chooses any of them, as long as the seed was named before the population
 * was known. Rows come out in the order in which they went in.
 */
export class Sample<T extends { readonly index: number; readonly leafHash: string }> {
  #chosen: { readonly rank: string; readonly row: T }[] = [];
  #bound: string | undefined;

  constructor(
    private readonly seed: string,
    private readonly size: number,
  ) {}

  offer(row: T): void {
    const rank = createHash('sha256').update(`${this.seed}\n${row.leafHash}`).digest('hex');
    if (this.#bound !== undefined && rank >= this.#bound) return;
    this.#chosen.push({ rank, row });
    // Twice as many as are wanted, and then half of them go: sorting costs less so than keeping order.
    if (this.#chosen.length >= 2 * this.size) this.#cut();
  }

  rows(): readonly T[] {
    this.#cut();
    return this.#chosen.map(({ row }) => row).toSorted((a, b) => a.index - b.index);
  }

  #cut(): void {
    this.#chosen.sort((a, b) => (a.rank < b.rank ? -1 : 1));
    this.#chosen.length = Math.min(this.#chosen.length, this.size);
    if (this.#chosen.length === this.size) this.#bound = this.#chosen.at(-1)?.rank;
  }
}

/** The sample of a population, as its one page. */
export async function* drawn<T extends { readonly index: number; readonly leafHash: string }>(
  pages: AsyncIterable<Iterable<T>>,
  { seed, size }: Sampling,
): AsyncIterable<readonly T[]> {
  const sample = new Sample<T>(seed, size);
  for await (const page of pages) for (const row of page) sample.offer(row);
  yield sample.rows();
}
