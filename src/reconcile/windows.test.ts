import type { SyncWindow } from '../change/reconcile-settings.js';
import { closedWindow, suspension } from './windows.js';

const HOUR = 3_600_000;
const at = Date.parse;
const night: SyncWindow = { kind: 'deny', schedule: '0 22 * * *', duration: 8 * HOUR };
const office: SyncWindow = { kind: 'allow', schedule: '0 9 * * 1-5', duration: 8 * HOUR, timeZone: 'Europe/Berlin' };

const until = (windows: readonly SyncWindow[], now: string): string | null => {
  const held = closedWindow({ windows }, at(now));
  return held && (held.until === Infinity ? 'never' : new Date(held.until).toISOString());
};

describe('sync windows', () => {
  it.each([
    ['none', [], '2026-11-21T12:00:00Z', null],
    ['before a deny', [night], '2026-11-21T21:59:59Z', null],
    ['the first moment of a deny', [night], '2026-11-21T22:00:00Z', '2026-11-22T06:00:00.000Z'],
    ['past midnight in a deny', [night], '2026-11-22T05:59:59Z', '2026-11-22T06:00:00.000Z'],
    ['the end of a deny', [night], '2026-11-22T06:00:00Z', null],
    ['inside an allow, in winter', [office], '2026-11-20T08:00:00Z', null],
    ['before it, in winter', [office], '2026-11-20T07:59:00Z', '2026-11-20T08:00:00.000Z'],
    ['inside an allow, in summer', [office], '2026-07-20T07:00:00Z', null],
    ['a weekend', [office], '2026-11-21T12:00:00Z', '2026-11-23T08:00:00.000Z'],
    [
      'an allow inside a deny',
      [{ ...night, schedule: '0 0 * * *', duration: 24 * HOUR }, office],
      '2026-11-20T10:00:00Z',
      '2026-11-21T00:00:00.000Z',
    ],
    ['a schedule that never comes', [{ ...office, schedule: '0 0 30 2 *' }], '2026-11-20T10:00:00Z', 'never'],
  ] as const)('%s', (_, windows, now, expected) => {
    expect(until(windows, now)).toBe(expected);
  });

  it('do not count while an override stands', () => {
    const settings = { windows: [night], override: { reason: 'INC-1', until: '2026-11-21T23:00:00Z' } };
    expect(closedWindow(settings, at('2026-11-21T22:30:00Z'))).toBeNull();
    expect(closedWindow(settings, at('2026-11-21T23:00:00Z'))).not.toBeNull();
  });

  it('a suspension ends at its time, or when it is taken out', () => {
    const suspend = { reason: 'INC-2', until: '2026-11-21T23:00:00Z' };
    expect(suspension({ suspend }, at('2026-11-21T22:00:00Z'))).toMatchObject({ until: at(suspend.until) });
    expect(suspension({ suspend }, at('2026-11-21T23:00:00Z'))).toBeNull();
    expect(suspension({ suspend: { reason: 'x' } }, at('2999-01-01T00:00:00Z'))).toMatchObject({ until: Infinity });
  });
});
