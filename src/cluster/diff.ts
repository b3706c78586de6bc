import type { Json, JsonObject } from './object.js';

/** One operation of RFC 6902. Only add, remove and replace are made. */
export interface JsonPatchOperation {
  readonly op: 'add' | 'remove' | 'replace';
  /** RFC 6901 JSON pointer. */
  readonly path: string;
  readonly value?: Json;
}

/** Operations that turn `before` into `after` when applied in order. Empty if both are equal. */
export function diffObjects(before: Json, after: Json): JsonPatchOperation[] {
  const operations: JsonPatchOperation[] = [];
  diff(before, after, '', operations);
  return operations;
}

/** RFC 6901, section 3. */
export function escapePointer(segment: string): string {
  return segment.includes('~') || segment.includes('/') ? segment.replaceAll('~', '~0').replaceAll('/', '~1') : segment;
}

export function jsonEqual(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, i) => jsonEqual(item as Json, b[i] as Json))
    );
  }
  const left = a as JsonObject;
  const right = b as JsonObject;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && jsonEqual(left[key], right[key]))
  );
}

function diff(a: Json, b: Json, path: string, out: JsonPatchOperation[]): void {
  if (a === b) return;
  if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null) {
    if (Array.isArray(a) && Array.isArray(b)) return diffArrays(a, b, path, out);
    if (!Array.isArray(a) && !Array.isArray(b)) return diffMembers(a as JsonObject, b as JsonObject, path, out);
  }
  out.push({ op: 'replace', path, value: b });
}

function diffMembers(a: JsonObject, b: JsonObject, path: string, out: JsonPatchOperation[]): void {
  for (const key of Object.keys(a)) {
    const at = `${path}/${escapePointer(key)}`;
    if (Object.hasOwn(b, key)) diff(a[key], b[key], at, out);
    else out.push({ op: 'remove', path: at });
  }
  for (const key of Object.keys(b)) {
    if (!Object.hasOwn(a, key)) out.push({ op: 'add', path: `${path}/${escapePointer(key)}`, value: b[key]! });
  }
}

/** What both arrays begin and end with is left alone, so that one inserted container is one operation and not a rewrite. */
function diffArrays(a: readonly Json[], b: readonly Json[], path: string, out: JsonPatchOperation[]): void {
  const shorter = Math.min(a.length, b.length);
  let head = 0;
  while (head < shorter && jsonEqual(a[head], b[head])) head++;
  let tail = 0;
  while (tail < shorter - head && jsonEqual(a[a.length - 1 - tail], b[b.length - 1 - tail])) tail++;
  const paired = shorter - tail;
  for (let i = head; i < paired; i++) diff(a[i], b[i], `${path}/${i}`, out);
  // From the end, so that the indices of what is still to be removed stay right.
  for (let i = a.length - tail - 1; i >= paired; i--) out.push({ op: 'remove', path: `${path}/${i}` });
  for (let i = paired; i < b.length - tail; i++) out.push({ op: 'add', path: `${path}/${i}`, value: b[i]! });
}
