import type { Committed, Inclusion, Ledger, LedgerTransaction } from './ledger.js';
import type { ContentReference, LoggedEntry } from './entry.js';
import type { Lease } from './lease.js';

/** The log for whoever holds a lease: once that is another's, nothing more is recorded. Throws `lease-lost` then. */
export class FencedLedger implements Ledger {
  constructor(
    private readonly ledger: Ledger,
    private readonly lease: Lease,
  ) {}

  record<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<Committed<T>> {
    return this.ledger.record(async (transaction) => {
      await this.lease.fence(transaction.handle);
      return work(transaction);
    });
  }

  size(): Promise<number> {
    return this.ledger.size();
  }

  entry(index: number): Promise<LoggedEntry> {
    return this.ledger.entry(index);
  }

  entries(from: number, to: number): AsyncIterable<LoggedEntry> {
    return this.ledger.entries(from, to);
  }

  checkpoint(): Promise<string> {
    return this.ledger.checkpoint();
  }

  inclusion(index: number): Promise<Inclusion> {
    return this.ledger.inclusion(index);
  }

  consistency(oldSize: number, newSize: number): Promise<readonly string[]> {
    return this.ledger.consistency(oldSize, newSize);
  }

  content(reference: ContentReference): Promise<Buffer> {
    return this.ledger.content(reference);
  }
}
