import { CountersignError } from '../../errors.js';
import { concatBytes } from '../../audit/crypto.js';
import type { Extension, LogStorage, SequencedEntry, StagedEntry, TreeHead } from '../../audit/sequencer.js';
import type { Tile } from '../../audit/tiles.js';
import { encodeEntries, tilePath, tileWidth } from '../../audit/tiles.js';
import { bigintArray, byteaArray, textArray } from './binary-array.js';
import { databaseFault } from './faults.js';

/** A pool or one connection of it; rows come back as objects. */
export interface Queryable {
  query<T>(text: string, values?: unknown[]): Promise<T>;
}

export interface ReleasedTree {
  readonly size: number;
  readonly note: string | undefined;
}

type DirectEntry = SequencedEntry & { readonly type: string };

const cachedTiles = 256; // at 8 KiB each

/** What anyone may read of the log. */
export class LogReader {
  /** Full tiles never change. */
  readonly #full = new Map<string, Uint8Array>();

  constructor(private readonly database: Queryable) {}

  async head(): Promise<TreeHead & { readonly note: string | undefined }> {
    const [row] = await this.rows<{ size: string; root: Buffer; note: string | null }>(
      'SELECT log_head.size, root, note FROM log_head, log_released',
    );
    return { size: Number(row.size), root: row.root, note: row.note ?? undefined };
  }

  async released(): Promise<ReleasedTree> {
    const [row] = await this.rows<{ size: string; note: string | null }>('SELECT size, note FROM log_released');
    return { size: Number(row.size), note: row.note ?? undefined };
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
    /** Releases go by another one, since they come while the tree is being extended. */
    private readonly beside: Queryable,
  ) {
    super(connection);
  }

  async staged(limit: number): Promise<readonly StagedEntry[]> {
    return this.rows<StagedEntry>('SELECT id, leaf FROM log_outbox ORDER BY id LIMIT $1', [limit]);
  }

  /** One statement, so one transaction and one round trip. It fails as a whole if it cannot take every entry. */
  async extend({ from, to, entries, tileRoots }: Extension): Promise<void> {
    const staged = entries.filter((entry) => entry.type === undefined);
    const direct = entries.filter((entry): entry is DirectEntry => entry.type !== undefined);
    const [done] = await this.rows<{ added: string; head: string }>(
      `WITH head AS (
         UPDATE log_head SET size = $1, root = $2 WHERE size = $3 AND root = $4 AND epoch = $5 RETURNING size
       ), taken AS (
         DELETE FROM log_outbox o USING unnest($6::bigint[], $7::bigint[], $8::bytea[]) AS place (id, log_index, leaf_hash)
         WHERE o.id = place.id AND EXISTS (SELECT 1 FROM head)
         RETURNING place.log_index, place.leaf_hash, o.id, o.type, o.leaf
       ), added AS (
         INSERT INTO log_entry (log_index, leaf_hash, outbox_id, type, leaf)
         SELECT log_index, leaf_hash, id, type, leaf FROM taken
         UNION ALL
         SELECT * FROM unnest($9::bigint[], $10::bytea[], $11::bigint[], $12::text[], $13::bytea[]) WHERE EXISTS (SELECT 1 FROM head)
         RETURNING 1
       ), tiles AS (
         INSERT INTO log_tile (level, number, root)
         SELECT * FROM unnest($14::smallint[], $15::bigint[], $16::bytea[]) WHERE EXISTS (SELECT 1 FROM head)
       ), counted AS (
         SELECT (SELECT count(*) FROM head) AS head, (SELECT count(*) FROM added) AS added
       )
       -- Places were given to entries that are not there: nothing of this may stay. PostgreSQL has no other way to fail here.
       SELECT CASE WHEN head = 0 OR added = $17 THEN 1 ELSE 1 / (head - 1) END AS whole, head, added FROM counted`,
      [
        to.size,
        to.root,
        from.size,
        from.root,
        this.epoch,
        bigintArray(staged.map((entry) => entry.id)),
        bigintArray(staged.map((entry) => entry.index)),
        byteaArray(staged.map((entry) => entry.leafHash)),
        bigintArray(direct.map((entry) => entry.index)),
        byteaArray(direct.map((entry) => entry.leafHash)),
        bigintArray(direct.map((entry) => entry.id)),
        textArray(direct.map((entry) => entry.type)),
        byteaArray(direct.map((entry) => entry.leaf)),
        tileRoots.map((tile) => tile.level),
        bigintArray(tileRoots.map((tile) => tile.index)),
        byteaArray(tileRoots.map((tile) => tile.root)),
        entries.length,
      ],
    );
    if (Number(done.head) === 0) throw lost(from.size);
  }

  async release(note: string, size: number): Promise<void> {
    // Not flushed: after a power loss the same note is signed again, from the head that is durable. Readers are then shown an
    // older checkpoint until the sequencer has started, which is consistent with every newer one.
    // In a row of its own, which no extension under way has locked. Whoever takes the lease at this very moment finds a tree that
    // begins with this one.
    const [done] = await rowsOf<{ size: string }>(
      this.beside,
      `WITH lazily AS (SELECT set_config('synchronous_commit', 'off', true)), shown AS (
         UPDATE log_released SET size = $1, note = $2 FROM lazily
         WHERE size <= $1 AND EXISTS (SELECT 1 FROM log_head WHERE epoch = $3 AND log_head.size >= $1) RETURNING log_released.size
       ) SELECT size FROM shown`,
      [size, note, this.epoch],
    );
    if (!done) throw lost(size);
  }
}

/** Throws what the database says as one of our codes. */
export async function rowsOf<T>(database: Queryable, text: string, values: unknown[] = []): Promise<T[]> {
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
