import { dueBetween, periodBefore } from './scheduled-exports.js';

describe('the period before', () => {
  it.each([
    ['month', '2026-11-01T06:00:00+01:00', 'Europe/Berlin', '2026-10-01_2026-11-01', '2026-09-30T22:00:00.000Z', '2026-10-31T23:00:00.000Z'],
    ['month', '2026-01-15T12:00:00Z', 'UTC', '2025-12-01_2026-01-01', '2025-12-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'],
    // The last moment of October in UTC is in November already, in Tokyo.
    ['month', '2026-10-31T23:59:59Z', 'Asia/Tokyo', '2026-10-01_2026-11-01', '2026-09-30T15:00:00.000Z', '2026-10-31T15:00:00.000Z'],
    // Days of 23 and of 25 hours.
    ['day', '2026-03-30T06:00:00+02:00', 'Europe/Berlin', '2026-03-29_2026-03-30', '2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ['day', '2026-10-26T06:00:00+01:00', 'Europe/Berlin', '2026-10-25_2026-10-26', '2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z'],
    ['week', '2026-07-08T06:00:00Z', 'UTC', '2026-06-29_2026-07-06', '2026-06-29T00:00:00.000Z', '2026-07-06T00:00:00.000Z'],
    ['week', '2026-07-06T00:00:00Z', 'UTC', '2026-06-29_2026-07-06', '2026-06-29T00:00:00.000Z', '2026-07-06T00:00:00.000Z'],
    ['quarter', '2026-02-10T00:00:00Z', 'UTC', '2025-10-01_2026-01-01', '2025-10-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'],
    ['year', '2026-02-10T00:00:00Z', 'Pacific/Kiritimati', '2025-01-01_2026-01-01', '2024-12-31T10:00:00.000Z', '2025-12-31T10:00:00.000Z'],
  ] as const)('of a %s at %s in %s is %s', (period, at, zone, name, since, until) => {
    expect(periodBefore(period, new Date(at), zone)).toEqual({ name, since, until });
  });
}); // prettier-ignore

it('was due at each moment that its schedule names, also while nothing ran, and each period once', () => {
  const daily = { name: 'd', file: 'f', cron: '30 2 * * *', zone: 'Europe/Berlin', period: 'day' } as const;
  const due = dueBetween(daily, new Date('2026-03-27T12:00:00Z'), new Date('2026-03-31T00:00:00Z'));
  // On the 29th there is no half past two.
  expect(due.map(({ period }) => period.name)).toEqual(['2026-03-27_2026-03-28', '2026-03-28_2026-03-29', '2026-03-29_2026-03-30']); // prettier-ignore
  const hourly = dueBetween({ ...daily, cron: '0 * * * *' }, new Date('2026-07-01T00:30:00Z'), new Date('2026-07-02T12:00:00Z')); // prettier-ignore
  expect(hourly.map(({ period }) => period.name)).toEqual(['2026-06-30_2026-07-01', '2026-07-01_2026-07-02']);
  expect(dueBetween(daily, new Date('2026-07-01T12:00:00Z'), new Date('2026-07-01T13:00:00Z'))).toEqual([]);
});
