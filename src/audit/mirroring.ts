import type { SignedCheckpoint } from './checkpoint.js';
import { openCheckpoint } from './checkpoint.js';
import { equalBytes, fromUtf8, utf8 } from './crypto.js';
import { erasedBy } from './erasure.js';
import { contentName, evidenceFiles, evidenceLimits } from './evidence.js';
import { type Lease, leaseLost } from './lease.js';
import type { LogFiles } from './log-files.js';
import { rootAt } from './merkle.js';
import type { NoteVerifier } from './note.js';
import { contentsOf, parseStatement } from './statement.js';
import type { Tile, TileReader } from './tiles.js';
import { decodeEntries, nodeReader, tilePath, tileWidth, widthAt } from './tiles.js';
import { CountersignError } from '../errors.js';

/** A place that a log is copied to. Rejects with `mirror-unavailable` or `disk-full` (retry true). */
export interface WritableLogFiles extends LogFiles {
  exists(name: string): Promise<boolean>;
  /** Whole and durable when it resolves; in the place of what was there. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** It need not be there. */
  remove(name: string): Promise<void>;
  /** Every file whose name begins so. */
  removeAll(prefix: string): Promise<void>;
}

/** What is copied. */
export interface MirroredLog {
  /** The newest note. */
  newest(): Promise<string>;
  /** The newest that strangers may be shown. */
  checkpoint(): Promise<string>;
  readonly readTile: TileReader;
  storedDigests(digests: readonly string[]): Promise<ReadonlySet<string>>;
  /** Salt included. */
  storedContent(digest: string): Promise<Uint8Array>;
}

export interface Mirrored {
  readonly from: number;
  readonly size: number;
}

/** Contents remembered as copied; one more look at the place for each beyond that. */
const remembered = 100_000;

/**
 * Copies what the log has released. Each entry bundle is written after the contents that its entries name, the checkpoint last: what the place
 * shows is always whole, and a copy that was broken off goes on where it was, because a full tile never changes. Never ahead of the log:
 * what the place promises is checked first, which makes it one more witness.
 */
export class Mirroring {
  readonly #copied = new Set<string>();

  constructor(
    private readonly log: MirroredLog,
    private readonly files: WritableLogFiles,
    private readonly key: NoteVerifier,
  ) {}

  /**
   * Throws `log-behind` if the place holds more of this log, or other entries, than the log itself, and `lease-lost` (retry true) where another
   * process copies by now: its tiles are the same as ours, its checkpoint may be newer.
   */
  async round(lease?: Lease): Promise<Mirrored> {
    const before = await this.check();
    const note = await this.log.checkpoint();
    const now = openCheckpoint(note, this.key);
    if (before && (before.note === note || before.size > now.size)) return { from: before.size, size: before.size };
    const from = before?.size ?? 0;
    await this.#copyEntries(from, now.size);
    await this.#copyHashes(from, now.size);
    if (lease && !lease.held) throw leaseLost(lease);
    await this.files.write(evidenceFiles.checkpoint, utf8(note));
    for (const tile of tilesBetween(from, now.size)) {
      if (tile.width === tileWidth && from > tile.index * tileWidth ** (levelOf(tile) + 1))
        await this.files.removeAll(`${tilePath(tile)}.p/`);
    }
    return { from, size: now.size };
  }

  /** That the log still holds what the place shows. Throws `log-behind`. */
  async check(): Promise<SignedCheckpoint | undefined> {
    const bytes = await this.files.read(evidenceFiles.checkpoint, evidenceLimits.note);
    if (!bytes) return undefined;
    let held: SignedCheckpoint;
    try {
      held = openCheckpoint(fromUtf8(bytes) ?? '', this.key);
    } catch (cause) {
      throw new CountersignError('config-invalid', `${this.files.where} holds the copy of another log`, {
        remedy: 'Name an empty place under log.mirror',
        cause,
      });
    }
    // Read after the place: the log can only have grown since that was copied.
    await requireHeld(
      held,
      openCheckpoint(await this.log.newest(), this.key),
      this.log.readTile,
      `the copy in ${this.files.where}`,
    );
    return held;
  }

  async #copyEntries(from: number, to: number): Promise<void> {
    for (let index = Math.floor(from / tileWidth); index * tileWidth < to; index += 1) {
      const tile: Tile = { level: 'entries', index, width: widthAt(to, 'entries', index) };
      if (tile.width === tileWidth && (await this.files.exists(tilePath(tile)))) continue;
      const bytes = await this.log.readTile(tile);
      const leaves = decodeEntries(bytes, tile.width).slice(Math.max(0, from - index * tileWidth));
      await this.#copyContents(leaves);
      await this.files.write(tilePath(tile), bytes);
    }
  }

  async #copyContents(leaves: readonly Uint8Array[]): Promise<void> {
    const erased: string[] = [];
    const named = new Set<string>();
    for (const leaf of leaves) {
      const { type, predicate } = parseStatement(leaf);
      const contents = contentsOf(predicate);
      for (const { sha256 } of contents.values()) if (!this.#copied.has(sha256)) named.add(sha256);
      const list = type === 'erasure' ? contents.get('erased') : undefined;
      if (list) erased.push(...erasedBy(await this.log.storedContent(list.sha256)));
    }
    // What was erased since is not there, and an erasure that comes later takes away what was copied before.
    for (const digest of await this.log.storedDigests([...named])) {
      const name = contentName(digest);
      if (!(await this.files.exists(name))) await this.files.write(name, await this.log.storedContent(digest));
      if (this.#copied.size >= remembered) this.#copied.clear();
      this.#copied.add(digest);
    }
    for (const digest of erased) await this.files.remove(contentName(digest));
  }

  async #copyHashes(from: number, to: number): Promise<void> {
    for (const tile of tilesBetween(from, to)) {
      if (tile.level === 'entries') continue;
      const name = tilePath(tile);
      if (tile.width === tileWidth && (await this.files.exists(name))) continue;
      await this.files.write(name, await this.log.readTile(tile));
    }
  }
}

/** Tiles of a tree of `to` entries that are not already whole in one of `from`. */
function* tilesBetween(from: number, to: number): Generator<Tile> {
  for (const level of ['entries', ...Array.from({ length: 8 }, (_, l) => l)] as Tile['level'][]) {
    const width = tileWidth ** (level === 'entries' ? 1 : level + 1);
    for (let index = Math.floor(from / width); widthAt(to, level, index) > 0; index += 1) {
      const tile = { level, index, width: widthAt(to, level, index) };
      if (tile.width > widthAt(from, level, index)) yield tile;
    }
  }
}

const levelOf = ({ level }: Tile): number => (level === 'entries' ? 0 : level);

/** A checkpoint that this log once signed, and that somebody else kept, must be a prefix of the log. Throws `log-behind`. */
export async function requireHeld(
  held: SignedCheckpoint,
  now: { readonly size: number },
  readTile: TileReader,
  who: string,
): Promise<void> {
  if (held.size > now.size) {
    throw behind(
      `${who} has ${held.size} entries of this log, which now shows ${now.size}: an older database was restored`,
    );
  }
  if (!equalBytes(await rootAt(held.size, nodeReader(now.size, readTile)), held.root)) {
    throw behind(`${who} has other entries among the first ${held.size} than this log: it was forked`);
  }
}

/** The one remedy for a log that does not hold what was promised. */
export const behindRemedy =
  'Restore the newest database; or take what is missing from a copy (countersign log recover --help); or open a new log that names this one (countersign log continue --help)';

function behind(message: string): CountersignError {
  return new CountersignError('log-behind', message, { remedy: behindRemedy });
}
