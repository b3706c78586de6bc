import { CountersignError } from '../errors.js';
import type { Hash } from './crypto.js';
import { equalBytes, sha256 } from './crypto.js';

const leafPrefix = new Uint8Array([0]);
const nodePrefix = new Uint8Array([1]);

/** RFC 6962 section 2.1: MTH of the empty tree. */
export const emptyRoot: Hash = sha256();
export const leafHash = (data: Uint8Array): Hash => sha256(leafPrefix, data);
export const nodeHash = (left: Hash, right: Hash): Hash => sha256(nodePrefix, left, right);

/** A perfect subtree: the 2^level leaves that begin at index × 2^level. */
export interface TreeNode {
  readonly level: number;
  readonly index: number;
}

/** Hashes of perfect subtrees, in the order asked. */
export type NodeReader = (nodes: readonly TreeNode[]) => Promise<readonly Hash[]>;

interface Range {
  readonly start: number;
  readonly end: number;
}

/** The right edge of a tree: enough to append and to know the root, at most 53 hashes. */
export class Frontier {
  /** Roots of the perfect subtrees that the tree is made of, left (largest) to right. */
  readonly #roots: Hash[];
  #size: number;

  constructor(size = 0, roots: readonly Hash[] = []) {
    if (!Number.isSafeInteger(size) || size < 0 || roots.length !== perfectSubtrees({ start: 0, end: size }).length) {
      throw new CountersignError('log-invalid', `${roots.length} subtree roots do not make a tree of ${size} entries`);
    }
    this.#size = size;
    this.#roots = [...roots];
  }

  static async read(size: number, read: NodeReader): Promise<Frontier> {
    return new Frontier(size, await read(perfectSubtrees({ start: 0, end: size })));
  }

  get size(): number {
    return this.#size;
  }

  /** `completed` hears of every perfect subtree that this leaf completes, smallest first, the leaf itself included. */
  append(leaf: Hash, completed?: (node: TreeNode, hash: Hash) => void): void {
    let hash = leaf;
    let [level, index] = [0, this.#size];
    completed?.({ level, index }, hash);
    // Every trailing one bit of the old size is a subtree that this leaf completes.
    for (; index % 2 === 1; level += 1, index = (index - 1) / 2) {
      hash = nodeHash(this.#roots.pop()!, hash);
      completed?.({ level: level + 1, index: (index - 1) / 2 }, hash);
    }
    this.#roots.push(hash);
    this.#size += 1;
  }

  root(): Hash {
    return joinRoots(this.#roots);
  }

  copy(): Frontier {
    return new Frontier(this.#size, this.#roots);
  }
}

export function rootOf(leaves: Iterable<Hash>): Hash {
  const frontier = new Frontier();
  for (const leaf of leaves) frontier.append(leaf);
  return frontier.root();
}

/** The root of the tree's first `size` leaves. */
export async function rootAt(size: number, read: NodeReader): Promise<Hash> {
  return joinRoots(await read(perfectSubtrees({ start: 0, end: size })));
}

/** RFC 6962 section 2.1.1, leaf to root. */
export async function proveInclusion(index: number, size: number, read: NodeReader): Promise<readonly Hash[]> {
  if (!isIndex(index) || !isIndex(size) || index >= size) {
    throw new CountersignError('proof-invalid', `entry ${index} is not in a tree of ${size} entries`);
  }
  const siblings: Range[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + largestPowerBelow(end - start);
    if (index < middle) {
      siblings.push({ start: middle, end });
      end = middle;
    } else {
      siblings.push({ start, end: middle });
      start = middle;
    }
  }
  return readRanges(siblings.toReversed(), read);
}

/** RFC 6962 section 2.1.2. A proof from the empty tree says nothing and is refused. */
export async function proveConsistency(oldSize: number, newSize: number, read: NodeReader): Promise<readonly Hash[]> {
  if (!isIndex(oldSize) || !isIndex(newSize) || oldSize === 0 || oldSize > newSize) {
    throw new CountersignError('proof-invalid', `no consistency proof leads from ${oldSize} to ${newSize} entries`);
  }
  const ranges: Range[] = [];
  let [start, end, whole] = [0, newSize, true];
  while (oldSize !== end) {
    const middle = start + largestPowerBelow(end - start);
    if (oldSize <= middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
      whole = false;
    }
  }
  if (!whole) ranges.push({ start, end });
  return readRanges(ranges.toReversed(), read);
}

/** RFC 9162 section 2.1.3.2. */
export function inclusionHolds(index: number, size: number, leaf: Hash, proof: readonly Hash[], root: Hash): boolean {
  if (!isIndex(index) || !isIndex(size) || index >= size || !areHashes([leaf, root, ...proof])) return false;
  let [fn, sn, hash] = [index, size - 1, leaf];
  for (const sibling of proof) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(sibling, hash);
      [fn, sn] = skipLeftEdges(fn, sn);
    } else {
      hash = nodeHash(hash, sibling);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && equalBytes(hash, root);
}

/** RFC 9162 section 2.1.4.2. */
export function consistencyHolds(
  oldSize: number,
  newSize: number,
  oldRoot: Hash,
  newRoot: Hash,
  proof: readonly Hash[],
): boolean {
  if (!isIndex(oldSize) || !isIndex(newSize) || oldSize === 0 || oldSize > newSize) return false;
  if (oldSize === newSize) return proof.length === 0 && equalBytes(oldRoot, newRoot);
  if (!areHashes([oldRoot, newRoot, ...proof])) return false;
  if (proof.length === 0) return false;
  const path = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : proof;
  let [fn, sn] = [oldSize - 1, newSize - 1];
  while (fn % 2 === 1) [fn, sn] = [half(fn), half(sn)];
  let [oldHash, newHash] = [path[0], path[0]];
  for (const hash of path.slice(1)) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      oldHash = nodeHash(hash, oldHash);
      newHash = nodeHash(hash, newHash);
      [fn, sn] = skipLeftEdges(fn, sn);
    } else {
      newHash = nodeHash(newHash, hash);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && equalBytes(oldHash, oldRoot) && equalBytes(newHash, newRoot);
}

/** What a range of leaves is made of; `start` must be a multiple of every power of two not above the range's length. */
function perfectSubtrees({ start, end }: Range): readonly TreeNode[] {
  const nodes: TreeNode[] = [];
  for (let at = start; at < end;) {
    let [level, width] = [0, 1];
    while (width * 2 <= end - at && at % (width * 2) === 0) [level, width] = [level + 1, width * 2];
    nodes.push({ level, index: at / width });
    at += width;
  }
  return nodes;
}

async function readRanges(ranges: readonly Range[], read: NodeReader): Promise<readonly Hash[]> {
  const parts = ranges.map(perfectSubtrees);
  const hashes = await read(parts.flat());
  let at = 0;
  return parts.map((nodes) => joinRoots(hashes.slice(at, (at += nodes.length))));
}

function joinRoots(roots: readonly Hash[]): Hash {
  if (roots.length === 0) return emptyRoot;
  return roots.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), roots.at(-1)!);
}

function skipLeftEdges(fn: number, sn: number): [number, number] {
  let [a, b] = [fn, sn];
  while (a % 2 === 0 && a !== 0) [a, b] = [half(a), half(b)];
  return [a, b];
}

// Bit operators would cut sizes to 32 bits.
const half = (n: number): number => Math.floor(n / 2);
const isIndex = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;
const areHashes = (hashes: readonly Hash[]): boolean => hashes.every((hash) => hash.length === 32);

function largestPowerBelow(n: number): number {
  let power = 1;
  while (power * 2 < n) power *= 2;
  return power;
}

function isPowerOfTwo(n: number): boolean {
  let rest = n;
  while (rest % 2 === 0) rest /= 2;
  return rest === 1;
}
