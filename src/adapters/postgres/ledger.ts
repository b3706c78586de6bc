import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { toBase64, toHex } from '../../audit/crypto.js';
import { envelopeKeyId } from '../../audit/dsse.js';
import type { ContentReference, EntryDraft, LoggedEntry } from '../../audit/entry.js';
import type { KeyRing } from '../../audit/keys.js';
import type { Committed, Inclusion, Ledger, LedgerTransaction } from '../../audit/ledger.js';
import { signCheckpoint } from '../../audit/checkpoint.js';
import { emptyRoot, proveConsistency, proveInclusion } from '../../audit/merkle.js';
import { checkPromises } from '../../audit/sequencer.js';
import { entryOf, entryOfStatement, sealStatement } from '../../audit/statement.js';
import type { SealedStatement } from '../../audit/statement.js';
import { nodeReader } from '../../audit/tiles.js';
import type { TileReader } from '../../audit/tiles.js';
import { CountersignError } from '../../errors.js';
import type { SealedContent } from './content-store.js';
import { loadContent, sealContent, storeContents, storedDigests, withoutSalt } from './content-store.js';
import { databaseFault, isDatabaseError } from './faults.js';
import { stagedChannel } from './lease.js';
import { LogReader } from './log-storage.js';
import type { ReleasedTree } from './log-storage.js';
import { CheckpointFile } from './seen-checkpoint.js';
import { Sequencing } from './sequencing.js';
import type { Place } from './sequencing.js';

export interface LedgerOptions {
  readonly dataSource: DataSource;
  readonly keys: KeyRing;
  /** Where the last checkpoint is kept, outside the database. */
  readonly dataDir: string;
  /** Compared with the keys' own, if given. */
  readonly origin?: string;
  /** Milliseconds; see Sequencing. */
  readonly patience?: number;
}

interface SealedEntry {
  readonly statement: SealedStatement;
  readonly contents: readonly SealedContent[];
}

interface Turn {
  readonly sealing: Promise<unknown>[];
  readonly sealed: Promise<unknown>;
}

interface Group {
  readonly entries: readonly SealedEntry[];
  readonly resolve: (entries: readonly LoggedEntry[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Entries that one transaction takes when appends come faster than commits. */
const groupLimit = 256;
const readBatch = 256;

/** The log in PostgreSQL. Throws at opening `log-behind`, `log-invalid`, `keys-invalid`, `database-unavailable`. */
export async function openLedger(options: LedgerOptions): Promise<PostgresLedger> {
  const { dataSource, keys, dataDir, origin = keys.origin, patience = 15_000 } = options;
  if (origin !== keys.origin) {
    throw new CountersignError('keys-invalid', `the keys are those of log ${keys.origin}, not of ${origin}`);
  }
  const reader = new LogReader(dataSource);
  const seen = new CheckpointFile(dataDir);
  // The file first: a database read after it can only be newer.
  const lastSeen = await seen.load();
  const head = await reader.head();
  await checkPromises(head, lastSeen, head.note, reader.readTile, keys);
  const sequencing = new Sequencing({ dataSource, keys, seen, patience });
  const ledger = new PostgresLedger(dataSource, keys, reader, sequencing, seen);
  try {
    await sequencing.start();
    await ledger.logKeys();
  } catch (error) {
    await ledger.close();
    throw databaseFault(error);
  }
  return ledger;
}

export class PostgresLedger implements Ledger {
  #queue: Group[] = [];
  #flushing: Promise<void> | undefined;
  #turn: Turn | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly keys: KeyRing,
    private readonly reader: LogReader,
    private readonly sequencing: Sequencing,
    private readonly seen: CheckpointFile,
  ) {}

  async record<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<Committed<T>> {
    const staging: EntryDraft[] = [];
    let open = true;
    const append = (draft: EntryDraft): void => {
      if (!open) throw new CountersignError('internal', 'an entry was appended after its transaction');
      staging.push(draft);
    };
    let value: T | undefined;
    const committed = await this.#transaction(async (manager) => {
      value = await work({ append, handle: manager });
      open = false;
      return Promise.all(staging.map((draft) => this.#seal(draft)));
    });
    return { value: value as T, entries: await committed.logged };
  }

  /** As `record` with no rows beside the entries: those that come at the same time share one transaction, or need none of their own. */
  async append(...drafts: readonly EntryDraft[]): Promise<readonly LoggedEntry[]> {
    const entries = await this.#together(Promise.all(drafts.map((draft) => this.#seal(draft))));
    if (entries.every(({ contents }) => contents.length === 0)) {
      const places = this.sequencing.place(entries.map(({ statement }) => statement));
      if (places) return logged(entries, places);
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ entries, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async size(): Promise<number> {
    return (await this.#released()).size;
  }

  async entry(index: number): Promise<LoggedEntry> {
    const size = await this.size();
    if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
      throw new CountersignError('usage', `there is no entry ${index}: the log has ${size}, the first is 0`);
    }
    const [leaf] = await this.reader.leaves(index, index + 1);
    return entryOf(index, leaf);
  }

  async *entries(from: number, to: number): AsyncIterable<LoggedEntry> {
    const end = Math.min(to, await this.size());
    for (let start = Math.max(0, from); start < end; start += readBatch) {
      const leaves = await this.reader.leaves(start, Math.min(end, start + readBatch));
      for (const [i, leaf] of leaves.entries()) yield entryOf(start + i, leaf);
    }
  }

  async checkpoint(): Promise<string> {
    return this.#note((await this.#released()).note);
  }

  async inclusion(index: number): Promise<Inclusion> {
    const { size, note } = await this.#released();
    const proof = await proveInclusion(index, size, nodeReader(size, this.readTile));
    const [leaf] = await this.reader.leaves(index, index + 1);
    return { entry: entryOf(index, leaf), checkpoint: await this.#note(note), treeSize: size, proof: proof.map(toHex) };
  }

  async consistency(oldSize: number, newSize: number): Promise<readonly string[]> {
    const size = await this.size();
    if (newSize > size) throw new CountersignError('proof-invalid', `the log has ${size} entries, not yet ${newSize}`);
    return (await proveConsistency(oldSize, newSize, nodeReader(newSize, this.readTile))).map(toHex);
  }

  async content(reference: ContentReference): Promise<Buffer> {
    return withoutSalt(await this.storedContent(reference.sha256), reference);
  }

  /** The bytes as their digest names them, salt included. */
  async storedContent(digest: string): Promise<Buffer> {
    return loadContent(this.dataSource.manager, digest);
  }

  storedDigests(digests: readonly string[]): Promise<ReadonlySet<string>> {
    return storedDigests(this.dataSource.manager, digests);
  }

  /** For src/audit/serve.ts; tiles wider than the released tree may be read, but not shown. */
  get readTile(): TileReader {
    return this.reader.readTile;
  }

  /**
   * Entries are signed by a key that the log itself names first: whoever trusts the log's key needs no other. Keys that will take over are named
   * before they do, under a checkpoint that both log keys sign; those that have stopped are named after.
   */
  async logKeys(): Promise<void> {
    const { keys } = this;
    const named = new Set(
      (await this.#keyEntries()).map(({ phase, keyid, vkey }) => `${phase ?? 'current'} ${vkey ?? keyid}`),
    );
    const isNamed = (phase: string, key: string): boolean =>
      phase === 'retired' ? named.has(`retired ${key}`) : named.has(`current ${key}`) || named.has(`next ${key}`);
    const drafts: EntryDraft[] = [];
    const name = (phase: 'current' | 'next' | 'retired', publicKey: Uint8Array): void => {
      if (!isNamed(phase, envelopeKeyId(publicKey))) drafts.push(entryKeyDraft(phase, publicKey));
    };
    const nameLog = (phase: 'next' | 'retired', vkey: string): void => {
      if (!isNamed(phase, vkey)) drafts.push(logKeyDraft(phase, vkey, keys.log.vkey));
    };
    name('current', keys.entries.publicKey);
    for (const { vkey, entries } of keys.retired) {
      nameLog('retired', vkey);
      name('retired', entries);
    }
    if (keys.next) {
      name('next', keys.next.entries);
      nameLog('next', keys.next.vkey);
    }
    // One after the other: those that name the key of the others come first.
    for (const draft of drafts) await this.append(draft);
    await keys.next?.named(await this.checkpoint());
  }

  /** Those that are staged are as good as logged. */
  async #keyEntries(): Promise<
    readonly { readonly phase?: string; readonly keyid?: string; readonly vkey?: string }[]
  > {
    const rows = await this.dataSource.query<{ leaf: Buffer }[]>(
      `SELECT leaf FROM log_entry WHERE type = 'key' UNION ALL SELECT leaf FROM log_outbox WHERE type = 'key'`,
    );
    return rows.map(({ leaf }) => entryOf(0, leaf).predicate);
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.sequencing.close();
    await this.seen.close();
  }

  async #released(): Promise<ReleasedTree> {
    const released = await this.reader.released();
    const own = this.sequencing.newest;
    return own && own.size > released.size ? own : released;
  }

  async #note(note: string | undefined): Promise<string> {
    return note ?? signCheckpoint({ origin: this.keys.origin, size: 0, root: emptyRoot }, this.keys.log);
  }

  async #seal(draft: EntryDraft): Promise<SealedEntry> {
    const contents = Object.entries(draft.contents ?? {}).map(
      ([role, content]) => [role, sealContent(content)] as const,
    );
    const references = Object.fromEntries(contents.map(([role, sealed]) => [role, sealed.reference]));
    const statement = await sealStatement(draft, new Date().toISOString(), references, this.keys.entries);
    return { statement, contents: contents.map(([, sealed]) => sealed) };
  }

  /** What is appended in one turn of the event loop is signed side by side and goes on together: in one batch rather than many. */
  async #together<T>(sealing: Promise<T>): Promise<T> {
    const turn = (this.#turn ??= this.#newTurn());
    turn.sealing.push(sealing);
    await turn.sealed;
    return sealing;
  }

  #newTurn(): Turn {
    const sealing: Promise<unknown>[] = [];
    const over = new Promise<void>((resolve) => {
      setImmediate(() => {
        this.#turn = undefined;
        resolve();
      });
    });
    return { sealing, sealed: over.then(() => Promise.allSettled(sealing)) };
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      let taken = 0;
      const groups: Group[] = [];
      do {
        const group = this.#queue.shift()!;
        groups.push(group);
        taken += group.entries.length;
      } while (taken < groupLimit && this.#queue.length > 0);
      try {
        const committed = await this.#transaction(() => Promise.resolve(groups.flatMap((group) => group.entries)));
        // The next group commits while this one waits for its checkpoint.
        void answer(groups, committed.logged);
      } catch (error) {
        for (const group of groups) group.reject(error);
      }
    }
    this.#flushing = undefined;
  }

  /** Commits what `work` writes and the entries it returns; `logged` resolves when a checkpoint covers them. */
  async #transaction(work: (manager: EntityManager) => Promise<readonly SealedEntry[]>): Promise<Logged> {
    const runner = await this.#begin();
    let entries: readonly SealedEntry[] = [];
    let staged: readonly StagedPlace[] = [];
    try {
      entries = await work(runner.manager);
      const contents = entries.flatMap((entry) => entry.contents);
      if (contents.length > 0) await storeContents(runner.manager, contents);
      if (entries.length > 0) staged = await this.#stage(runner.manager, entries);
      await runner.commitTransaction();
    } catch (error) {
      this.sequencing.forget(staged.map((place) => place.id));
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
      throw isDatabaseError(error) ? databaseFault(error) : error;
    } finally {
      await runner.release();
    }
    if (staged.length > 0) this.sequencing.wake();
    return { logged: logged(entries, staged.map(({ place }) => place)) }; // prettier-ignore
  }

  /** Connections that died while idle are met here, before anything was done: another one is taken. */
  async #begin(): Promise<QueryRunner> {
    for (let attempt = 1; ; attempt += 1) {
      const runner = this.dataSource.createQueryRunner();
      try {
        await runner.startTransaction();
        return runner;
      } catch (error) {
        await runner.release();
        const fault = databaseFault(error);
        if (!fault.retry || attempt === 3) throw fault;
      }
    }
  }

  async #stage(manager: EntityManager, entries: readonly SealedEntry[]): Promise<readonly StagedPlace[]> {
    const rows = await manager.query<{ id: string }[]>(
      `INSERT INTO log_outbox (type, leaf)
       SELECT type, leaf FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS draft (type, leaf, position)
       ORDER BY position RETURNING id`,
      [entries.map(({ statement }) => statement.type), entries.map(({ statement }) => statement.leaf)],
    );
    if (!this.sequencing.leads) await manager.query(`NOTIFY ${stagedChannel}`);
    // Waiting begins before the commit: the sequencer may be faster than the answer to it.
    return rows.map(({ id }) => {
      const place = this.sequencing.placeOf(id);
      place.catch(() => undefined); // rejected before anybody awaits it, when the log is closed meanwhile
      return { id, place };
    });
  }
}

async function answer(groups: readonly Group[], logged: Promise<readonly LoggedEntry[]>): Promise<void> {
  try {
    const entries = await logged;
    let at = 0;
    for (const group of groups) group.resolve(entries.slice(at, (at += group.entries.length)));
  } catch (error) {
    for (const group of groups) group.reject(error);
  }
}

function entryKeyDraft(phase: 'current' | 'next' | 'retired', publicKey: Uint8Array): EntryDraft {
  const keyid = envelopeKeyId(publicKey);
  const key = { use: 'entry-signing', algorithm: 'ed25519', keyid, publicKey: toBase64(publicKey) };
  const subjects = [{ name: 'entry-signing', digest: { sha256: keyid } }];
  return { type: 'key', subjects, predicate: phase === 'current' ? key : { ...key, phase } };
}

function logKeyDraft(phase: 'next' | 'retired', vkey: string, current: string): EntryDraft {
  const key = { use: 'checkpoint-signing', algorithm: 'ed25519', phase, vkey };
  return { type: 'key', subjects: [], predicate: phase === 'next' ? { ...key, follows: current } : key };
}

/** What was just sealed needs not be read again. */
function logged(entries: readonly SealedEntry[], places: readonly Promise<Place>[]): Promise<readonly LoggedEntry[]> {
  return Promise.all(
    entries.map(async ({ statement }, i) => {
      const { index, leafHash } = await places[i];
      return entryOfStatement(index, statement.leaf, leafHash, statement);
    }),
  );
}

interface StagedPlace {
  readonly id: string;
  readonly place: Promise<Place>;
}

interface Logged {
  readonly logged: Promise<readonly LoggedEntry[]>;
}
