import { CountersignError } from '../errors.js';
import type { Hash } from './crypto.js';
import { concatBytes } from './crypto.js';
import type { NodeReader, TreeNode } from './merkle.js';
import { nodeHash } from './merkle.js';

// C2SP tlog-tiles: tiles are eight levels high, so a full one holds 256 hashes (or 256 entries).
const height = 8;
export const tileWidth = 256;
const hashSize = 32;
export const maxEntryBytes = 0xffff;

export interface Tile {
  /** 0 holds leaf hashes; each level above holds the roots of 256 tiles below. */
  readonly level: number | 'entries';
  readonly index: number;
  /** 1…256 hashes or entries. */
  readonly width: number;
}

export type TileReader = (tile: Tile) => Promise<Uint8Array>;

/** `tile/0/x001/234.p/5`, without a leading slash. */
export function tilePath(tile: Tile): string {
  let [rest, path] = [Math.floor(tile.index / 1000), String(tile.index % 1000).padStart(3, '0')];
  for (; rest > 0; rest = Math.floor(rest / 1000)) path = `x${String(rest % 1000).padStart(3, '0')}/${path}`;
  return `tile/${tile.level}/${path}${tile.width < tileWidth ? `.p/${tile.width}` : ''}`;
}

/** The tile a path names; undefined for any other text, other spellings of the same tile included. */
export function parseTilePath(path: string): Tile | undefined {
  const match = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  if (!match) return undefined;
  const tile: Tile = {
    level: match[1] === 'entries' ? 'entries' : Number(match[1]),
    index: Number(match[2].replaceAll(/[x/]/g, '')),
    width: match[3] === undefined ? tileWidth : Number(match[3]),
  };
  const sound = tile.width > 0 && tile.width <= tileWidth && tile.level !== 64 && tilePath(tile) === path;
  return sound && (tile.level === 'entries' || tile.level < 64) ? tile : undefined;
}

/** How many hashes (or entries) of this tile exist in a tree of `size` entries. */
export function widthAt(size: number, level: number | 'entries', index: number): number {
  const atLevel = Math.floor(size / tileWidth ** (level === 'entries' ? 0 : level));
  return Math.max(0, Math.min(tileWidth, atLevel - index * tileWidth));
}

/** Every tile of a tree, entry bundles first, then the hash tiles level by level; partial ones at the width they have. */
export function* tilesOf(size: number): Generator<Tile> {
  for (let index = 0; index * tileWidth < size; index += 1) {
    yield { level: 'entries', index, width: widthAt(size, 'entries', index) };
  }
  for (let level = 0; widthAt(size, level, 0) > 0; level += 1) {
    for (let index = 0; widthAt(size, level, index) > 0; index += 1) {
      yield { level, index, width: widthAt(size, level, index) };
    }
  }
}

/** The root of a full tile, or of any power-of-two run of hashes in one. */
export function subtreeRoot(hashes: readonly Hash[]): Hash {
  let row = hashes;
  while (row.length > 1) {
    row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(row[2 * i], row[2 * i + 1]));
  }
  return row[0];
}

export function splitTile(bytes: Uint8Array, width: number): readonly Hash[] {
  if (bytes.length !== width * hashSize) {
    throw new CountersignError('log-invalid', `a tile of width ${width} has ${bytes.length} bytes`);
  }
  return Array.from({ length: width }, (_, i) => bytes.subarray(i * hashSize, (i + 1) * hashSize));
}

/** Reads nodes of a tree of `size` entries out of its tiles, each tile once per call. */
export function nodeReader(size: number, read: TileReader): NodeReader {
  return async (nodes) => {
    const tiles = new Map<string, Promise<readonly Hash[]>>();
    return Promise.all(
      nodes.map(async (node) => {
        const { level, index, from, count } = locate(node);
        const tile: Tile = { level, index, width: widthAt(size, level, index) };
        const key = `${level}/${index}`;
        let hashes = tiles.get(key);
        if (!hashes) tiles.set(key, (hashes = read(tile).then((bytes) => splitTile(bytes, tile.width))));
        const run = (await hashes).slice(from, from + count);
        if (run.length < count) throw new CountersignError('log-invalid', `${tilePath(tile)} is too narrow`);
        return subtreeRoot(run);
      }),
    );
  };
}

function locate(node: TreeNode): { level: number; index: number; from: number; count: number } {
  const level = Math.floor(node.level / height);
  const count = 2 ** (node.level % height);
  const first = node.index * count;
  return { level, index: Math.floor(first / tileWidth), from: first % tileWidth, count };
}

/** Entries as C2SP's entry bundles hold them: u16be length ‖ bytes, repeated. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  return concatBytes(
    ...entries.flatMap((entry) => {
      if (entry.length > maxEntryBytes) {
        throw new CountersignError('log-invalid', `an entry of ${entry.length} bytes is longer than ${maxEntryBytes}`);
      }
      return [new Uint8Array([entry.length >> 8, entry.length & 0xff]), entry];
    }),
  );
}

export function decodeEntries(bytes: Uint8Array, width: number): readonly Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at + 2 <= bytes.length && entries.length < width) {
    const length = (bytes[at] << 8) | bytes[at + 1];
    if (at + 2 + length > bytes.length) break;
    entries.push(bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  if (at !== bytes.length || entries.length !== width) {
    throw new CountersignError('log-invalid', `an entry bundle does not hold the ${width} entries it should`);
  }
  return entries;
}
