/** Bytes of a mark between documents, the line break before it and the character after it included. */
const MARK = 5;

/** How many documents two versions of a file have in common at its beginning and at its end, and the bytes that lie between. */
export interface CommonParts {
  readonly head: number;
  readonly tail: number;
  /** In the newer version. */
  readonly from: number;
  readonly to: number;
}

/**
 * Compares a file with an earlier version whose documents end at `ends` (offsets, the last is its length). A document only counts
 * if the mark after it, which is what ends it, is in both, too.
 */
export function commonParts(before: Buffer, ends: readonly number[], after: Buffer): CommonParts {
  const shorter = Math.min(before.length, after.length);
  const prefix = commonPrefix(before, after, shorter);
  if (prefix === shorter && before.length === after.length)
    return { head: ends.length, tail: 0, from: after.length, to: after.length };
  let head = 0;
  while (head < ends.length - 1 && ends[head] - 1 + MARK <= prefix) head++;
  const from = head === 0 ? 0 : ends[head - 1];
  const suffix = commonSuffix(before, after, shorter - from);
  let tail = 0;
  let to = after.length;
  for (let part = ends.length - 1; part > head; part--) {
    const length = before.length - ends[part - 1];
    // The line break before the mark lies in the document before.
    if (length + 1 > suffix) break;
    tail++;
    to = after.length - length;
  }
  return { head, tail, from, to };
}

/** Ranges below this are compared byte by byte. */
const SHORT = 64;

function commonPrefix(a: Buffer, b: Buffer, length: number): number {
  let [low, high] = [0, length];
  if (a.compare(b, 0, length, 0, length) === 0) return length;
  while (high - low > SHORT) {
    const middle = (low + high) >>> 1;
    if (a.compare(b, low, middle, low, middle) === 0) low = middle;
    else high = middle;
  }
  while (low < high && a[low] === b[low]) low++;
  return low;
}

function commonSuffix(a: Buffer, b: Buffer, length: number): number {
  const [endA, endB] = [a.length, b.length];
  let [low, high] = [0, length];
  while (high - low > SHORT) {
    const middle = (low + high) >>> 1;
    if (a.compare(b, endB - middle, endB - low, endA - middle, endA - low) === 0) low = middle;
    else high = middle;
  }
  while (low < high && a[endA - 1 - low] === b[endB - 1 - low]) low++;
  return low;
}
