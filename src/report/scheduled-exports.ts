import { parseSchedule } from '../change/schedule.js';
import type { Lease } from '../audit/lease.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { dateIn, startOfDay } from './population-query.js';

export const exportPeriods = ['day', 'week', 'month', 'quarter', 'year'] as const;
export type ExportPeriod = (typeof exportPeriods)[number];

/** An export that is taken by itself. */
export interface ExportSchedule {
  /** Part of file names: lower-case letters, digits, `.`, `_`, `-`. */
  readonly name: string;
  /** Five fields. */
  readonly cron: string;
  /** IANA; of the schedule, and of the days at which its periods begin and end. */
  readonly zone: string;
  /** The one before the moment at which it is due. */
  readonly period: ExportPeriod;
  /** What its files are called, in a folder for each period: `changes.csv`. */
  readonly file: string;
}

export interface Period {
  /** RFC 3339, UTC: the first moment in it, and the first after it. */
  readonly since: string;
  readonly until: string;
  /** The days in the schedule's zone, as `2026-09-01_2026-10-01`. */
  readonly name: string;
}

/** An export that was taken and is whole in a file of ours; `close` removes that. */
export interface TakenExport {
  readonly file: string;
  readonly manifest: string;
  /** Of its entry in the log. */
  readonly index: number;
  close(): Promise<void>;
}

/** Where exports go. Rejects with `mirror-unavailable`, `disk-full` (retry true). */
export interface ExportPlace {
  readonly where: string;
  has(name: string): Promise<boolean>;
  /** Whole and durable when it resolves, and not there before. */
  put(name: string, content: { readonly file: string } | { readonly text: string }): Promise<void>;
}

/** How the exports of a schedule are. */
export interface ScheduleState {
  readonly name: string;
  readonly made: number;
  /** RFC 3339; when the newest was made. */
  readonly madeAt: string | null;
  /** Since when the oldest that is not made is due, and why it is not. */
  readonly failingSince: string | null;
  readonly trouble: { readonly code: string; readonly message: string } | null;
}

/** What is remembered of schedules. */
export interface ScheduleBook {
  /** When a schedule was first seen: now, the first time. */
  begun(name: string, now: Date): Promise<Date>;
  /** Those that were made, of these periods, by `since` and `until`. */
  made(name: string, periods: readonly Period[]): Promise<ReadonlySet<string>>;
  /** Under the lease: throws `lease-lost` where another instance is at it by now. `index` null: it had arrived before this was told. */
  settle(lease: Lease, name: string, due: Due, done: { readonly index: number | null; readonly file: string } | CountersignError): Promise<void>; // prettier-ignore
}

export interface Due {
  readonly at: Date;
  readonly period: Period;
}

/** Missed ones that are made up, of each schedule, oldest first. */
const MOST_MISSED = 400;

const date = (y: number, m: number, d: number): string => new Date(Date.UTC(y, m - 1, d)).toISOString().slice(0, 10);

/** The period before a moment, in a time zone, whatever daylight saving does at its edges. */
export function periodBefore(period: ExportPeriod, at: Date, zone: string): Period {
  const today = dateIn(zone, at.getTime());
  const [year, month, day] = today.split('-').map(Number);
  const weekday = (new Date(`${today}T00:00:00Z`).getUTCDay() + 6) % 7;
  const quarter = month - ((month - 1) % 3);
  const [since, until] = {
    day: [date(year, month, day - 1), today],
    week: [date(year, month, day - weekday - 7), date(year, month, day - weekday)],
    month: [date(year, month - 1, 1), date(year, month, 1)],
    quarter: [date(year, quarter - 3, 1), date(year, quarter, 1)],
    year: [date(year - 1, 1, 1), date(year, 1, 1)],
  }[period];
  const instant = (text: string): string => new Date(startOfDay('period', text, zone)).toISOString();
  return { since: instant(since), until: instant(until), name: `${since}_${until}` };
}

/** What was due after a moment and until now: each period once, at the first moment that asked for it. */
export function dueBetween({ cron, zone, period }: ExportSchedule, after: Date, now: Date): readonly Due[] {
  const due = new Map<string, Due>();
  const schedule = parseSchedule(cron, zone);
  for (let at = schedule.nextRun(after); at && at <= now && due.size < MOST_MISSED; at = schedule.nextRun(at)) {
    const before = periodBefore(period, at, zone);
    if (!due.has(before.name)) due.set(before.name, { at, period: before });
  }
  return [...due.values()];
}

export const keyOf = ({ since, until }: Pick<Period, 'since' | 'until'>): string => `${since} ${until}`;

export interface ScheduledParts {
  readonly book: ScheduleBook;
  /** Logs the export, then writes it to a file of ours. */
  readonly take: (schedule: ExportSchedule, period: Period) => Promise<TakenExport>;
  readonly place: (schedule: ExportSchedule) => Promise<ExportPlace>;
  readonly onMade: (schedule: ExportSchedule, due: Due, file: string) => void;
}

/**
 * Takes what is due and was not taken yet, those that were missed while nothing ran included. A file is put in its place before its manifest, and both before it
 * is told of: whatever ends in between, the next time finds the manifest there and takes nothing again, or takes it anew; nobody finds half an export.
 * One at a time: the caller holds the lease.
 */
export class ScheduledExports {
  constructor(
    private readonly schedules: readonly ExportSchedule[],
    private readonly parts: ScheduledParts,
  ) {}

  /** Throws an `AggregateError` of what went wrong, when all others are done. */
  async round(lease: Lease, now: Date): Promise<void> {
    const faults: CountersignError[] = [];
    for (const schedule of this.schedules) {
      for (const due of await this.#due(schedule, now)) {
        if (!lease.held) return;
        try {
          await this.#make(lease, schedule, due);
        } catch (thrown) {
          const fault = toCountersignError(thrown);
          if (fault.code === 'lease-lost') return;
          faults.push(new CountersignError(fault.code, `the export ${schedule.name} of ${due.period.name} was not taken: ${fault.message}`, { ...(fault.remedy && { remedy: fault.remedy }), retry: true, cause: fault })); // prettier-ignore
          await this.parts.book.settle(lease, schedule.name, due, fault);
          break; // of this schedule: the others wait for their turn behind the oldest
        }
      }
    }
    if (faults.length > 0) throw new AggregateError(faults);
  }

  async #due(schedule: ExportSchedule, now: Date): Promise<readonly Due[]> {
    const { book } = this.parts;
    const due = dueBetween(schedule, await book.begun(schedule.name, now), now);
    const made = await book.made(schedule.name, due.map(({ period }) => period)); // prettier-ignore
    return due.filter(({ period }) => !made.has(keyOf(period)));
  }

  async #make(lease: Lease, schedule: ExportSchedule, due: Due): Promise<void> {
    const { book, take, onMade } = this.parts;
    const place = await this.parts.place(schedule);
    const file = `${schedule.name}/${due.period.name}/${schedule.file}`;
    const arrived = `${place.where}/${file}`;
    // By its manifest, which comes last: an export that arrived and was not told of is not taken again.
    const manifest = `${file}.manifest.json`;
    if (await place.has(manifest)) {
      await book.settle(lease, schedule.name, due, { index: null, file: arrived });
      return;
    }
    const taken = await take(schedule, due.period);
    try {
      await place.put(file, { file: taken.file });
      await place.put(manifest, { text: taken.manifest });
      await book.settle(lease, schedule.name, due, { index: taken.index, file: arrived });
      onMade(schedule, due, arrived);
    } finally {
      await taken.close();
    }
  }
}
