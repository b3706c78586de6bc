import { CountersignError } from '../errors.js';
import type { SignedCheckpoint } from './checkpoint.js';
import { openCheckpoint, signCheckpoint } from './checkpoint.js';
import type { Hash } from './crypto.js';
import { equalBytes } from './crypto.js';
import type { KeyRing } from './keys.js';
import { Frontier, leafHash, rootAt } from './merkle.js';
import { behindRemedy } from './mirroring.js';
import { parseVkey } from './note.js';
import type { TileReader } from './tiles.js';
import { nodeReader } from './tiles.js';

export interface StagedEntry {
  /** Ascending in the order of staging. */
  readonly id: string;
  readonly leaf: Uint8Array;
  /** Only of an entry that was not staged: nothing else is written with it, so it is given its place at once. */
  readonly type?: string;
}

export interface TreeHead {
  readonly size: number;
  readonly root: Hash;
}

export interface SequencedEntry extends StagedEntry {
  readonly index: number;
  readonly leafHash: Hash;
}

export interface Extension {
  readonly from: TreeHead;
  readonly to: TreeHead;
  readonly entries: readonly SequencedEntry[];
  /** Roots of the hash tiles that became full: what a tile of the level above is made of. */
  readonly tileRoots: readonly { readonly level: number; readonly index: number; readonly root: Hash }[];
}

/**
 * Where the log lives. Each write is atomic, and `extend` durable when it resolves; one that rejects may have happened or not.
 * Throws `database-unavailable`, `disk-full`, and `log-conflict` for a writer that no longer holds the lease.
 */
export interface LogStorage {
  /** The newest tree, and the newest note released for it (undefined before the first). */
  head(): Promise<TreeHead & { readonly note: string | undefined }>;
  /** Committed entries that have no index yet, oldest first. */
  staged(limit: number): Promise<readonly StagedEntry[]>;
  /** Entries, tiles and head together, only if the head still is `from` (compare-and-swap); the staging of those staged ends with it. */
  extend(extension: Extension): Promise<void>;
  /** Makes a signed checkpoint the one that every process shows. May be forgotten in a crash: `head` then gives an older one. */
  release(note: string, size: number): Promise<void>;
  readonly readTile: TileReader;
}

/** The last checkpoint that this service has signed or seen, outside the database so that a restored backup is noticed. */
export interface SeenCheckpoint {
  load(): Promise<string | undefined>;
  save(note: string): Promise<void>;
}

/** Signed, and durable outside the database. */
export interface SavedCheckpoint {
  readonly note: string;
  readonly size: number;
}

export const batchSize = 512;

/*
 * The crash order (invariant 3). Each step, up to 4, is durable before the next begins:
 *
 *   1. the caller's transaction: its rows and the staged entries          (record: nothing is promised yet; an entry without rows begins at 2)
 *   2. extend: entries, tiles and tree head, compare-and-swap             (the order is decided, nobody has been told)
 *   3. sign the checkpoint, in memory                                     (only of a tree that 2 made durable)
 *   4. save it in the file outside the database                           (before anybody else can have seen it)
 *   5. acknowledge; from here on this process shows it                    (readers may hold it)
 *   6. release it in the database                                         (so that the other processes show it, too)
 *
 * Killed after 1, the next sequencer finds the staged entries. After 2, 3, 4 or 5 it finds a head without its note, and signs the
 * same bytes again: Ed25519 is deterministic and a checkpoint holds no time. Step 6 may come late, and one may stand for several: the tree
 * that 5 promises is durable since 2, and whoever sequences next begins with it. A database older than the file of step 4 is one
 * that lost what it had promised: refused. A step that fails leaves it unknown whether it happened, so the next batch begins by
 * reading everything back.
 */
export class Sequencer {
  /** Undefined: what is stored is not known, recover first. */
  #frontier: Frontier | undefined;
  /** The newest tree that is durable, the newest checkpoint that was saved, and how much was released. */
  #durable: TreeHead | undefined;
  #saved: SavedCheckpoint | undefined;
  #released = 0;

  constructor(
    private readonly storage: LogStorage,
    private readonly seen: SeenCheckpoint,
    private readonly keys: Pick<KeyRing, 'origin' | 'log'>,
  ) {}

  /** Every step for the oldest staged entries; empty when there were none. */
  async sequence(): Promise<readonly SequencedEntry[]> {
    const entries = await this.extend();
    if (entries.length > 0) {
      await this.publish();
      await this.release();
    }
    return entries;
  }

  /**
   * Step 2: gives the oldest staged entries their places. May run while `publish` does, which then shows a tree that this one
   * has not grown yet; none of the three may run twice at once, and after one has failed only a new sequencer may go on beside the others.
   * `direct` entries go first. If this throws they have their places or never will by this lease: its next holder can tell.
   */
  async extend(direct: readonly StagedEntry[] = [], outbox = true): Promise<readonly SequencedEntry[]> {
    const frontier = (this.#frontier ??= await this.recover());
    const staged = outbox ? [...direct, ...(await this.storage.staged(batchSize))] : direct;
    if (staged.length === 0) return [];
    this.#frontier = undefined;
    const extension = extend(frontier, staged);
    await this.storage.extend(extension);
    this.#durable = extension.to;
    this.#frontier = frontier;
    return extension.entries;
  }

  /** Steps 3 and 4 for everything extended so far. Resolves to the checkpoint under which entries may be acknowledged. */
  async publish(): Promise<SavedCheckpoint> {
    const [head, saved] = [this.#durable!, this.#saved];
    if (saved?.size === head.size) return saved;
    return this.#attempt(() => this.#save(head));
  }

  /** Step 6 for the newest checkpoint saved. */
  async release(): Promise<void> {
    const saved = this.#saved;
    if (!saved || saved.size === this.#released) return;
    await this.#attempt(() => this.storage.release(saved.note, saved.size));
    this.#released = saved.size;
  }

  get released(): boolean {
    return this.#saved === undefined || this.#saved.size === this.#released;
  }

  /** Reads the tree back, checks it against every promise made, and finishes what a crash left. Throws `log-behind`, `log-invalid`. */
  async recover(): Promise<Frontier> {
    const head = await this.storage.head();
    await checkPromises(head, await this.seen.load(), head.note, this.storage.readTile, this.keys);
    const frontier = await Frontier.read(head.size, nodeReader(head.size, this.storage.readTile));
    if (!equalBytes(frontier.root(), head.root)) {
      throw new CountersignError(
        'log-invalid',
        `the stored tiles do not give the root of the tree of ${head.size} entries`,
        {
          remedy: 'The database is damaged: countersign fsck says where, and can make derived tiles again',
        },
      );
    }
    const released = head.note === undefined ? undefined : openCheckpoint(head.note, parseVkey(this.keys.log.vkey));
    this.#durable = head;
    if (released?.size === head.size) {
      this.#saved = { note: released.note, size: head.size };
      this.#released = head.size;
    } else {
      const { note, size } = await this.#save(head);
      await this.storage.release(note, size);
      this.#released = size;
    }
    return frontier;
  }

  async #save(head: TreeHead): Promise<SavedCheckpoint> {
    const note = await signCheckpoint({ origin: this.keys.origin, ...head }, this.keys.log);
    await this.seen.save(note);
    return (this.#saved = { note, size: head.size });
  }

  async #attempt<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      this.#frontier = undefined;
      throw error;
    }
  }
}

/** Computes a batch's places and hashes. `frontier` grows. */
function extend(frontier: Frontier, staged: readonly StagedEntry[]): Extension {
  const from = { size: frontier.size, root: frontier.root() };
  const tileRoots: { level: number; index: number; root: Hash }[] = [];
  const entries = staged.map((one) => {
    const entry = { ...one, index: frontier.size, leafHash: leafHash(one.leaf) };
    frontier.append(entry.leafHash, ({ level, index }, root) => {
      if (level > 0 && level % 8 === 0) tileRoots.push({ level: level / 8 - 1, index, root });
    });
    return entry;
  });
  return { from, to: { size: frontier.size, root: frontier.root() }, entries, tileRoots };
}

/** Every checkpoint ever signed must be a prefix of the tree that is there now. */
export async function checkPromises(
  head: TreeHead,
  seen: string | undefined,
  released: string | undefined,
  readTile: TileReader,
  keys: Pick<KeyRing, 'origin' | 'log'>,
): Promise<void> {
  const log = parseVkey(keys.log.vkey);
  for (const note of [seen, released]) {
    if (note === undefined) continue;
    let promised: SignedCheckpoint;
    try {
      promised = openCheckpoint(note, log);
    } catch (cause) {
      throw new CountersignError(
        'keys-invalid',
        `the last checkpoint was not signed by this service's key ${log.vkey}`,
        {
          remedy: 'Put the keys of this log back into the keys folder, and its origin into the configuration',
          cause,
        },
      );
    }
    if (promised.size > head.size) {
      throw new CountersignError(
        'log-behind',
        `the database holds ${head.size} entries, but a checkpoint of ${promised.size} was signed: an older copy was restored`,
        { remedy: behindRemedy },
      );
    }
    if (!equalBytes(await rootAt(promised.size, nodeReader(head.size, readTile)), promised.root)) {
      throw new CountersignError(
        'log-behind',
        `the first ${promised.size} entries are not those of the checkpoint once signed`,
        { remedy: behindRemedy },
      );
    }
  }
}
