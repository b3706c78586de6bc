import { array, checkItems, fail, members, text, type Builtins } from './builtin.js';
import { entriesOf, isAnyObject, RegoSet, setOf, type RegoValue } from '../values.js';

interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
  /** An IPv4 address written as IPv6. */
  readonly mapped: boolean;
}

interface Range {
  readonly bits: 32 | 128;
  readonly low: bigint;
  readonly high: bigint;
}

const V4 = /^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/;
/** More addresses than this are a mistake, or meant to fill memory. */
const MAX_EXPANDED = 1n << 17n;

function parseAddress(value: string): Address | undefined {
  if (V4.test(value)) {
    const parts = value.split('.').map(Number);
    if (parts.some((part) => part > 255)) return undefined;
    return { bits: 32, value: parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n), mapped: false };
  }
  return value.includes(':') ? parseV6(value) : undefined;
}

function parseV6(value: string): Address | undefined {
  let source = value;
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(value);
  if (tail) {
    const v4 = parseAddress(tail[2]);
    if (!v4) return undefined;
    source = `${tail[1]}${(v4.value >> 16n).toString(16)}:${(v4.value & 0xffffn).toString(16)}`;
  }
  const halves = source.split('::');
  const [left = [], right = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - left.length - right.length;
  if (halves.length > 2 || (halves.length === 1 ? missing !== 0 : missing < 1)) return undefined;
  const groups = [...left, ...Array<string>(missing).fill('0'), ...right];
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const number = groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
  if (number >> 32n === 0xffffn) return { bits: 32, value: number & 0xffffffffn, mapped: true };
  return { bits: 128, value: number, mapped: false };
}

function parseRange(value: string): Range | undefined {
  const match = /^(.+)\/(0|[1-9]\d{0,2})$/.exec(value);
  const address = match ? parseAddress(match[1]) : undefined;
  if (!match || !address) return undefined;
  const prefix = Number(match[2]) - (address.mapped ? 96 : 0);
  return prefix < 0 || prefix > address.bits ? undefined : rangeOf(address, prefix);
}

function rangeOf({ bits, value }: Address, prefix: number): Range {
  const host = BigInt(bits - prefix);
  const low = (value >> host) << host;
  return { bits, low, high: low | ((1n << host) - 1n) };
}

function rangeOrAddress(value: string): Range {
  const range = parseRange(value);
  if (range) return range;
  const address = parseAddress(value) ?? fail(`not a valid textual representation of an IP address or CIDR: ${value}`);
  return rangeOf(address, address.bits);
}

function formatAddress(bits: 32 | 128, value: bigint): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(16 * (7 - i))) & 0xffffn));
  // RFC 5952: the longest run of two or more zero groups, the first of equals.
  let [start, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const hex = groups.map((group) => group.toString(16));
  if (start < 0) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}

function rangeNamed(v: RegoValue): Range {
  return rangeOrAddress(text(Array.isArray(v) ? v[0] : v));
}

/** Pairs of [what names it in the result, its address or range]. */
function named(v: RegoValue | undefined): readonly (readonly [RegoValue, Range])[] {
  if (typeof v === 'string') return [[v, rangeNamed(v)]];
  if (v instanceof RegoSet) return v.items.map((x) => [x, rangeNamed(x)]);
  if (isAnyObject(v)) return entriesOf(v).map(([key, x]) => [key, rangeNamed(x)]);
  return array(v).map((x, i) => [i, rangeNamed(x)]);
}

/** The fewest CIDRs that cover the same addresses. */
function merge(ranges: readonly Range[], bits: 32 | 128): string[] {
  const joined: { low: bigint; high: bigint }[] = [];
  for (const { low, high } of ranges
    .filter((r) => r.bits === bits)
    .toSorted((a, b) => (a.low < b.low ? -1 : a.low > b.low ? 1 : 0))) {
    const last = joined.at(-1);
    if (!last || low > last.high + 1n) joined.push({ low, high });
    else if (high > last.high) last.high = high;
  }
  return joined.flatMap(({ low, high }) => cover(low, high, bits));
}

function cover(low: bigint, high: bigint, bits: 32 | 128): string[] {
  const out: string[] = [];
  while (low <= high) {
    let host = 0;
    const fits = (n: number) => (low & ((1n << BigInt(n)) - 1n)) === 0n && low + (1n << BigInt(n)) - 1n <= high;
    while (host < bits && fits(host + 1)) host++;
    out.push(`${formatAddress(bits, low)}/${bits - host}`);
    low += 1n << BigInt(host);
  }
  return out;
}

/** Without a prefix length, an IPv4 address stands for its old class, as in Go's DefaultMask. */
function classful(value: string): Range {
  const address = parseAddress(value) ?? fail(`not an IP address or CIDR: ${value}`);
  if (address.bits !== 32) return fail('IPv6 invalid: needs prefix length');
  const first = Number(address.value >> 24n);
  return rangeOf(address, first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : fail('no default mask'));
}

export const netBuiltins: Builtins = {
  'net.cidr_is_valid': (_, v) => typeof v === 'string' && parseRange(v) !== undefined,
  'net.cidr_contains_matches': (_, outer, inner) => {
    const pairs: RegoValue[] = [];
    const inners = named(inner);
    for (const [i, a] of named(outer)) {
      for (const [j, b] of inners) if (a.bits === b.bits && b.low >= a.low && b.high <= a.high) pairs.push([i, j]);
      checkItems(pairs.length);
    }
    return setOf(pairs);
  },
  'net.cidr_expand': (_, v) => {
    const { bits, low, high } = parseRange(text(v)) ?? fail('not a CIDR');
    if (high - low > MAX_EXPANDED) return fail('too many addresses');
    const addresses: string[] = [];
    for (let n = low; n <= high; n++) addresses.push(formatAddress(bits, n));
    return new RegoSet(addresses);
  },
  'net.cidr_merge': (_, v) => {
    const ranges = members(v).map((x) =>
      text(x).includes('/') ? (parseRange(text(x)) ?? fail('not a CIDR')) : classful(text(x)),
    );
    return setOf([...merge(ranges, 32), ...merge(ranges, 128)]);
  },
};
