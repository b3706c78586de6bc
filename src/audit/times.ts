import { formatNumber } from './conclusions.js';
import type { LoggedEntry } from './entry.js';

/** Entries of several processes, and of transactions of different length, get into the log a little out of order. */
const usual = 60_000;

/** Whether the times that entries say go forward with their places: one that was put in later under an earlier time does not. */
export class Times {
  #latest = { index: 0, time: Number.NEGATIVE_INFINITY };
  /** The one that lies furthest behind one before it. */
  #furthest = { index: 0, behind: 0, before: 0 };

  read({ index, time: said }: Pick<LoggedEntry, 'index' | 'time'>): void {
    const time = Date.parse(said);
    const behind = this.#latest.time - time;
    if (behind > this.#furthest.behind) this.#furthest = { index, behind, before: this.#latest.index };
    if (time >= this.#latest.time) this.#latest = { index, time };
  }

  /** What follows a sentence on the times. */
  get told(): string {
    const { index, behind, before } = this.#furthest;
    if (behind <= usual) return ', and go forward with the entries';
    return `; entry ${formatNumber(index)} says it was recorded ${duration(behind)} before entry ${formatNumber(before)}, which was logged before it: ask why`;
  }
}

function duration(milliseconds: number): string {
  const [seconds, minutes, hours] = [1_000, 60_000, 3_600_000].map((unit) => Math.round(milliseconds / unit));
  if (seconds < 120) return `${seconds} s`;
  if (minutes < 120) return `${minutes} min`;
  return hours < 72 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}
