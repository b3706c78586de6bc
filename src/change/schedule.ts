import { Cron } from 'croner';
import type { SyncWindow } from './reconcile-settings.js';

/** Five fields of cron in a time zone, UTC by default. Throws with what is wrong. */
export function parseSchedule(schedule: string, timeZone = 'UTC'): Cron {
  return new Cron(schedule, { timezone: timeZone, mode: '5-part', paused: true });
}

/** When the occurrence of a window that holds this moment ends, in milliseconds since the epoch; null when it is not open. */
export function openUntil({ schedule, duration, timeZone }: SyncWindow, now: number): number | null {
  // The last one that began: a window may be longer than the time between two of its starts.
  const [start] = parseSchedule(schedule, timeZone).previousRuns(1, new Date(now + 1));
  const end = start ? start.getTime() + duration : 0;
  return end > now ? end : null;
}

/** When a window opens next, in milliseconds since the epoch; Infinity for never. */
export function nextOpening({ schedule, timeZone }: SyncWindow, now: number): number {
  return parseSchedule(schedule, timeZone).nextRun(new Date(now))?.getTime() ?? Infinity;
}
