import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger } from '../audit/ledger.js';
import { newsOf, type News } from './news.js';

/** Milliseconds between two looks at the log while somebody listens: it is written by other instances, too. */
const EVERY = 250;
/** Entries that are read in one go. */
const BATCH = 256;

/**
 * The log as it grows, to any number of listeners: each is told of every entry from where it begins, in order, at its own pace. What it
 * does not take waits in the log and nowhere else; those who are up to date share one reading of it.
 */
export class Feed {
  readonly #read = new Map<number, { readonly to: number; readonly news: Promise<readonly News[]> }>();

  constructor(private readonly ledger: Pick<Ledger, 'size' | 'entries'>) {}

  /** From the entry behind `after`; from now on where it is null. Ends when `signal` does, and throws what the log throws. */
  async *from(after: number | null, signal: AbortSignal): AsyncGenerator<News, void> {
    for (let next = after === null ? await this.ledger.size() : after + 1; !signal.aborted;) {
      const size = await this.#size();
      if (next >= size) {
        await sleep(EVERY, undefined, { signal, ref: false }).catch(() => undefined);
        continue;
      }
      const to = Math.min(size, next + BATCH);
      for (const news of await this.#news(next, to)) {
        if (signal.aborted) return;
        if ((news.index ?? 0) >= next) yield news;
      }
      next = to;
    }
  }

  #asked: { readonly at: number; readonly size: Promise<number> } | null = null;

  /** However many listen, the database is asked so often and no more. */
  #size(): Promise<number> {
    const now = performance.now();
    if (!this.#asked || now - this.#asked.at >= EVERY / 2) this.#asked = { at: now, size: this.ledger.size() };
    return this.#asked.size;
  }

  #news(from: number, to: number): Promise<readonly News[]> {
    const known = this.#read.get(from);
    if (known?.to === to) return known.news;
    const news = this.#entries(from, to);
    this.#read.set(from, { to, news });
    for (const oldest of this.#read.keys()) {
      if (this.#read.size <= 4) break;
      this.#read.delete(oldest);
    }
    news.catch(() => this.#read.delete(from));
    return news;
  }

  async #entries(from: number, to: number): Promise<readonly News[]> {
    const found: News[] = [];
    for await (const entry of this.ledger.entries(from, to)) {
      const news = newsOf(entry);
      if (news) found.push(news);
    }
    return found;
  }
}
