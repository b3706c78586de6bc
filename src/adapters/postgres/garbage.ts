import type { DataSource, EntityManager } from 'typeorm';
import { fromHex } from '../../audit/crypto.js';
import { contentsOf, parseStatement } from '../../audit/statement.js';
import { CountersignError } from '../../errors.js';
import { databaseFault } from './faults.js';

export interface Garbage {
  /** Entries that were read for what they name. */
  readonly entries: number;
  /** Contents that nothing names, and their bytes as stored. */
  readonly contents: number;
  readonly bytes: number;
}

interface GarbageOptions {
  readonly dryRun: boolean;
  readonly progress: (done: number, of: number) => void;
}

const batch = 2_048;

/**
 * Removes contents that no entry names, in the log or still waiting for its place. Beside a running service: names are collected first;
 * the table is locked only while what came since is looked at and the rest goes. That lock waits for every transaction that may have found a
 * content stored already and is about to commit an entry that names it. Throws `database-unavailable`.
 */
export async function collectGarbage(dataSource: DataSource, options: GarbageOptions): Promise<Garbage> {
  const runner = dataSource.createQueryRunner();
  const { manager } = runner;
  try {
    await runner.connect();
    await runner.query('CREATE TEMPORARY TABLE content_named (digest bytea PRIMARY KEY)');
    const entries = await nameAll(manager, options.progress);
    await runner.query(
      `CREATE TEMPORARY TABLE content_unnamed AS
       SELECT digest FROM content c WHERE NOT EXISTS (SELECT FROM content_named n WHERE n.digest = c.digest)`,
    );
    if (options.dryRun) return { entries, ...(await count(manager)) };
    await runner.startTransaction();
    try {
      await runner.query(`SET LOCAL lock_timeout = '30s'`);
      await runner.query('LOCK TABLE content IN ACCESS EXCLUSIVE MODE');
      await nameSince(manager, entries);
      const gone = await count(manager);
      await runner.query(
        `DELETE FROM content c USING content_unnamed u
         WHERE c.digest = u.digest AND NOT EXISTS (SELECT FROM content_named n WHERE n.digest = c.digest)`,
      );
      await runner.commitTransaction();
      return { entries, ...gone };
    } catch (error) {
      await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    }
  } catch (error) {
    if ((error as { code?: string }).code === '55P03') {
      throw new CountersignError('database-unavailable', 'the content store is in use all the time', {
        remedy: 'Try again when less is going on; nothing was removed',
        retry: true,
      });
    }
    throw databaseFault(error);
  } finally {
    await runner.query('DROP TABLE IF EXISTS content_named, content_unnamed').catch(() => undefined);
    await runner.release();
  }
}

/** Resolves to the number of entries read. */
async function nameAll(manager: EntityManager, progress: GarbageOptions['progress']): Promise<number> {
  const [{ size }] = await manager.query<{ size: string }[]>('SELECT size FROM log_head');
  let at = 0;
  while (at < Number(size)) {
    const rows = await manager.query<{ leaf: Buffer }[]>(
      'SELECT leaf FROM log_entry WHERE log_index >= $1 ORDER BY log_index LIMIT $2',
      [at, batch],
    );
    // A gap: what the missing entries name is not known, and nothing may go.
    if (rows.length === 0) {
      throw new CountersignError('log-invalid', `entry ${at} is missing`, { remedy: 'See countersign fsck' });
    }
    await name(manager, rows);
    at += rows.length;
    progress(Math.min(at, Number(size)), Number(size));
  }
  return at;
}

async function nameSince(manager: EntityManager, entries: number): Promise<void> {
  await name(manager, await manager.query('SELECT leaf FROM log_entry WHERE log_index >= $1', [entries]));
  await name(manager, await manager.query('SELECT leaf FROM log_outbox'));
}

async function name(manager: EntityManager, rows: readonly { readonly leaf: Buffer }[]): Promise<void> {
  const digests = new Set<string>();
  for (const { leaf } of rows)
    for (const { sha256 } of contentsOf(parseStatement(leaf).predicate).values()) digests.add(sha256);
  await manager.query('INSERT INTO content_named SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING', [
    [...digests].map((digest) => fromHex(digest, 32)),
  ]);
}

async function count(manager: EntityManager): Promise<{ readonly contents: number; readonly bytes: number }> {
  const [{ contents, bytes }] = await manager.query<{ contents: string; bytes: string }[]>(
    `SELECT count(*) AS contents, coalesce(sum(length(c.bytes)), 0) AS bytes FROM content c JOIN content_unnamed u USING (digest)
     WHERE NOT EXISTS (SELECT FROM content_named n WHERE n.digest = c.digest)`,
  );
  return { contents: Number(contents), bytes: Number(bytes) };
}
