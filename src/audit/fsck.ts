import { decodeEntries, tilePath, tileWidth, widthAt, type Tile } from './tiles.js';
import type { SignedCheckpoint } from './checkpoint.js';
import type { Hash } from './crypto.js';
import { concatBytes, equalBytes, sha256, toHex } from './crypto.js';
import { erasedBy } from './erasure.js';
import { contentName, evidenceLimits } from './evidence.js';
import type { LogFiles } from './log-files.js';
import { Frontier, leafHash } from './merkle.js';
import { contentsOf, parseStatement } from './statement.js';

/** Something that is not as the entries say. */
export interface Finding {
  /** `entry 17`, `tile/0/x001/234`, `decision 4f…`, `content 9a…`. */
  readonly place: string;
  readonly problem: string;
  /** Whether it follows from the entries, and can be made again from them. */
  readonly derived: boolean;
  readonly repaired?: boolean;
}

/** What was found, the first thing first; of many, the first ones. */
export class Findings {
  readonly #kept: Finding[] = [];
  #count = 0;

  add(place: string, problem: string, derived = false): void {
    this.#count += 1;
    if (this.#kept.length < keptFindings) this.#kept.push({ place, problem, derived });
  }

  get all(): readonly Finding[] {
    return this.#kept;
  }

  get count(): number {
    return this.#count;
  }
}

const keptFindings = 1_000;

export interface CheckedFiles {
  readonly where: string;
  readonly size: number;
  readonly tiles: number;
  readonly contents: number;
}

/**
 * Derives every tile of a log that is served or copied as files from its entries again, in one pass and bounded memory, partial tiles
 * included, and with `contents` what the place holds of them. Throws what keeps it from reading on: `mirror-unavailable`.
 */
export async function checkFiles(
  files: LogFiles,
  checkpoint: SignedCheckpoint,
  findings: Findings,
  options: { readonly contents: boolean; readonly progress: (done: number, of: number) => void },
): Promise<CheckedFiles> {
  const { size } = checkpoint;
  const { where } = files;
  const frontier = new Frontier();
  const tiles = new ServedTiles(files, size, findings);
  const contents = new ServedContents(files, findings);
  for (let index = 0; index * tileWidth < size; index += 1) {
    const tile: Tile = { level: 'entries', index, width: widthAt(size, 'entries', index) };
    const leaves = await entriesOf(files, tile, findings);
    // Without them nothing that comes after can be derived.
    if (!leaves) return { where, size, tiles: tiles.checked, contents: contents.checked };
    for (const leaf of leaves) await tiles.append(leafHash(leaf), frontier);
    if (options.contents) for (const [i, leaf] of leaves.entries()) await contents.check(index * tileWidth + i, leaf);
    options.progress(frontier.size, size);
  }
  await tiles.finish();
  if (!equalBytes(frontier.root(), checkpoint.root)) {
    findings.add('checkpoint', `the entries in ${where} do not give the root of ${size} entries that was signed`);
  }
  return { where, size, tiles: tiles.checked, contents: contents.checked };
}

async function entriesOf(files: LogFiles, tile: Tile, findings: Findings): Promise<readonly Uint8Array[] | undefined> {
  const name = tilePath(tile);
  const bytes = await files.read(name, evidenceLimits.entries);
  if (!bytes) {
    findings.add(name, `is not in ${files.where}`);
    return undefined;
  }
  try {
    return decodeEntries(bytes, tile.width);
  } catch (error) {
    findings.add(name, (error as Error).message);
    return undefined;
  }
}

/** The hash tiles of a place, each compared when the hashes that it should hold are complete. */
class ServedTiles {
  checked = 0;
  readonly #rows: Hash[][] = [];
  readonly #index: number[] = [];

  constructor(
    private readonly files: LogFiles,
    private readonly size: number,
    private readonly findings: Findings,
  ) {}

  async append(leaf: Hash, frontier: Frontier): Promise<void> {
    const completed: [number, Hash][] = [];
    frontier.append(leaf, ({ level }, hash) => {
      if (level % 8 === 0) completed.push([level / 8, hash]);
    });
    for (const [level, hash] of completed) {
      const row = (this.#rows[level] ??= []);
      row.push(hash);
      if (row.length === tileWidth) await this.#compare(level);
    }
  }

  async finish(): Promise<void> {
    for (const [level, row] of this.#rows.entries()) if (row.length > 0) await this.#compare(level);
  }

  async #compare(level: number): Promise<void> {
    const index = this.#index[level] ?? 0;
    const hashes = this.#rows[level];
    const name = tilePath({ level, index, width: widthAt(this.size, level, index) });
    const bytes = await this.files.read(name, tileWidth * 32 + 1);
    this.checked += 1;
    if (!bytes) this.findings.add(name, `is not in ${this.files.where}`, true);
    else if (!equalBytes(bytes, concatBytes(...hashes)))
      this.findings.add(name, 'does not hold the hashes that its entries give', true);
    this.#rows[level] = [];
    this.#index[level] = index + 1;
  }
}

class ServedContents {
  checked = 0;
  readonly #seen = new Set<string>();

  constructor(
    private readonly files: LogFiles,
    private readonly findings: Findings,
  ) {}

  /** One that is not there may have been withheld or erased; one that is there must be what its digest says. */
  async check(index: number, leaf: Uint8Array): Promise<void> {
    let named: ReturnType<typeof contentsOf>;
    let type: string;
    try {
      const statement = parseStatement(leaf);
      [type, named] = [statement.type, contentsOf(statement.predicate)];
    } catch (error) {
      return this.findings.add(`entry ${index}`, (error as Error).message);
    }
    for (const [role, { sha256: digest }] of named) {
      if (this.#seen.has(digest)) continue;
      if (this.#seen.size >= 1_000_000) this.#seen.clear();
      this.#seen.add(digest);
      const bytes = await this.files.read(contentName(digest), evidenceLimits.content);
      if (!bytes) continue;
      this.checked += 1;
      if (toHex(sha256(bytes)) !== digest)
        this.findings.add(contentName(digest), `was changed; entry ${index} names it`);
      else if (type === 'erasure' && role === 'erased') await this.#checkErased(index, bytes);
    }
  }

  async #checkErased(index: number, list: Uint8Array): Promise<void> {
    for (const digest of erasedBy(list)) {
      if (await this.files.read(contentName(digest), evidenceLimits.content))
        this.findings.add(
          contentName(digest),
          `is still in ${this.files.where}, although entry ${index} erased it`,
          true,
        );
    }
  }
}
