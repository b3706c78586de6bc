import type { DataSource, EntityManager } from 'typeorm';
import { fromHex, toHex } from '../../audit/crypto.js';
import { listErased } from '../../audit/erasure.js';
import type { LoggedEntry } from '../../audit/entry.js';
import type { Ledger } from '../../audit/ledger.js';
import { contentsOf, parseStatement } from '../../audit/statement.js';
import type { JsonObject } from '../../cluster/object.js';
import { type Authoriser, type ErasureStatement, refused } from '../../review/erasure.js';
import { held } from '../../review/legal-hold.js';
import type { Subject } from '../../review/subject.js';
import { CountersignError } from '../../errors.js';
import { holdOn } from './retain.js';
import { loadContent, type StoredContent, unpacked } from './content-store.js';

export interface Naming {
  /** Digests of the contents that name the subject, hex, in order. */
  readonly contents: readonly string[];
  /** Those of these that are named without a salt: who can guess the whole of one can still prove that it was there. */
  readonly unsalted: readonly string[];
  /** Decisions that can't be replayed without them. */
  readonly decisions: number;
  /** Entries that name the subject themselves (in a branch, a path, an environment): nothing can take these away. */
  readonly entries: readonly number[];
}

const batch = 256;

/** What of a log names the subject. Reads all of it. Throws `content-corrupt`, `log-invalid`, `database-unavailable`. */
export async function contentsNaming(
  manager: EntityManager,
  subject: Subject,
  progress: (done: number, of: number) => void,
): Promise<Naming> {
  const naming = new Set<string>();
  const [{ total }] = await manager.query<{ total: string }[]>('SELECT count(*) AS total FROM content');
  let after: Buffer = Buffer.alloc(0);
  for (let done = 0; ;) {
    const rows = await manager.query<({ digest: Buffer } & StoredContent)[]>(
      'SELECT digest, encoding, size, bytes FROM content WHERE digest > $1 ORDER BY digest LIMIT $2',
      [after, batch],
    );
    if (rows.length === 0) break;
    for (const row of rows) {
      const digest = toHex(row.digest);
      if (subject.isIn(await unpacked(digest, row))) naming.add(digest);
    }
    after = rows.at(-1)!.digest;
    progress((done += rows.length), Number(total));
  }
  return { contents: [...naming].toSorted(), ...(await readEntries(manager, subject, naming)) };
}

async function readEntries(
  manager: EntityManager,
  subject: Subject,
  naming: ReadonlySet<string>,
): Promise<Omit<Naming, 'contents'>> {
  const unsalted = new Set<string>();
  const entries: number[] = [];
  let decisions = 0;
  for (let at = 0; ; at += batch) {
    const rows = await manager.query<{ leaf: Buffer }[]>(
      'SELECT leaf FROM log_entry WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index',
      [at, at + batch],
    );
    if (rows.length === 0) return { unsalted: [...unsalted], decisions, entries };
    for (const [i, { leaf }] of rows.entries()) {
      const { type, subjects, predicate } = parseStatement(leaf);
      const named = [...contentsOf(predicate).values()].filter((content) => naming.has(content.sha256));
      for (const { sha256, salted } of named) if (!salted) unsalted.add(sha256);
      if (type === 'decision' && named.length > 0) decisions += 1;
      if (subject.names(JSON.stringify([subjects, predicate]))) entries.push(at + i);
    }
  }
}

/** The repository whose policy in force is one of these contents: its next decision would store it again. */
export async function inForceBy(manager: EntityManager, unsalted: readonly string[]): Promise<string | undefined> {
  const rows = await manager.query<{ name: string; digest: string }[]>(
    'SELECT name, bundle_digest AS digest FROM repository WHERE bundle_digest IS NOT NULL ORDER BY name',
  );
  for (const content of unsalted) {
    const text = (await loadContent(manager, content)).toString('utf8');
    const found = rows.find(({ digest }) => text.includes(JSON.stringify(digest)));
    if (found) return found.name;
  }
  return undefined;
}

export interface Erasing {
  readonly dataSource: DataSource;
  readonly ledger: Ledger;
  readonly statement: ErasureStatement;
  /** The bytes that were signed, and the signatures. */
  readonly text: string;
  readonly signatures: readonly string[];
  readonly authorisers: readonly Authoriser[];
  /** By whose files at which commit they were checked. */
  readonly governance: { readonly repository: string; readonly commit: string };
  readonly subject: Subject;
  readonly progress?: (done: number, of: number) => void;
}

export interface Erased {
  readonly entry: LoggedEntry;
  readonly contents: number;
  readonly rows: number;
  /** It had been done before; this time nothing was. */
  readonly again: boolean;
}

/**
 * Takes away every content that names the subject, and the subject out of every row beside the log, in one transaction with the entry that says
 * so: killed at any moment, all of it has happened or nothing. Done a second time it finds its own entry. The caller has checked who authorised it.
 * Throws `erasure-refused` when what the signatures list is not what names the subject now.
 */
export async function erase(erasing: Erasing): Promise<Erased> {
  const { ledger, statement, subject, text, signatures, authorisers, governance } = erasing;
  const before = await entryOf(ledger, statement.id);
  if (before) return { entry: before, contents: 0, rows: 0, again: true };
  let rows = 0;
  const { entries } = await ledger.record(async (transaction) => {
    const manager = transaction.handle as EntityManager;
    await manager.query('LOCK TABLE content IN SHARE ROW EXCLUSIVE MODE');
    const { contents } = await contentsNaming(manager, subject, erasing.progress ?? (() => undefined));
    requireSame(statement.contents, contents);
    // Also one that was added since two people signed.
    await manager.query('LOCK TABLE legal_hold IN SHARE ROW EXCLUSIVE MODE');
    const hold = await holdOn(manager, contents);
    if (hold) throw held(hold);
    await manager.query('DELETE FROM content WHERE digest = ANY($1)', [contents.map((digest) => fromHex(digest, 32))]);
    rows = await scrubRows(manager, subject);
    transaction.append({
      type: 'erasure',
      subjects: [],
      // Neither reason nor ticket: they are people's words, and the leaf is for ever (invariant 11).
      predicate: {
        id: statement.id,
        count: contents.length,
        authorisedBy: authorisers.map(({ key }) => key),
        governance: { ...governance },
        time: new Date().toISOString(),
      },
      contents: {
        erased: { mediaType: 'application/json', bytes: listErased(contents), salted: false },
        statement: { mediaType: 'application/json', bytes: Buffer.from(text), salted: true },
        signatures: { mediaType: 'application/json', bytes: Buffer.from(JSON.stringify(signatures)), salted: true },
      },
    });
  });
  return { entry: entries[0], contents: statement.contents.length, rows, again: false };
}

async function entryOf(ledger: Ledger, id: string): Promise<LoggedEntry | undefined> {
  for await (const entry of ledger.entries(0, await ledger.size()))
    if (entry.type === 'erasure' && entry.predicate['id'] === id) return entry;
  return undefined;
}

function requireSame(signed: readonly string[], found: readonly string[]): void {
  const [listed, there] = [new Set(signed), new Set(found)];
  const other = signed.find((digest) => !there.has(digest));
  if (other !== undefined)
    throw refused(`the content ${other} of the list does not name the subject, or is gone`, again);
  const more = found.filter((digest) => !listed.has(digest)).length;
  if (more > 0) throw refused(`${more} more ${more === 1 ? 'content names' : 'contents name'} the subject than were signed for`, again); // prettier-ignore
}

const again = 'Nothing was erased; ask again with countersign erase request, and have that signed';

/** Resolves to the number of rows that named the subject. */
async function scrubRows(manager: EntityManager, subject: Subject): Promise<number> {
  const tables = await manager.query<{ name: string }[]>(
    `SELECT tablename AS name FROM pg_tables
     WHERE schemaname = current_schema() AND tablename NOT LIKE 'log\\_%' AND tablename NOT IN ('content', 'migration', 'legal_hold') ORDER BY 1`,
  );
  let changed = 0;
  for (const { name } of tables) changed += await scrubTable(manager, `"${name}"`, subject);
  return changed;
}

/** A row is known by its place, which stays while the table is locked. */
async function scrubTable(manager: EntityManager, table: string, subject: Subject): Promise<number> {
  await manager.query(`LOCK TABLE ${table} IN SHARE ROW EXCLUSIVE MODE`);
  await manager.query(
    `DECLARE erasing NO SCROLL CURSOR FOR SELECT ctid::text AS place, to_jsonb(t) AS row FROM ${table} t`,
  );
  let changed = 0;
  for (;;) {
    const rows = await manager.query<{ place: string; row: JsonObject }[]>(`FETCH ${batch} FROM erasing`);
    if (rows.length === 0) break;
    for (const { place, row } of rows) {
      const scrubbed = subject.scrubJson(row) as JsonObject;
      const columns = Object.keys(row).filter(
        (column) => JSON.stringify(row[column]) !== JSON.stringify(scrubbed[column]),
      );
      if (columns.length === 0) continue;
      const names = columns.map((column) => `"${column}"`);
      const [, count] = await manager.query<[unknown, number]>(
        `UPDATE ${table} SET (${names.join(', ')}) =
           (SELECT ${names.map((column) => `made.${column}`).join(', ')} FROM jsonb_populate_record(NULL::${table}, $1::jsonb) made)
         WHERE ctid = $2::tid`,
        [JSON.stringify(Object.fromEntries(columns.map((column) => [column, scrubbed[column]]))), place],
      );
      if (count !== 1) throw new CountersignError('log-conflict', `a row of ${table} changed meanwhile`, { remedy: 'Stop every service that uses this database' }); // prettier-ignore
      changed += 1;
    }
  }
  await manager.query('CLOSE erasing');
  return changed;
}
