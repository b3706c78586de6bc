import { readFileSync } from 'node:fs';
import { csvRecord } from './csv.js';
import { columns } from './population.js';
import { parsePopulationQuery } from './population-query.js';

describe('the period of a listing', () => {
  it.each([
    ['2026-07-01', 'UTC', '2026-07-01T00:00:00.000Z'],
    ['2026-07-01', 'Europe/Berlin', '2026-06-30T22:00:00.000Z'],
    ['2026-01-01', 'Europe/Berlin', '2025-12-31T23:00:00.000Z'],
    // Days on which clocks change begin as usual, and where midnight itself is skipped, an hour later.
    ['2026-03-29', 'Europe/Berlin', '2026-03-28T23:00:00.000Z'],
    ['2026-03-30', 'Europe/Berlin', '2026-03-29T22:00:00.000Z'],
    ['2026-03-29', 'Asia/Beirut', '2026-03-28T22:00:00.000Z'],
    ['2026-07-01', 'Pacific/Kiritimati', '2026-06-30T10:00:00.000Z'],
    ['2026-07-01', 'Asia/Kathmandu', '2026-06-30T18:15:00.000Z'],
    ['2026-07-01T00:00:00+02:00', 'America/New_York', '2026-06-30T22:00:00.000Z'],
  ])('from %s in %s', (since, zone, instant) => {
    expect(parsePopulationQuery({ since, zone }).since).toBe(instant);
  });

  it.each([
    [{ since: 'yesterday' }, 'neither a date nor a time with its offset'],
    [{ since: '2026-02-30' }, 'neither a date nor a time with its offset'],
    [{ since: '2026-07-01T00:00:00' }, 'neither a date nor a time with its offset'],
    [{ since: '2026-10-01', until: '2026-07-01' }, 'before it begins'],
    [{ since: '2026-10-01', zone: 'Europe/Berln' }, 'which there is not'],
    [{ decision: 'alow' }, 'did you mean "allow"?'],
    [{ enviroment: 'x' }, 'did you mean "environment"?'],
    [{ repository: ['shop', 'payroll'] as unknown as string }, '"repository" is said more than once'],
  ])('refuses %j', (words, wrong) => {
    expect(() => parsePopulationQuery(words)).toThrow(wrong);
  });
});

it('writes cells that no spreadsheet takes for formulas, and any reader for what they were', () => {
  expect(
    csvRecord(['=1+1', '+1', '-1', '@x', '\tx', '＝1', -1, null, true, ['a', '=b'], ['=a'], 'a,"b"\nc', 'ü 😀']),
  ).toBe(`'=1+1,'+1,'-1,'@x,'\tx,'＝1,-1,,true,a; =b,'=a,"a,""b""\nc",ü 😀\r\n`);
});

it('documents every column of the listing, and no other', () => {
  const page = readFileSync('docs/reports.md', 'utf8').split('## Columns')[1];
  expect([...page.matchAll(/^\| `([a-z_]+)` \| (.*) \|$/gm)].map(([, name, what]) => ({ name, what }))).toEqual(
    columns.map(({ name, what }) => ({ name, what })),
  );
});
