import type { ReconcileSettings, SyncWindow } from '../change/reconcile-settings.js';
import { nextOpening, openUntil } from '../change/schedule.js';

/** Why nothing goes live at this moment. */
export interface Held {
  readonly reason: string;
  /** Milliseconds since the epoch, when to look again; Infinity: when somebody changes it. */
  readonly until: number;
  /** What to do about it, where that is something else than to lift it. */
  readonly remedy?: string;
}

/** Whether an environment is suspended: then nothing at all is written. Pure. */
export function suspension(settings: ReconcileSettings | undefined, now: number): Held | null {
  const { suspend } = settings ?? {};
  if (!suspend) return null;
  const until = suspend.until === undefined ? Infinity : Date.parse(suspend.until);
  return until > now ? { reason: `it is suspended: ${suspend.reason}`, until } : null;
}

/** Whether a change has to wait for a window. Pure. */
export function closedWindow(settings: ReconcileSettings | undefined, now: number): Held | null {
  const { windows = [], override } = settings ?? {};
  if (override && Date.parse(override.until) > now) return null;
  for (const window of windows.filter(({ kind }) => kind === 'deny')) {
    const until = openUntil(window, now);
    if (until !== null) return { reason: `${told(window)} denies changes until ${at(until)}`, until };
  }
  const allowing = windows.filter(({ kind }) => kind === 'allow');
  if (allowing.length === 0 || allowing.some((window) => openUntil(window, now) !== null)) return null;
  const until = Math.min(...allowing.map((window) => nextOpening(window, now)));
  const when = until === Infinity ? 'never again' : `next at ${at(until)}`;
  return { reason: `no window that allows changes is open (${when})`, until };
}

function told({ schedule, timeZone = 'UTC', reason }: SyncWindow): string {
  return `the window "${schedule}" ${timeZone}${reason ? ` (${reason})` : ''}`;
}

const at = (milliseconds: number): string => new Date(milliseconds).toISOString();
