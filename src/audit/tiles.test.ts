import { equalBytes, utf8 } from './crypto.js';
import type { Hash } from './crypto.js';
import {
  Frontier,
  inclusionHolds,
  leafHash,
  proveConsistency,
  proveInclusion,
  consistencyHolds,
  rootOf,
  rootAt,
} from './merkle.js';
import type { Tile } from './tiles.js';
import {
  decodeEntries,
  encodeEntries,
  nodeReader,
  parseTilePath,
  subtreeRoot,
  tilePath,
  tilesOf,
  widthAt,
} from './tiles.js';

const size = 66_001; // three levels of tiles
const leaves = Array.from({ length: size }, (_, i) => leafHash(utf8(String(i))));

const rows: (readonly Hash[])[] = [leaves];
for (let level = 1; level < 3; level += 1) {
  const below = rows[level - 1];
  const count = Math.floor(below.length / 256);
  rows.push(Array.from({ length: count }, (_, i) => subtreeRoot(below.slice(i * 256, (i + 1) * 256))));
}
const tileOf = (tile: Tile): Promise<Uint8Array> =>
  Promise.resolve(Buffer.concat(rows[Number(tile.level)].slice(tile.index * 256, tile.index * 256 + tile.width)));

describe('tiles', () => {
  it.each<[Tile, string]>([
    [{ level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ level: 3, index: 1_234_067, width: 256 }, 'tile/3/x001/x234/067'],
    [{ level: 'entries', index: 1000, width: 5 }, 'tile/entries/x001/000.p/5'],
    [{ level: 0, index: 999, width: 1 }, 'tile/0/999.p/1'],
  ])('names %j as C2SP tlog-tiles does', (tile, path) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual(tile);
  });

  it.each([
    'tile/0/1',
    'tile/0/x000/001',
    'tile/0/001.p/0',
    'tile/0/001.p/256',
    'tile/0/001.p/05',
    'tile/00/001',
    'tile/64/000',
    '/tile/0/001',
    'tile/0/../001',
    'tile/0/x001',
    'tile/data/001',
    'tile/0/001.p/300',
    'tile/-1/001',
    'tile/0/001\n',
  ])('refuses the path %j', (path) => {
    expect(parseTilePath(path)).toBeUndefined();
  });

  it('counts what each tile of a tree holds', () => {
    expect(widthAt(size, 0, 257)).toBe(209);
    expect(widthAt(size, 1, 1)).toBe(1);
    expect(widthAt(size, 2, 0)).toBe(1);
    expect(widthAt(size, 3, 0)).toBe(0);
    const tiles = [...tilesOf(size)];
    expect(tiles.filter((tile) => tile.level === 'entries')).toHaveLength(258);
    expect(tiles.filter((tile) => tile.level === 1)).toHaveLength(2);
    expect([...tilesOf(0)]).toEqual([]);
  });

  it('reads roots and proofs out of tiles alone', async () => {
    const read = nodeReader(size, tileOf);
    const root = rootOf(leaves);
    expect(equalBytes(await rootAt(size, read), root)).toBe(true);
    expect(equalBytes((await Frontier.read(size, read)).root(), root)).toBe(true);
    for (const index of [0, 255, 256, 65_535, 65_536, 66_000]) {
      const proof = await proveInclusion(index, size, read);
      expect(inclusionHolds(index, size, leaves[index], proof, root)).toBe(true);
    }
    for (const old of [1, 256, 257, 65_536, 65_999]) {
      const oldRoot = rootOf(leaves.slice(0, old));
      expect(consistencyHolds(old, size, oldRoot, root, await proveConsistency(old, size, read))).toBe(true);
    }
  });

  it('refuses a tile that is shorter than its width says', async () => {
    const short = nodeReader(size, (tile) => tileOf(tile).then((bytes) => bytes.subarray(0, -1)));
    await expect(rootAt(size, short)).rejects.toMatchObject({ code: 'log-invalid' });
  });

  it('packs entries into bundles and refuses bundles that hold other than they should', () => {
    const entries = [utf8('a'), utf8(''), new Uint8Array(65_535)];
    const bundle = encodeEntries(entries);
    expect(decodeEntries(bundle, 3).map((entry) => entry.length)).toEqual([1, 0, 65_535]);
    expect(() => decodeEntries(bundle, 2)).toThrow('2 entries');
    expect(() => decodeEntries(bundle, 4)).toThrow('4 entries');
    expect(() => decodeEntries(bundle.subarray(0, -1), 3)).toThrow('3 entries');
    expect(() => encodeEntries([new Uint8Array(65_536)])).toThrow('65536');
  });
});
