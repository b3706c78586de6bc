import type { DataSource, EntityManager } from 'typeorm';
import type { Ledger } from '../../audit/ledger.js';
import { CountersignError } from '../../errors.js';
import { type HoldScope, type LegalHold, legalHoldEntry } from '../../review/legal-hold.js';
import { suggest } from '../../settings.js';
import { rowsOf } from './log-storage.js';

interface Row {
  readonly name: string;
  readonly scope: HoldScope;
  readonly reason: string;
  readonly by: string;
  readonly added_at: Date;
  readonly log_index: string | null;
  readonly released_at: Date | null;
  readonly release_reason: string | null;
  readonly released_by: string | null;
  readonly released_index: string | null;
}

type Asks = Pick<EntityManager, 'query'> | Pick<DataSource, 'query'>;

const index = (text: string | null): number | null => (text === null ? null : Number(text));

/** All, those that were released included, by name. */
export async function legalHolds(manager: Asks): Promise<readonly LegalHold[]> {
  const rows = await manager.query<Row[]>('SELECT * FROM legal_hold ORDER BY name');
  return rows.map((row) => ({
    name: row.name,
    scope: row.scope,
    reason: row.reason,
    by: row.by,
    addedAt: row.added_at.toISOString(),
    index: index(row.log_index),
    release:
      row.released_at === null
        ? null
        : { at: row.released_at.toISOString(), reason: row.release_reason ?? '', by: row.released_by ?? '', index: index(row.released_index) }, // prettier-ignore
  }));
}

/** Those that count: a release does once the log tells of it. */
export const holdsInForce = async (manager: Asks): Promise<readonly LegalHold[]> =>
  (await legalHolds(manager)).filter(({ release }) => release === null || release.index === null);

/** It counts at once; the service writes its entry. Throws `usage` for a name that was used before. */
export async function addLegalHold(
  manager: Asks,
  hold: Pick<LegalHold, 'name' | 'scope' | 'reason' | 'by'>,
): Promise<void> {
  // prettier-ignore
  const added = await manager.query<unknown[]>(
    `INSERT INTO legal_hold (name, scope, reason, by, added_at) VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING RETURNING name`,
    [hold.name, JSON.stringify(hold.scope), hold.reason, hold.by],
  );
  if (added.length === 0) throw new CountersignError('usage', `there is a legal hold ${hold.name} already, or was`, { remedy: 'Name another' }); // prettier-ignore
}

/** It ends when the service has written its entry. Throws `usage` for one that there is not. */
export async function releaseLegalHold(manager: Asks, name: string, reason: string, by: string): Promise<void> {
  const [, count] = await manager.query<[unknown, number]>(
    `UPDATE legal_hold SET released_at = now(), release_reason = $2, released_by = $3 WHERE name = $1 AND released_at IS NULL`,
    [name, reason, by],
  );
  if (count === 1) return;
  const names = (await legalHolds(manager)).filter(({ release }) => release === null).map((hold) => hold.name);
  throw new CountersignError('usage', `there is no legal hold ${name} that could be released${suggest(name, names)}`);
}

/** Writes the entries that are missing. The row and its entry's index are apart for a moment; an entry may be written twice, never not at all. */
export async function logLegalHolds(dataSource: DataSource, ledger: Ledger): Promise<number> {
  let logged = 0;
  for (const hold of await legalHolds(dataSource)) {
    const steps = [
      ...(hold.index === null ? [{ column: 'log_index', draft: legalHoldEntry({ ...hold, release: null }) }] : []),
      ...(hold.release?.index === null ? [{ column: 'released_index', draft: legalHoldEntry(hold) }] : []),
    ];
    for (const { column, draft } of steps) {
      const { entries } = await ledger.record(async (transaction) => transaction.append(draft));
      await rowsOf(dataSource, `UPDATE legal_hold SET ${column} = $2 WHERE name = $1 RETURNING name`, [hold.name, entries[0].index]); // prettier-ignore
      logged += 1;
    }
  }
  return logged;
}
