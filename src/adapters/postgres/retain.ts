import { randomUUID } from 'node:crypto';
import type { DataSource, EntityManager } from 'typeorm';
import { fromHex } from '../../audit/crypto.js';
import type { LoggedEntry } from '../../audit/entry.js';
import { listErased } from '../../audit/erasure.js';
import type { Lease } from '../../audit/lease.js';
import type { Ledger } from '../../audit/ledger.js';
import { type ContentKind, kindOf, type Retention } from '../../audit/retention.js';
import { contentsOf, entryOf, parseStatement } from '../../audit/statement.js';
import { holds, type LegalHold, namesHeld } from '../../review/legal-hold.js';
import { loadContents, storedDigests } from './content-store.js';
import { holdsInForce } from './legal-holds.js';

const batch = 1_000;
/** That one entry tells of. */
const MOST_AT_ONCE = 50_000;
const DAY = 86_400_000;

export interface Retained {
  /** Removed now. */
  readonly removed: number;
  /** Expired, and kept by a legal hold. */
  readonly held: number;
}

/**
 * Removes contents that have expired: all entries that name them are older than their kinds are kept, no legal hold is on any of these, and none is of the decision by
 * which an environment stands. They go in the transaction with the entry that says what, how many and by which rule, so that both have happened or
 * neither; leaves stay, and their proofs. Holds are read in that transaction again: one that was added meanwhile counts.
 */
export async function removeExpired(
  dataSource: DataSource,
  ledger: Ledger,
  retention: Retention,
  now: Date,
  lease?: Lease,
): Promise<Retained> {
  if (Object.keys(retention).length === 0) return { removed: 0, held: 0 };
  const holdsNow = await holdsInForce(dataSource);
  const { expired, held, entries } = await expiredContents(dataSource.manager, retention, now, holdsNow);
  const there = await storedDigests(dataSource.manager, [...expired.keys()]);
  const digests = [...expired.keys()].filter((digest) => there.has(digest)).toSorted();
  let removed = 0;
  for (let at = 0; at < digests.length; at += MOST_AT_ONCE) {
    const some = digests.slice(at, at + MOST_AT_ONCE);
    await ledger.record(async (transaction) => {
      const manager = transaction.handle as EntityManager;
      if (lease) await lease.fence(manager);
      // Nobody stores one of them again, or adds a hold, between this look and the end of it.
      await manager.query('LOCK TABLE content, legal_hold IN SHARE ROW EXCLUSIVE MODE');
      const known = new Set(holdsNow.map(({ name }) => name));
      const since = (await holdsInForce(manager)).filter(({ name }) => !known.has(name));
      const free = since.length === 0 ? some : await withoutHeld(manager, some, retention, now, [...holdsNow, ...since]);
      const again = await namedSince(manager, entries);
      const going = free.filter((digest) => !again.has(digest));
      if (going.length === 0) return;
      await manager.query('DELETE FROM content WHERE digest = ANY($1)', [going.map((digest) => fromHex(digest, 32))]);
      removed += going.length;
      transaction.append({
        type: 'erasure',
        subjects: [],
        predicate: {
          id: randomUUID(),
          by: 'retention',
          count: going.length,
          rules: rulesOf(going.map((digest) => expired.get(digest)!), retention),
          time: now.toISOString(),
        },
        contents: { erased: { mediaType: 'application/json', bytes: listErased(going), salted: false } },
      });
    }); // prettier-ignore
  }
  return { removed, held };
}

const rulesOf = (kinds: readonly ContentKind[], retention: Retention) =>
  [...Map.groupBy(kinds, (kind) => kind)].map(([kind, all]) => ({ kind, days: (retention[kind] ?? 0) / DAY, count: all.length })); // prettier-ignore

async function withoutHeld(
  manager: EntityManager,
  digests: readonly string[],
  retention: Retention,
  now: Date,
  all: readonly LegalHold[],
): Promise<readonly string[]> {
  // prettier-ignore
  const { expired } = await expiredContents(manager, retention, now, all);
  return digests.filter((digest) => expired.has(digest));
}

async function expiredContents(
  manager: EntityManager,
  retention: Retention,
  now: Date,
  all: readonly LegalHold[],
): Promise<{ readonly expired: ReadonlyMap<string, ContentKind>; readonly held: number; readonly entries: number }> {
  const standing = await standingDecisions(manager);
  const [expired, kept, held] = [new Map<string, ContentKind>(), new Set<string>(), new Set<string>()];
  /** By digest: holds on a person that its entry is in the scope of. */
  const ask = new Map<string, LegalHold[]>();
  const entries = await eachEntry(manager, (entry) => {
    for (const [role, { sha256 }] of contentsOf(entry.predicate)) {
      const kind = kindOf(entry.type, role);
      const life = kind && retention[kind];
      const over = life !== undefined && Date.parse(entry.time) + life <= now.getTime() && !standing.has(entry.index);
      if (!kind || !over) {
        kept.add(sha256);
        continue;
      }
      expired.set(sha256, kind);
      for (const hold of all) {
        if (!holds(hold, entry)) continue;
        if (hold.scope.person === undefined) held.add(sha256);
        else ask.set(sha256, [...(ask.get(sha256) ?? []), hold]);
      }
    }
  });
  for (const digest of kept) expired.delete(digest);
  for (const digest of await heldByPerson(manager, ask, (one) => expired.has(one) && !held.has(one))) held.add(digest);
  const there = await storedDigests(manager, [...held].filter((digest) => expired.has(digest))); // prettier-ignore
  for (const digest of held) expired.delete(digest);
  return { expired, held: there.size, entries };
}

/** Those that name the person of one of their holds. */
async function heldByPerson(
  manager: EntityManager,
  ask: ReadonlyMap<string, readonly LegalHold[]>,
  wanted: (digest: string) => boolean,
): Promise<readonly string[]> {
  // prettier-ignore
  const asked = [...ask.keys()].filter(wanted);
  const found: string[] = [];
  for (let at = 0; at < asked.length; at += 64) {
    const contents = await loadContents(manager, asked.slice(at, at + 64));
    for (const [digest, bytes] of contents)
      if (ask.get(digest)!.some((hold) => namesHeld(hold, bytes))) found.push(digest);
  }
  return found;
}

/** A hold that keeps one of these contents; undefined where none does. */
export async function holdOn(manager: EntityManager, digests: readonly string[]): Promise<LegalHold | undefined> {
  const all = await holdsInForce(manager);
  if (all.length === 0) return undefined;
  const wanted = new Set(digests);
  const ask = new Map<string, LegalHold[]>();
  let found: LegalHold | undefined;
  await eachEntry(manager, (entry) => {
    for (const { sha256 } of contentsOf(entry.predicate).values()) {
      if (found || !wanted.has(sha256)) continue;
      const on = all.filter((hold) => holds(hold, entry));
      found = on.find(({ scope }) => scope.person === undefined);
      if (on.length > 0) ask.set(sha256, [...(ask.get(sha256) ?? []), ...on]);
    }
  });
  if (found) return found;
  const [digest] = await heldByPerson(manager, ask, () => true);
  if (digest === undefined) return undefined;
  const bytes = (await loadContents(manager, [digest])).get(digest)!;
  return ask.get(digest)!.find((hold) => namesHeld(hold, bytes));
}

/** What entries name that came after the first `entries`, or wait for their place: contents without a salt are stored once, however often they are named. */
async function namedSince(manager: EntityManager, entries: number): Promise<ReadonlySet<string>> {
  const named = new Set<string>();
  const add = ({ predicate }: Pick<LoggedEntry, 'predicate'>): void => {
    for (const { sha256 } of contentsOf(predicate).values()) named.add(sha256);
  };
  await eachEntry(manager, add, entries);
  for (const { leaf } of await manager.query<{ leaf: Buffer }[]>('SELECT leaf FROM log_outbox'))
    add(parseStatement(leaf));
  return named;
}

/** The decisions by which environments stand: what is live is judged and explained by them, however old they are. */
async function standingDecisions(manager: EntityManager): Promise<ReadonlySet<number>> {
  const rows = await manager.query<{ index: string }[]>(
    `SELECT decision.log_index AS index FROM environment JOIN decision ON decision.id IN (environment.approved_decision, environment.head_decision)
     WHERE decision.log_index IS NOT NULL`,
  );
  return new Set(rows.map(({ index }) => Number(index)));
}

async function eachEntry(manager: EntityManager, look: (entry: LoggedEntry) => void, from = 0): Promise<number> {
  for (let at = from; ;) {
    const rows = await manager.query<{ leaf: Buffer }[]>(
      'SELECT leaf FROM log_entry WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index',
      [at, at + batch],
    );
    if (rows.length === 0) return at;
    for (const [i, { leaf }] of rows.entries()) look(entryOf(at + i, leaf));
    at += rows.length;
  }
}
