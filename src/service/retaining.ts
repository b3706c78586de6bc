import type { DataSource } from 'typeorm';
import { logLegalHolds } from '../adapters/postgres/legal-holds.js';
import { removeExpired, type Retained } from '../adapters/postgres/retain.js';
import type { EndWork, Lease } from '../audit/lease.js';
import type { Ledger } from '../audit/ledger.js';
import { Repeating } from '../audit/repeating.js';
import type { Retention } from '../audit/retention.js';
import type { CountersignError } from '../errors.js';

/** How often it is looked for holds that the log does not tell of yet, and for what has expired: in milliseconds. */
const [OFTEN, SELDOM] = [5_000, 6 * 3_600_000];

export interface RetainingParts {
  readonly dataSource: DataSource;
  readonly ledger: Ledger;
  readonly retention: Retention;
  readonly onFault: (fault: CountersignError) => void;
  readonly onRemoved: (retained: Retained) => void;
}

/** A duty that one instance does at a time. Holds are told of before anything expires. */
export function beginRetaining(
  { dataSource, ledger, retention, onFault, onRemoved }: RetainingParts,
  lease: Lease,
): Promise<EndWork> {
  // prettier-ignore
  const telling = new Repeating(() => logLegalHolds(dataSource, ledger), OFTEN, onFault);
  const removing = new Repeating(
    async () => {
      await logLegalHolds(dataSource, ledger);
      const retained = await removeExpired(dataSource, ledger, retention, new Date(), lease);
      if (retained.removed > 0) onRemoved(retained);
    },
    SELDOM,
    onFault,
  );
  telling.start();
  removing.start();
  return Promise.resolve(async () => {
    await Promise.all([telling.stop(), removing.stop()]);
  });
}
