import { randomUUID } from 'node:crypto';
import type { EntryDraft } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import { canonicalJson } from '../cluster/canonical.js';
import type { Json } from '../cluster/object.js';
import type { Records } from '../review/records.js';
import type { Supplement } from './audit-trail.js';
import type { Drift } from './run-log.js';

/** Puts evidence that came after a drift into the log, as an entry of its own, and beside the drift in the records. */
export class RecordedSupplements {
  #last: Promise<void> = Promise.resolve();

  constructor(
    private readonly ledger: Ledger,
    private readonly records: Records,
    private readonly onFault: (thrown: unknown) => void,
  ) {}

  /** One after the other: each is added to those before it. */
  add(drift: Drift, supplement: Supplement): void {
    this.#last = this.#last.then(() => this.#record(drift, supplement)).catch(this.onFault);
  }

  /** Resolves when all that was added is recorded, or has failed. */
  async close(): Promise<void> {
    await this.#last;
  }

  async #record(drift: Drift, supplement: Supplement): Promise<void> {
    const time = new Date().toISOString();
    await this.ledger.record(async (transaction) => {
      transaction.append(supplementEntry(drift, supplement, time));
      const [row] = await this.records.find('drift', { id: drift.id });
      const before = Array.isArray(row?.supplements) ? (row.supplements as readonly Json[]) : [];
      const supplements = [...before, supplement as unknown as Json];
      await this.records.update('drift', { id: drift.id }, { supplements }, transaction);
    });
  }
}

function supplementEntry(drift: Drift, supplement: Supplement, time: string): EntryDraft {
  const { repository, environment, target, identity } = drift;
  const { strength, source, incomplete } = supplement;
  return {
    type: 'drift',
    subjects: [],
    predicate: {
      id: randomUUID(),
      // Of which drift it tells more: the first evidence stays as it was recorded.
      supplements: drift.id,
      repository,
      environment,
      target,
      object: { ...identity },
      strength,
      source,
      incomplete,
      time,
    },
    // Who it was is personal data.
    contents: { evidence: { mediaType: 'application/json', bytes: Buffer.from(canonicalJson(supplement as unknown as Json)), salted: true } }, // prettier-ignore
  };
}
