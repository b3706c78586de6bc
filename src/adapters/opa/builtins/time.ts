import { bigint, fail, text, type Builtins } from './builtin.js';
import { integer, type RegoValue } from '../values.js';

const SECOND = 1_000_000_000n;
const MILLISECOND = 1_000_000n;
const MAX = (1n << 63n) - 1n;
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** RFC 3339 to nanoseconds since 1970, as Go reads it. Throws BuiltinError. */
export function parseTime(value: string): bigint {
  return canonicalTime(value) ?? anyTime(value);
}

/** What most times are, those of inputs among them: as JavaScript writes them. Undefined for another, which may be a time, too. */
function canonicalTime(value: string): bigint | undefined {
  if (value.length !== 24) return undefined;
  const date = new Date(value);
  const ms = date.getTime();
  return Number.isNaN(ms) || date.toISOString() !== value ? undefined : inRange(BigInt(ms) * MILLISECOND);
}

function anyTime(value: string): bigint {
  const match = RFC3339.exec(value);
  if (!match) return fail(`cannot parse ${value} as a time`);
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(Date.UTC(2000, month - 1, day, hour, minute, second));
  date.setUTCFullYear(year, month - 1, day);
  const exact =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
  if (!exact) return fail(`${value} is out of range`);
  let ns = BigInt(date.getTime() / 1000) * SECOND + BigInt((match[7] ?? '').padEnd(9, '0').slice(0, 9));
  if (match[8]) {
    const offset = BigInt((Number(match[9]) * 60 + Number(match[10])) * 60) * SECOND;
    ns += match[8] === '-' ? offset : -offset;
  }
  return inRange(ns);
}

function inRange(ns: bigint): bigint {
  return ns > MAX || ns < -MAX - 1n ? fail('time outside of valid range') : ns;
}

/** A time zone other than UTC is Go's business: its table of them is part of the pinned program, the machine's is not. */
export function inUtc(v: RegoValue | undefined): boolean {
  return !Array.isArray(v) || v[1] === undefined || v[1] === '' || v[1] === 'UTC';
}

function utc(v: RegoValue | undefined): Date {
  const ns = inRange(bigint(Array.isArray(v) ? (v as readonly RegoValue[])[0] : v));
  const seconds = ns / SECOND - (ns % SECOND < 0n ? 1n : 0n);
  return new Date(Number(seconds) * 1000);
}

export const timeBuiltins: Builtins = {
  'time.now_ns': ({ now }) => integer(now),
  'time.parse_rfc3339_ns': (_, value) => integer(parseTime(text(value))),
  'time.date': (_, v) => [utc(v).getUTCFullYear(), utc(v).getUTCMonth() + 1, utc(v).getUTCDate()],
  'time.clock': (_, v) => [utc(v).getUTCHours(), utc(v).getUTCMinutes(), utc(v).getUTCSeconds()],
  'time.weekday': (_, v) => WEEKDAYS[utc(v).getUTCDay()],
  'time.add_date': (_, v, years, months, days) => {
    const ns = bigint(v);
    const date = utc(v);
    const fraction = ns - BigInt(date.getTime()) * 1_000_000n;
    date.setUTCFullYear(
      date.getUTCFullYear() + Number(bigint(years)),
      date.getUTCMonth() + Number(bigint(months)),
      date.getUTCDate() + Number(bigint(days)),
    );
    if (Number.isNaN(date.getTime())) return fail('time outside of valid range');
    return integer(inRange(BigInt(date.getTime()) * 1_000_000n + fraction));
  },
};
