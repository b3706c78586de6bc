import type { ContentReference, EntryDraft, LoggedEntry } from './entry.js';

/** An entry whose inclusion under a signed checkpoint was checked by the code that made this value (audit/proof.ts). */
export interface Inclusion {
  readonly entry: LoggedEntry;
  /** The signed note, as served under /log/checkpoint. */
  readonly checkpoint: string;
  readonly treeSize: number;
  /** Hex, RFC 6962 inclusion proof of entry.index in treeSize. */
  readonly proof: readonly string[];
}

/** What one transaction may do beside its caller's own rows. */
export interface LedgerTransaction {
  /** Stages an entry; its index is known only after the transaction and its checkpoint are durable. Staging order is log order. */
  append(draft: EntryDraft): void;
  /** The database transaction, for the record stores of adapters/postgres; opaque to domain code. */
  readonly handle: unknown;
}

export interface Committed<T> {
  readonly value: T;
  /** One for each append, in order. */
  readonly entries: readonly LoggedEntry[];
}

/**
 * The log, as the rest of the service sees it. `record` runs `work` in one database transaction and resolves only when every
 * entry staged in it is covered by a signed, durable checkpoint (invariant 3); if `work` throws, nothing was recorded. Rejects
 * with `database-unavailable` or `disk-full` (retry true) when it cannot be made durable; a rejected record may still turn out to
 * be recorded, as with any commit: entries that must not be doubled carry an id in their predicate.
 */
export interface Ledger {
  record<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<Committed<T>>;
  size(): Promise<number>;
  entry(index: number): Promise<LoggedEntry>;
  entries(from: number, to: number): AsyncIterable<LoggedEntry>;
  /** The newest signed checkpoint (a C2SP signed note); the note of the empty tree before the first entry. */
  checkpoint(): Promise<string>;
  /** Proof of one entry under the newest checkpoint. */
  inclusion(index: number): Promise<Inclusion>;
  /** Hex, RFC 6962 consistency proof. */
  consistency(oldSize: number, newSize: number): Promise<readonly string[]>;
  /** The bytes that a reference names, salt taken off. Throws `content-missing`, `content-corrupt`. */
  content(reference: ContentReference): Promise<Buffer>;
}
