import { CountersignError } from '../../errors.js';
import { concatBytes } from '../../audit/crypto.js';
import type { Extension, LogStorage, StagedEntry, TreeHead } from '../../audit/sequencer.js';
import type { Tile } from '../../audit/tiles.js';
import { encodeEntries, tilePath, tileWidth } from '../../audit/tiles.js';
import { databaseFault } from './faults.js';

/** A pool or one connection of it; rows come back as objects. */
export interface Queryable {
  query<T>(text: string, values?: unknown[]): Promise<T>;
}

interface ReleasedTree {
  readonly size: number;
  readonly note: string | undefined;
}

const cachedTiles = 256; // at 8 KiB each

/** What anyone may read of the log. */
export class LogReader {
  /** Full tiles never change. */
  readonly #full = new Map<string, Uint8Array>();

  constructor(private readonly database: Queryable) {}

  async head(): Promise<TreeHead & { readonly note: string | undefined }> {
    const [row] = await this.rows<{ size: string; root: Buffer; note: string | null }>(
      'SELECT size, root, note FROM log_head',
    );
    return { size: Number(row.size), root: row.root, note: row.note ?? undefined };
  }

  async released(): Promise<ReleasedTree> {
    const [row] = await this.rows<{ released: string; note: string | null }>('SELECT released, note FROM log_head');
    return { size: Number(row.released), note: row.note ?? undefined };
  }

  /** Leaves from … to, `to` not included. */
  async leaves(from: number, to: number): Promise<readonly Buffer[]> {
    const rows = await this.rows<{ leaf: Buffer }>(
      'SELECT leaf FROM log_entry WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index',
      [from, to],
    );
    return rows.map((row) => row.leaf);
  }

  readonly readTile = async (tile: Tile): Promise<Uint8Array> => {
    const key = tilePath(tile);
    const cached = this.#full.get(key);
    if (cached) return cached;
    const bytes = await this.#assemble(tile);
    if (tile.width === tileWidth && tile.level !== 'entries') {
      if (this.#full.size >= cachedTiles) this.#full.delete(this.#full.keys().next().value!);
      this.#full.set(key, bytes);
    }
    return bytes;
  };

  async #assemble(tile: Tile): Promise<Uint8Array> {
    const from = tile.index * tileWidth;
    const to = from + tile.width;
    if (tile.level === 'entries') return encodeEntries(await this.leaves(from, to));
    const rows =
      tile.level === 0
        ? await this.rows<{ hash: Buffer }>(
            'SELECT leaf_hash AS hash FROM log_entry WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index',
            [from, to],
          )
        : await this.rows<{ hash: Buffer }>(
            'SELECT root AS hash FROM log_tile WHERE level = $3 AND number >= $1 AND number < $2 ORDER BY number',
            [from, to, tile.level - 1],
          );
    return concatBytes(...rows.map((row) => row.hash));
  }

  protected rows<T>(text: string, values: unknown[] = []): Promise<T[]> {
    return rowsOf<T>(this.database, text, values);
  }
}

/** The sequencer's storage: every write fenced by the lease's epoch, and the tree extended on the connection that holds it. */
export class PostgresLogStorage extends LogReader implements LogStorage {
  constructor(
    connection: Queryable,
    private readonly epoch: string,
    /** Releases go by others, since they come while the tree is being extended. */
    private readonly pool: Queryable,
  ) {
    super(connection);
  }

  async staged(limit: number): Promise<readonly StagedEntry[]> {
    return this.rows<StagedEntry>('SELECT id, leaf FROM log_outbox ORDER BY id LIMIT $1', [limit]);
  }

  async extend({ from, to, entries, tileRoots }: Extension): Promise<void> {
    await this.rows('BEGIN');
    try {
      const [moved] = await this.rows<{ taken: string }>(
        `WITH head AS (
           UPDATE log_head SET size = $1, root = $2 WHERE size = $3 AND root = $4 AND epoch = $5 RETURNING size
         ), taken AS (
           DELETE FROM log_outbox o USING unnest($6::bigint[], $7::bigint[], $8::bytea[]) AS place (id, log_index, leaf_hash)
           WHERE o.id = place.id AND EXISTS (SELECT 1 FROM head)
           RETURNING o.id, o.type, o.leaf, place.log_index, place.leaf_hash
         ), added AS (
           INSERT INTO log_entry (log_index, leaf_hash, outbox_id, type, leaf)
           SELECT log_index, leaf_hash, id, type, leaf FROM taken RETURNING 1
         ), tiles AS (
           INSERT INTO log_tile (level, number, root)
           SELECT * FROM unnest($9::smallint[], $10::bigint[], $11::bytea[]) WHERE EXISTS (SELECT 1 FROM head)
         ) SELECT count(*) AS taken FROM added`,
        [
          to.size,
          to.root,
          from.size,
          from.root,
          this.epoch,
          entries.map((entry) => entry.id),
          entries.map((entry) => entry.index),
          entries.map((entry) => entry.leafHash),
          tileRoots.map((tile) => tile.level),
          tileRoots.map((tile) => tile.index),
          tileRoots.map((tile) => tile.root),
        ],
      );
      if (Number(moved.taken) !== entries.length) throw lost(from.size);
      await this.rows('COMMIT');
    } catch (error) {
      // The connection may be gone, and the transaction with it: what counts is the first error.
      await this.rows('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }

  async release(note: string, size: number): Promise<void> {
    // Not flushed: after a power loss the same note is signed again, from the head that is durable. Readers are then shown an
    // older checkpoint until the sequencer has started, which is consistent with every newer one.
    const [done] = await rowsOf<{ released: string }>(
      this.pool,
      `WITH lazily AS (SELECT set_config('synchronous_commit', 'off', true)), shown AS (
         UPDATE log_head SET released = $1, note = $2 FROM lazily
         WHERE epoch = $3 AND size >= $1 AND released <= $1 RETURNING released
       ) SELECT released FROM shown`,
      [size, note, this.epoch],
    );
    if (!done) throw lost(size);
  }
}

async function rowsOf<T>(database: Queryable, text: string, values: unknown[]): Promise<T[]> {
  try {
    return await database.query<T[]>(text, values);
  } catch (error) {
    throw databaseFault(error);
  }
}

function lost(size: number): CountersignError {
  return new CountersignError('log-conflict', `another sequencer extended the log beyond ${size} entries`, {
    retry: true,
  });
}
