import type { DataSource } from 'typeorm';
import type { SignedCheckpoint } from '../../audit/checkpoint.js';
import { openCheckpoint } from '../../audit/checkpoint.js';
import { equalBytes, sha256, toHex } from '../../audit/crypto.js';
import { contentName, evidenceLimits, invalid } from '../../audit/evidence.js';
import type { KeyRing } from '../../audit/keys.js';
import type { LogFiles } from '../../audit/log-files.js';
import { checkpointOf, leavesOf } from '../../audit/log-files.js';
import { Frontier, leafHash } from '../../audit/merkle.js';
import { behindRemedy } from '../../audit/mirroring.js';
import { parseVkey } from '../../audit/note.js';
import type { SeenCheckpoint, SequencedEntry, TreeHead } from '../../audit/sequencer.js';
import { batchSize } from '../../audit/sequencer.js';
import type { Statement } from '../../audit/statement.js';
import { contentsOf, parseStatement } from '../../audit/statement.js';
import { nodeReader } from '../../audit/tiles.js';
import { CountersignError } from '../../errors.js';
import type { SealedContent } from './content-store.js';
import { storeContents, storedDigests } from './content-store.js';
import { databaseFault } from './faults.js';
import { Lease } from './lease.js';
import { PostgresLogStorage } from './log-storage.js';
import type { Queryable } from './log-storage.js';

export interface RecoveryParts {
  readonly dataSource: DataSource;
  readonly keys: Pick<KeyRing, 'origin' | 'log'>;
  readonly seen: SeenCheckpoint;
  readonly copy: LogFiles;
  /** Takes what there is, although entries that were promised stay missing. */
  readonly partial?: boolean;
  readonly progress?: (done: number, of: number) => void;
}

export interface Recovery {
  /** Entries that the database held, and now holds. */
  readonly from: number;
  readonly to: number;
  /** What the newest checkpoint known promises; more than `to` only with `partial`. */
  readonly promised: number;
  /** Contents that the recovered entries name: found in the copy, and not. */
  readonly contents: number;
  readonly missing: number;
  /** Environments that will be judged again before anything is applied to them. */
  readonly environments: readonly string[];
}

/**
 * Appends to an older database the entries that it lacks, out of a copy of the log, in one transaction that is kept only if the whole gives
 * the root that this log's own key has signed. Throws `log-conflict` while a service leads, `bundle-invalid`, `note-invalid` and
 * `log-behind` for a copy that is damaged, of another log, or shorter than what was promised.
 */
export async function recoverLog(parts: RecoveryParts): Promise<Recovery> {
  const { dataSource, keys, seen, copy } = parts;
  const key = parseVkey(keys.log.vkey);
  const last = await seen.load();
  const promised = last === undefined ? undefined : openCheckpoint(last, key);
  const target = await checkpointOf(copy, key);
  const lease = await Lease.tryAcquire(dataSource, () => undefined);
  if (!lease) {
    throw new CountersignError('log-conflict', 'a service is writing to this log', { remedy: 'Stop it first' });
  }
  try {
    const storage = new PostgresLogStorage(lease.connection, lease.epoch, dataSource);
    const head = await storage.head();
    if (promised && promised.size > target.size && !parts.partial) throw tooShort(copy, target, promised);
    if (target.size <= head.size) throw nothingNew(copy, target, head);
    const frontier = await Frontier.read(head.size, nodeReader(head.size, storage.readTile));
    const writer = new Appender(dataSource, lease.connection, storage, copy);
    await lease.connection.query('BEGIN');
    try {
      await writer.append(frontier, head, target, promised, parts.progress);
      await lease.connection.query('COMMIT');
    } catch (error) {
      await lease.connection.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
    await storage.release(target.note, target.size);
    await seen.save(target.note);
    const { contents, missing, environments } = writer;
    const size = Math.max(promised?.size ?? 0, target.size);
    return {
      from: head.size,
      to: target.size,
      promised: size,
      contents,
      missing,
      environments: [...environments].toSorted(),
    };
  } catch (error) {
    throw databaseFault(error);
  } finally {
    await lease.release();
  }
}

class Appender {
  contents = 0;
  missing = 0;
  readonly environments = new Set<string>();
  readonly #judged: { readonly repository: string; readonly environment: string }[] = [];

  constructor(
    private readonly dataSource: DataSource,
    private readonly connection: Queryable,
    private readonly storage: PostgresLogStorage,
    private readonly copy: LogFiles,
  ) {}

  async append(
    frontier: Frontier,
    head: TreeHead,
    target: SignedCheckpoint,
    promised: SignedCheckpoint | undefined,
    progress: RecoveryParts['progress'],
  ): Promise<void> {
    let batch: Uint8Array[] = [];
    for await (const leaf of leavesOf(this.copy, target.size, head.size)) {
      batch.push(leaf);
      const at = frontier.size + batch.length;
      if (batch.length < batchSize && at !== target.size && at !== promised?.size) continue;
      await this.#extend(frontier, batch);
      batch = [];
      if (at === promised?.size && !equalBytes(frontier.root(), promised.root)) throw forked(this.copy, promised);
      progress?.(frontier.size - head.size, target.size - head.size);
    }
    if (frontier.size !== target.size || !equalBytes(frontier.root(), target.root)) throw forked(this.copy, target);
    // Committed before the backup, given its place after it: the copy holds it, and it must not get a second one.
    await this.connection.query(
      'DELETE FROM log_outbox o USING log_entry e WHERE e.log_index >= $1 AND e.leaf_hash = sha256($2::bytea || o.leaf)',
      [head.size, Buffer.from([0])],
    );
    await this.#judgeAgain();
  }

  async #extend(frontier: Frontier, leaves: readonly Uint8Array[]): Promise<void> {
    const from = { size: frontier.size, root: frontier.root() };
    const ids = await this.connection.query<{ id: string }[]>(
      `SELECT nextval(pg_get_serial_sequence('log_outbox', 'id')) AS id FROM generate_series(1, $1::integer)`,
      [leaves.length],
    );
    const tileRoots: { level: number; index: number; root: Uint8Array }[] = [];
    const entries: SequencedEntry[] = [];
    for (const [i, leaf] of leaves.entries()) {
      const statement = this.#read(frontier.size, leaf);
      await this.#bringContents(statement);
      const entry = { id: ids[i].id, leaf, type: statement.type, index: frontier.size, leafHash: leafHash(leaf) };
      frontier.append(entry.leafHash, ({ level, index }, root) => {
        if (level > 0 && level % 8 === 0) tileRoots.push({ level: level / 8 - 1, index, root });
      });
      entries.push(entry);
    }
    await this.storage.extend({ from, to: { size: frontier.size, root: frontier.root() }, entries, tileRoots });
  }

  #read(index: number, leaf: Uint8Array): Statement {
    try {
      const statement = parseStatement(leaf);
      const { type, predicate } = statement;
      const { outcome, advice, repository, environment } = predicate;
      const judged = type === 'decision' && outcome === 'allow' && !advice && environment !== 'governance';
      if (judged && typeof repository === 'string' && typeof environment === 'string')
        this.#judged.push({ repository, environment });
      return statement;
    } catch (cause) {
      throw invalid(`entry ${index} of the copy: ${(cause as Error).message}`);
    }
  }

  /** Content is named by its digest: stored beside the transaction, it can do no harm. */
  async #bringContents({ predicate }: Statement): Promise<void> {
    const references = [...contentsOf(predicate).values()];
    const stored = await storedDigests(
      this.dataSource.manager,
      references.map(({ sha256: digest }) => digest),
    );
    for (const reference of references.filter(({ sha256: digest }) => !stored.has(digest))) {
      const bytes = await this.copy.read(contentName(reference.sha256), evidenceLimits.content);
      if (!bytes) {
        this.missing += 1;
        continue;
      }
      const digest = sha256(bytes);
      if (toHex(digest) !== reference.sha256)
        throw invalid('this content of the copy was changed', contentName(reference.sha256));
      const sealed: SealedContent = { digest, bytes, reference };
      await storeContents(this.dataSource.manager, [sealed]);
      this.contents += 1;
    }
  }

  /**
   * The rows beside these entries are lost. What they remember as approved is older than what the log says went live: held to that, the
   * cluster would be set back. So nothing is held until the newest commit is judged.
   */
  async #judgeAgain(): Promise<void> {
    for (const { repository, environment } of this.#judged) {
      const key = `${repository} ${environment}`;
      if (this.environments.has(key)) continue;
      this.environments.add(key);
      await this.connection.query(
        `UPDATE environment SET approved_decision = NULL, head = NULL, head_decision = NULL, head_outcome = NULL
         WHERE repository = $1 AND name = $2`,
        [repository, environment],
      );
    }
  }
}

function tooShort(copy: LogFiles, target: SignedCheckpoint, promised: SignedCheckpoint): CountersignError {
  return new CountersignError(
    'log-behind',
    `${copy.where} holds ${target.size} entries, but a checkpoint of ${promised.size} was signed`,
    {
      remedy:
        'Look for a copy that holds them all; else take these with --partial, then open a new log that names this one (countersign log continue --help)',
    },
  );
}

function nothingNew(copy: LogFiles, target: SignedCheckpoint, head: TreeHead): CountersignError {
  return new CountersignError(
    'log-behind',
    `${copy.where} holds ${target.size} entries, the database already ${head.size}: there is nothing to take from it`,
    { remedy: behindRemedy },
  );
}

function forked(copy: LogFiles, { size }: SignedCheckpoint): CountersignError {
  return new CountersignError(
    'bundle-invalid',
    `the entries of the database and those in ${copy.where} do not make the tree of ${size} entries that was signed; nothing was changed`,
    { remedy: 'The copy is damaged, or the database is of another log: take another copy, or the right backup' },
  );
}
