import type { Hash } from './crypto.js';
import { concatBytes, equalBytes } from './crypto.js';
import type { Evidence } from './evidence.js';
import { invalid } from './evidence.js';
import type { Frontier } from './merkle.js';
import { parseTilePath, tilePath, tilesOf, tileWidth, widthAt } from './tiles.js';

/** The stored hashes of a folder of tiles, compared with those of the entries. */
export class HashTiles {
  readonly #expected: ReadonlySet<string>;
  readonly #rows = new Map<number, Hash[]>();

  constructor(
    private readonly evidence: Evidence,
    private readonly size: number,
  ) {
    const tiles = [...tilesOf(size)].filter((tile) => evidence.kind === 'tiles' || tile.level === 'entries');
    this.#expected = new Set(tiles.map(tilePath));
  }

  /** A mirror also keeps narrower tiles of trees that it has shown, for those who are still reading one. */
  belongs(name: string): boolean {
    if (this.#expected.has(name)) return true;
    const tile = this.evidence.kind === 'tiles' ? parseTilePath(name) : undefined;
    return tile !== undefined && tile.width < widthAt(this.size, tile.level, tile.index);
  }

  /** The next leaf; `frontier` grows by it. Throws `bundle-invalid` for the first tile that is another. */
  async check(index: number, leaf: Hash, frontier: Frontier): Promise<void> {
    if (this.evidence.kind === 'bundle') {
      frontier.append(leaf);
      return;
    }
    const completed: [number, number, Hash][] = [];
    frontier.append(leaf, (node, hash) => {
      if (node.level % 8 === 0) completed.push([node.level / 8, node.index, hash]);
    });
    for (const [level, at, hash] of completed) {
      const row = this.#rows.get(level) ?? [];
      this.#rows.set(level, row);
      row.push(hash);
      const number = Math.floor(at / tileWidth);
      const tile = { level, index: number, width: widthAt(this.size, level, number) };
      if (row.length < tile.width) continue;
      const name = tilePath(tile);
      const stored = await this.evidence.read(name, tileWidth * 32);
      if (!equalBytes(stored, concatBytes(...row)))
        throw invalid(`a hash tile is not that of its entries (up to ${index})`, name);
      row.length = 0;
    }
  }
}
