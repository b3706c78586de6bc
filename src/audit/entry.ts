import type { JsonObject } from '../cluster/object.js';

export const entryTypes = [
  'genesis',
  'service',
  'push',
  'decision',
  'approval',
  'exception',
  'run',
  'drift',
  'action',
  'fault',
  'key',
  'erasure',
  'export',
  'access',
  'protection',
] as const;
export type EntryType = (typeof entryTypes)[number];

export const predicateType = (type: EntryType): string => `https://countersign.dev/attestation/${type}/v1`;

/** in-toto Statement v1 subject. */
export interface Subject {
  readonly name: string;
  readonly digest: Readonly<Record<'gitCommit' | 'gitTree' | 'sha256', string> | Record<string, string>>;
}

/**
 * Something that happened, before it is in the log. The predicate goes into the leaf, for ever: identities of things,
 * digests and salted commitments only. Names, messages and object bodies go into `contents` (invariants 10, 11), which the
 * ledger stores and whose digests it writes into `predicate.contents` under their roles.
 */
export interface EntryDraft {
  readonly type: EntryType;
  readonly subjects: readonly Subject[];
  readonly predicate: JsonObject;
  readonly contents?: Readonly<Record<string, ContentDraft>>;
}

export interface ContentDraft {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  /** True for anything that may hold personal data: stored as 32 random bytes of salt ‖ bytes, named by the digest of both. */
  readonly salted: boolean;
}

/** How an entry's predicate names content: `predicate.contents[role]`. */
export interface ContentReference extends JsonObject {
  readonly mediaType: string;
  /** SHA-256, hex, of the stored bytes (salt included). */
  readonly sha256: string;
  readonly salted: boolean;
}

/** A leaf of the log. */
export interface LoggedEntry {
  readonly index: number;
  readonly type: EntryType;
  /** RFC 3339, UTC: when the service recorded it. */
  readonly time: string;
  /** RFC 6962 leaf hash, hex. */
  readonly leafHash: string;
  readonly subjects: readonly Subject[];
  readonly predicate: JsonObject;
  /** The leaf's bytes: the DSSE envelope as JSON. */
  readonly envelope: Buffer;
}
