import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import type { Hash } from '../../audit/crypto.js';
import { equalBytes, toHex } from '../../audit/crypto.js';
import { erasedBy } from '../../audit/erasure.js';
import { Findings } from '../../audit/fsck.js';
import { Frontier, leafHash } from '../../audit/merkle.js';
import type { EntryType } from '../../audit/entry.js';
import { contentsOf, parseStatement } from '../../audit/statement.js';
import { tileWidth } from '../../audit/tiles.js';
import { loadContent, storedDigests, unpacked } from './content-store.js';
import type { StoredContent } from './content-store.js';
import { indexedTables } from './indexed-tables.js';

/** A checkpoint that the entries must agree with, and where it was found. */
export interface Promised {
  readonly what: string;
  readonly size: number;
  readonly root: Hash;
}

export interface CheckedDatabase {
  readonly entries: number;
  readonly tiles: number;
  /** Rows beside the log that name an entry. */
  readonly rows: number;
  readonly contents: number;
  /** Named by entries, and not in the store because an erasure took them away. */
  readonly erased: number;
  /** SQL that makes derived data again; empty where the entries themselves are in doubt. */
  readonly repairs: readonly Repair[];
}

export interface Repair {
  readonly place: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

export interface FsckOptions {
  readonly contents: boolean;
  readonly promises: readonly Promised[];
  readonly progress: (done: number, of: number) => void;
}

const batch = 1_024;

/**
 * Derives hashes, tiles, head and every index of the log from its entries again and compares, in one snapshot beside a running service
 * and in bounded memory. Changes nothing; what could be made again is handed back as `repairs`.
 */
export async function checkDatabase(
  dataSource: DataSource,
  findings: Findings,
  options: FsckOptions,
): Promise<CheckedDatabase> {
  const runner = dataSource.createQueryRunner();
  await runner.startTransaction('REPEATABLE READ');
  try {
    const check = new DatabaseCheck(runner, findings, options);
    return await check.run();
  } finally {
    await runner.rollbackTransaction().catch(() => undefined);
    await runner.release();
  }
}

/** In one transaction; the caller has kept every service away. */
export async function repairDatabase(manager: EntityManager, repairs: readonly Repair[]): Promise<void> {
  for (const { text, values } of repairs) await manager.query(text, [...values]);
}

interface EntryRow {
  readonly log_index: string;
  readonly leaf_hash: Buffer;
  readonly type: string;
  readonly leaf: Buffer;
}

interface Known {
  readonly type: EntryType;
  readonly id: unknown;
  readonly phase: unknown;
}

class DatabaseCheck {
  readonly #frontier = new Frontier();
  readonly #repairs: Repair[] = [];
  readonly #erased = new Set<string>();
  readonly #missing = new Map<string, number>();
  #tiles = 0;
  #rows = 0;
  #contents = 0;
  #sound = true;

  constructor(
    private readonly runner: QueryRunner,
    private readonly findings: Findings,
    private readonly options: FsckOptions,
  ) {}

  async run(): Promise<CheckedDatabase> {
    const [head] = await this.#query<{ size: string; root: Buffer; released: string }>(
      'SELECT log_head.size, root, log_released.size AS released FROM log_head, log_released',
    );
    const size = Number(head.size);
    const promises = this.options.promises.toSorted((a, b) => a.size - b.size);
    await this.#checkEntries(size, promises);
    if (this.#sound) await this.#checkEnds(head, size);
    for (const [digest, index] of this.#missing) {
      if (!this.#erased.has(digest))
        this.findings.add(`content ${digest}`, `is not in the store, and no entry says that it was erased; entry ${index} names it`); // prettier-ignore
    }
    if (this.options.contents) await this.#checkStoredContents();
    return {
      entries: this.#frontier.size,
      tiles: this.#tiles,
      rows: this.#rows,
      contents: this.#contents,
      erased: [...this.#missing.keys()].filter((digest) => this.#erased.has(digest)).length,
      repairs: this.#sound ? this.#repairs : [],
    };
  }

  async #checkEntries(size: number, promises: Promised[]): Promise<void> {
    while (this.#frontier.size < size) {
      const from = this.#frontier.size;
      const rows = await this.#query<EntryRow>(
        'SELECT log_index, leaf_hash, type, leaf FROM log_entry WHERE log_index >= $1 ORDER BY log_index LIMIT $2',
        [from, batch],
      );
      const known: Known[] = [];
      const roots: { level: number; index: number; root: Hash }[] = [];
      for (const row of rows) {
        if (Number(row.log_index) !== this.#frontier.size || Number(row.log_index) >= size) break;
        this.#keepPromises(promises);
        known.push(await this.#checkEntry(row, roots));
      }
      await this.#checkTiles(roots);
      await this.#checkRows(from, known);
      this.options.progress(this.#frontier.size, size);
      if (this.#frontier.size === from || known.length < rows.length) {
        if (this.#frontier.size >= size) break;
        this.findings.add(`entry ${this.#frontier.size}`, `is missing: the log has ${size}`);
        this.#sound = false;
        return;
      }
    }
    this.#keepPromises(promises);
    for (const { what, size: promised } of promises) {
      this.findings.add(what, `promises ${promised} entries, the database holds ${size}`);
      this.#sound = false;
    }
  }

  /** Those of this very size are taken off the list. */
  #keepPromises(promises: Promised[]): void {
    while (promises[0]?.size === this.#frontier.size) {
      const { what, size, root } = promises.shift()!;
      if (equalBytes(root, this.#frontier.root())) continue;
      this.findings.add(what, `its root of ${size} entries is not what the entries give: one of them was changed`);
      this.#sound = false;
    }
  }

  async #checkEntry(row: EntryRow, roots: { level: number; index: number; root: Hash }[]): Promise<Known> {
    const index = this.#frontier.size;
    const place = `entry ${index}`;
    const hash = leafHash(row.leaf);
    this.#frontier.append(hash, (node, root) => {
      if (node.level > 0 && node.level % 8 === 0) roots.push({ level: node.level / 8 - 1, index: node.index, root });
    });
    if (!equalBytes(row.leaf_hash, hash)) {
      this.findings.add(place, 'its stored hash is not that of its bytes', true);
      this.#repair(place, 'UPDATE log_entry SET leaf_hash = $2 WHERE log_index = $1', [index, hash]);
    }
    try {
      const { type, predicate } = parseStatement(row.leaf);
      if (row.type !== type) {
        this.findings.add(place, `is a ${type}, and listed as ${row.type}`, true);
        this.#repair(place, 'UPDATE log_entry SET type = $2 WHERE log_index = $1', [index, type]);
      }
      await this.#checkNamed(index, contentsOf(predicate), type);
      return { type, id: predicate['id'], phase: predicate['phase'] };
    } catch (error) {
      this.findings.add(place, (error as Error).message);
      return { type: 'fault', id: undefined, phase: undefined };
    }
  }

  async #checkNamed(index: number, contents: ReturnType<typeof contentsOf>, type: EntryType): Promise<void> {
    const digests = [...contents.values()].map(({ sha256 }) => sha256);
    if (digests.length === 0) return;
    const stored = await storedDigests(this.runner.manager, digests);
    for (const digest of digests)
      if (!stored.has(digest) && !this.#missing.has(digest)) this.#missing.set(digest, index);
    const list = type === 'erasure' ? contents.get('erased') : undefined;
    if (!list || !stored.has(list.sha256)) return;
    for (const digest of erasedBy(await loadContent(this.runner.manager, list.sha256))) this.#erased.add(digest);
  }

  async #checkTiles(expected: readonly { level: number; index: number; root: Hash }[]): Promise<void> {
    if (expected.length === 0) return;
    const rows = await this.#query<{ level: number; number: string; root: Buffer }>(
      `SELECT t.* FROM log_tile t JOIN unnest($1::smallint[], $2::bigint[]) AS e (level, number) USING (level, number)`,
      [expected.map(({ level }) => level), expected.map(({ index }) => index)],
    );
    const stored = new Map(rows.map(({ level, number, root }) => [`${level}/${number}`, root]));
    for (const { level, index, root } of expected) {
      this.#tiles += 1;
      const found = stored.get(`${level}/${index}`);
      if (found && equalBytes(found, root)) continue;
      const place = `tile ${level}/${index}`;
      this.findings.add(place, found ? 'its stored root is not that of its hashes' : 'its root is not stored', true);
      const text =
        'INSERT INTO log_tile (level, number, root) VALUES ($1, $2, $3) ON CONFLICT (level, number) DO UPDATE SET root = $3';
      this.#repair(place, text, [level, index, root]);
    }
  }

  /** Rows beside the log that name an entry of this batch. */
  async #checkRows(from: number, known: readonly Known[]): Promise<void> {
    const [first, last] = [from, from + known.length - 1];
    for (const { table, column, type, phase } of indexedTables) {
      const rows = await this.#query<{ id: string; at: string }>(
        `SELECT id, ${column} AS at FROM ${table} WHERE ${column} BETWEEN $1 AND $2`,
        [first, last],
      );
      for (const { id, at } of rows) {
        this.#rows += 1;
        const entry = known[Number(at) - from];
        if (entry.type === type && entry.id === id && (phase === undefined || entry.phase === phase)) continue;
        this.#misplaced(table, column, id, `names entry ${at}, which is another`);
      }
    }
  }

  #misplaced(table: string, column: string, id: string, problem: string): void {
    const place = `${table} ${id}`;
    this.findings.add(place, problem, true);
    // The next start looks for its entry in the log and writes that down.
    this.#repair(place, `UPDATE ${table} SET ${column} = NULL WHERE id = $1`, [id]);
  }

  async #checkEnds(head: { readonly root: Buffer; readonly released: string }, size: number): Promise<void> {
    const root = this.#frontier.root();
    const signed = this.options.promises.some((promised) => promised.size === size);
    if (!equalBytes(head.root, root) && !signed) {
      // Nobody but this row says which of the two is right.
      this.findings.add('head', `its root of ${size} entries is not what they give`);
      this.#sound = false;
    } else if (!equalBytes(head.root, root)) {
      this.findings.add('head', `its root of ${size} entries is not what they give`, true);
      this.#repair('head', 'UPDATE log_head SET root = $1 WHERE size = $2', [root, size]);
    }
    if (Number(head.released) > size)
      this.findings.add('head', `${head.released} entries are released, there are ${size}`);
    const [{ beyond }] = await this.#query<{ beyond: string | null }>(
      'SELECT max(log_index) AS beyond FROM log_entry WHERE log_index >= $1',
      [size],
    );
    if (beyond !== null) this.findings.add(`entry ${beyond}`, `is stored beyond the end of the log, ${size}`);
    const surplus = await this.#query<{ level: number; number: string }>(
      'SELECT level, number FROM log_tile WHERE number >= div($1::numeric, power($2::numeric, level + 1)) ORDER BY 1, 2 LIMIT 100',
      [size, tileWidth],
    );
    for (const { level, number } of surplus) {
      this.findings.add(`tile ${level}/${number}`, 'is stored, and not of this tree', true);
      this.#repair(`tile ${level}/${number}`, 'DELETE FROM log_tile WHERE level = $1 AND number = $2', [level, number]);
    }
    for (const { table, column } of indexedTables) {
      const rows = await this.#query<{ id: string; at: string }>(
        `SELECT id, ${column} AS at FROM ${table} WHERE ${column} >= $1 OR ${column} < 0 LIMIT 100`,
        [size],
      );
      for (const { id, at } of rows) this.#misplaced(table, column, id, `names entry ${at}, which there is not`);
    }
    const doubled = await this.#query<{ id: string; log_index: string }>(
      'SELECT o.id, e.log_index FROM log_outbox o JOIN log_entry e ON e.outbox_id = o.id LIMIT 100',
    );
    for (const { id, log_index: at } of doubled) {
      this.findings.add(`staged entry ${id}`, `waits for a place, and has it: ${at}`, true);
      this.#repair(`staged entry ${id}`, 'DELETE FROM log_outbox WHERE id = $1', [id]);
    }
  }

  async #checkStoredContents(): Promise<void> {
    let after = Buffer.alloc(0);
    for (;;) {
      const rows = await this.#query<StoredContent & { digest: Buffer }>(
        'SELECT digest, encoding, size, bytes FROM content WHERE digest > $1 ORDER BY digest LIMIT 64',
        [after],
      );
      if (rows.length === 0) return;
      for (const row of rows) {
        this.#contents += 1;
        const digest = toHex(row.digest);
        await unpacked(digest, row).catch((error: Error) => this.findings.add(`content ${digest}`, error.message));
      }
      after = rows.at(-1)!.digest as Buffer<ArrayBuffer>;
    }
  }

  #repair(place: string, text: string, values: readonly unknown[]): void {
    this.#repairs.push({ place, text, values });
  }

  #query<T>(text: string, values: readonly unknown[] = []): Promise<T[]> {
    return this.runner.manager.query<T[]>(text, [...values]);
  }
}
