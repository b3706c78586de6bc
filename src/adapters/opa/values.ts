import { CountersignError } from '../../errors.js';
import type { Json } from '../../cluster/object.js';

/** Any Rego value on the host's side. Objects whose keys are all strings are plain objects, arrays are arrays. */
export type RegoValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | RegoNumber
  | RegoSet
  | RegoObject
  | RegoText
  | readonly RegoValue[]
  | { readonly [key: string]: RegoValue };

export class RegoSet {
  constructor(readonly items: readonly RegoValue[]) {}
}

/** An object with at least one key that is not a string. */
export class RegoObject {
  constructor(readonly entries: readonly (readonly [RegoValue, RegoValue])[]) {}
}

/** A number that is no 64-bit integer, as its decimal text: nothing is rounded. */
export class RegoNumber {
  constructor(readonly text: string) {}
}

/** A value as Rego source text, handed on without being read here. */
export class RegoText {
  constructor(readonly source: string) {}
}

export type PlainObject = { readonly [key: string]: RegoValue };

export function isPlainObject(v: RegoValue | undefined): v is PlainObject {
  return (
    typeof v === 'object' &&
    v !== null &&
    !Array.isArray(v) &&
    !(v instanceof RegoSet) &&
    !(v instanceof RegoObject) &&
    !(v instanceof RegoNumber) &&
    !(v instanceof RegoText)
  );
}

export function isAnyObject(v: RegoValue | undefined): v is PlainObject | RegoObject {
  return v instanceof RegoObject || isPlainObject(v);
}

export function entriesOf(v: PlainObject | RegoObject): readonly (readonly [RegoValue, RegoValue])[] {
  return v instanceof RegoObject ? v.entries : Object.entries(v);
}

export function isNumeric(v: RegoValue): v is number | bigint | RegoNumber {
  return typeof v === 'number' || typeof v === 'bigint' || v instanceof RegoNumber;
}

export function isInteger(v: RegoValue): boolean {
  return (
    typeof v === 'bigint' ||
    (typeof v === 'number' && Number.isInteger(v)) ||
    (v instanceof RegoNumber && /^-?\d+$/.test(v.text))
  );
}

/** OPA's order of types: null, booleans, numbers, strings, arrays, objects, sets. */
function rank(v: RegoValue): number {
  if (v === null) return 0;
  if (typeof v === 'boolean') return 1;
  if (isNumeric(v)) return 2;
  if (typeof v === 'string') return 3;
  if (Array.isArray(v)) return 5;
  return v instanceof RegoSet ? 7 : 6;
}

/** OPA's total order over values. */
export function compare(a: RegoValue, b: RegoValue): number {
  const left = rank(a);
  const right = rank(b);
  if (left !== right) return left - right;
  switch (left) {
    case 0:
      return 0;
    case 1:
      return Number(a) - Number(b);
    case 2:
      return compareNumbers(a as number, b as number);
    case 3:
      return a === b ? 0 : Buffer.compare(Buffer.from(a as string), Buffer.from(b as string)); // Go compares bytes
    case 5:
      return compareLists(a as RegoValue[], b as RegoValue[]);
    case 7:
      return compareLists(sorted((a as RegoSet).items), sorted((b as RegoSet).items));
    default:
      return compareLists(flatEntries(a as PlainObject), flatEntries(b as PlainObject));
  }
}

export function equal(a: RegoValue, b: RegoValue): boolean {
  return a === b || compare(a, b) === 0;
}

export function sorted(items: readonly RegoValue[]): RegoValue[] {
  return items.toSorted(compare);
}

/** A set: sorted, each member once. */
export function setOf(items: readonly RegoValue[]): RegoSet {
  return new RegoSet(sorted(items).filter((item, i, all) => i === 0 || !equal(all[i - 1], item)));
}

function compareNumbers(a: number | bigint | RegoNumber, b: number | bigint | RegoNumber): number {
  const x = a instanceof RegoNumber ? Number(a.text) : a;
  const y = b instanceof RegoNumber ? Number(b.text) : b;
  return x < y ? -1 : x > y ? 1 : 0;
}

function compareLists(a: readonly RegoValue[], b: readonly RegoValue[]): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compare(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function sortedEntries(v: PlainObject | RegoObject): readonly (readonly [RegoValue, RegoValue])[] {
  return entriesOf(v).toSorted(([a], [b]) => compare(a, b));
}

function flatEntries(v: PlainObject | RegoObject): RegoValue[] {
  return sortedEntries(v).flat();
}

/** An integer as the narrowest kind that holds it exactly. */
export function integer(n: bigint): RegoValue {
  const double = Number(n);
  if (Number.isSafeInteger(double)) return double;
  return n >= -(1n << 63n) && n < 1n << 63n ? n : new RegoNumber(n.toString());
}

/** What Rego's own printer writes: ast.Value.String(). */
export function toRego(v: RegoValue): string {
  if (v === null || typeof v === 'boolean' || typeof v === 'number' || typeof v === 'bigint') return String(v);
  if (typeof v === 'string') return JSON.stringify(v);
  if (v instanceof RegoNumber) return v.text;
  if (v instanceof RegoText) return v.source;
  if (Array.isArray(v)) return `[${v.map(toRego).join(', ')}]`;
  if (v instanceof RegoSet) return v.items.length ? `{${sorted(v.items).map(toRego).join(', ')}}` : 'set()';
  return `{${sortedEntries(v as PlainObject)
    .map(([k, x]) => `${toRego(k)}: ${toRego(x)}`)
    .join(', ')}}`;
}

/** Text that OPA's value parser reads: JSON, and Rego for what JSON lacks. */
export function toText(v: RegoValue): string {
  if (v === null) return 'null';
  switch (typeof v) {
    case 'string':
      return JSON.stringify(v);
    case 'boolean':
    case 'bigint':
      return String(v);
    case 'number':
      return Number.isInteger(v) && Math.abs(v) >= 1e21 ? BigInt(v).toString() : String(v);
  }
  if (v instanceof RegoNumber) return v.text;
  if (v instanceof RegoText) return v.source;
  if (Array.isArray(v)) return `[${v.map(toText).join(',')}]`;
  if (v instanceof RegoSet) return v.items.length ? `{${v.items.map(toText).join(',')}}` : 'set()';
  return `{${entriesOf(v as PlainObject)
    .map(([k, x]) => `${toText(k)}:${toText(x)}`)
    .join(',')}}`;
}

/** True if a value has parts that JSON cannot write. */
export function needsRego(v: RegoValue): boolean {
  if (typeof v !== 'object' || v === null || v instanceof RegoNumber) return false;
  if (v instanceof RegoSet || v instanceof RegoObject || v instanceof RegoText) return true;
  return (Array.isArray(v) ? v : Object.values(v)).some(needsRego);
}

/** As OPA writes a result to JSON: sets as sorted arrays, keys that are not strings as their JSON text. Throws `policy-result` for numbers JSON can't carry exactly. */
export function toJson(v: RegoValue): Json {
  if (v === null || typeof v === 'boolean' || typeof v === 'string') return v;
  if (isNumeric(v)) return toJsonNumber(v);
  if (Array.isArray(v)) return v.map(toJson);
  if (v instanceof RegoSet) return sorted(v.items).map(toJson);
  return Object.fromEntries(
    entriesOf(v as PlainObject).map(([k, x]) => [typeof k === 'string' ? k : JSON.stringify(toJson(k)), toJson(x)]),
  );
}

function toJsonNumber(v: number | bigint | RegoNumber): number {
  const double = Number(v instanceof RegoNumber ? v.text : v);
  if (!Number.isFinite(double) || (isInteger(v) && !Number.isSafeInteger(double))) {
    throw new CountersignError(
      'policy-result',
      `a result holds the number ${toRego(v).slice(0, 40)}, which JSON cannot carry exactly`,
      {
        remedy: 'Write it as a string',
      },
    );
  }
  return double;
}
