import { readFileSync } from 'node:fs';
import { equalBytes, sha256, utf8 } from './crypto.js';
import type { Hash } from './crypto.js';
import type { NodeReader, TreeNode } from './merkle.js';
import {
  consistencyHolds,
  emptyRoot,
  Frontier,
  inclusionHolds,
  leafHash,
  nodeHash,
  proveConsistency,
  proveInclusion,
  rootAt,
  rootOf,
} from './merkle.js';

interface Vector {
  readonly name: string;
  readonly wantErr: boolean;
  readonly root: string;
  readonly root1: string;
  readonly root2: string;
  readonly leafHash: string;
  readonly leafIdx: number;
  readonly treeSize: number;
  readonly size1: number;
  readonly size2: number;
  readonly start: number;
  readonly end: number;
  readonly proof: readonly string[] | null;
}

const vectors = (name: string): Vector[] =>
  readFileSync(`test/vectors/merkle/${name}.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Vector);
const bytes = (text: string | null): Hash => Buffer.from(text ?? '', 'base64');

/** The tree by its definition, RFC 6962 section 2.1, to compare with. */
function definition(leaves: readonly Hash[]): Hash {
  if (leaves.length === 0) return emptyRoot;
  if (leaves.length === 1) return leaves[0];
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return nodeHash(definition(leaves.slice(0, k)), definition(leaves.slice(k)));
}

const leaves = Array.from({ length: 70 }, (_, i) => leafHash(utf8(`entry ${i}`)));
const reader: NodeReader = (nodes: readonly TreeNode[]) =>
  Promise.resolve(
    nodes.map(({ level, index }) => definition(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level))),
  );

describe('Merkle tree', () => {
  it('hashes the empty tree as the hash of nothing', () => {
    expect(Buffer.from(emptyRoot).toString('hex')).toBe(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    );
  });

  it.each(vectors('inclusion').map((v) => [v.name, v] as const))('inclusion vector %s', (_name, v) => {
    expect(inclusionHolds(v.leafIdx, v.treeSize, bytes(v.leafHash), (v.proof ?? []).map(bytes), bytes(v.root))).toBe(
      !v.wantErr,
    );
  });

  it.each(vectors('consistency').map((v) => [v.name, v] as const))('consistency vector %s', (_name, v) => {
    expect(consistencyHolds(v.size1, v.size2, bytes(v.root1), bytes(v.root2), (v.proof ?? []).map(bytes))).toBe(
      !v.wantErr,
    );
  });

  it.each(vectors('subtreeinclusion').map((v) => [v.name, v] as const))('subtree inclusion vector %s', (_name, v) => {
    // A subtree begins at a multiple of the smallest power of two that holds it; within, it is a tree like any other.
    let width = 1;
    while (width < v.end - v.start) width *= 2;
    const aligned = v.start >= 0 && v.start < v.end && v.start % width === 0;
    const holds =
      aligned &&
      inclusionHolds(
        v.leafIdx - v.start,
        v.end - v.start,
        bytes(v.leafHash),
        (v.proof ?? []).map(bytes),
        bytes(v.root),
      );
    expect(holds).toBe(!v.wantErr);
  });

  it('grows a frontier to the root of the definition at every size', async () => {
    const frontier = new Frontier();
    for (let size = 0; size <= leaves.length; size += 1) {
      const want = definition(leaves.slice(0, size));
      expect(equalBytes(frontier.root(), want)).toBe(true);
      expect(equalBytes(await rootAt(size, reader), want)).toBe(true);
      expect(equalBytes((await Frontier.read(size, reader)).root(), want)).toBe(true);
      expect(equalBytes(rootOf(leaves.slice(0, size)), want)).toBe(true);
      if (size < leaves.length) frontier.append(leaves[size]);
    }
  });

  it('proves every entry in every tree, and nothing else', async () => {
    for (let size = 1; size <= leaves.length; size += 3) {
      const root = definition(leaves.slice(0, size));
      for (let index = 0; index < size; index += 1) {
        const proof = await proveInclusion(index, size, reader);
        expect(inclusionHolds(index, size, leaves[index], proof, root)).toBe(true);
        expect(inclusionHolds(index, size, sha256(utf8('other')), proof, root)).toBe(false);
        expect(proof.length > 0 && inclusionHolds(index, size, leaves[index], proof.slice(1), root)).toBe(false);
        expect(inclusionHolds(index, size, leaves[index], [...proof, root], root)).toBe(false);
      }
    }
  });

  it('proves every tree consistent with every earlier one, and a forked one with none (invariant 3)', async () => {
    for (let newSize = 1; newSize <= leaves.length; newSize += 1) {
      const newRoot = definition(leaves.slice(0, newSize));
      for (let oldSize = 1; oldSize <= newSize; oldSize += 1) {
        const oldRoot = definition(leaves.slice(0, oldSize));
        const proof = await proveConsistency(oldSize, newSize, reader);
        expect(consistencyHolds(oldSize, newSize, oldRoot, newRoot, proof)).toBe(true);
        const forked = definition([...leaves.slice(0, oldSize - 1), emptyRoot]);
        expect(consistencyHolds(oldSize, newSize, forked, newRoot, proof)).toBe(false);
      }
    }
  });

  it('refuses a proof from the empty tree, of an entry beyond the end, or backwards', async () => {
    await expect(proveConsistency(0, 5, reader)).rejects.toMatchObject({ code: 'proof-invalid' });
    await expect(proveConsistency(6, 5, reader)).rejects.toMatchObject({ code: 'proof-invalid' });
    await expect(proveInclusion(5, 5, reader)).rejects.toMatchObject({ code: 'proof-invalid' });
    expect(consistencyHolds(0, 5, emptyRoot, definition(leaves.slice(0, 5)), [])).toBe(false);
  });

  it('keeps its arithmetic beyond 32 bits', () => {
    const index = 2 ** 40 + 5;
    const path = Array.from({ length: 41 }, (_, i) => sha256(utf8(String(i))));
    let [hash, n] = [leafHash(utf8('far')), index];
    for (const sibling of path) {
      hash = n % 2 === 1 ? nodeHash(sibling, hash) : nodeHash(hash, sibling);
      n = Math.floor(n / 2);
    }
    expect(inclusionHolds(index, 2 ** 41, leafHash(utf8('far')), path, hash)).toBe(true);
    expect(inclusionHolds(5, 2 ** 41, leafHash(utf8('far')), path, hash)).toBe(false);
  });
});
