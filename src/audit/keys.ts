import type { Ed25519Signer } from './crypto.js';
import type { NoteSigner } from './note.js';

/** The service's own keys. Secrets never leave it: it signs, or computes, and hands back the result. */
export interface KeyRing {
  /** C2SP origin, and the name of the log's key. */
  readonly origin: string;
  /** Signs checkpoints, and nothing else. While a rotation is under way it signs with the next key as well. */
  readonly log: NoteSigner;
  /** Signs entries (DSSE); its public key is logged in a `key/v1` entry before the first entry it signs. */
  readonly entries: Ed25519Signer;
  /** HMAC-SHA-256 for values that must stay out (invariant 10). */
  readonly redaction: RedactionKey;
  /** A rotation that was begun: both keys sign checkpoints, the log names the next ones, and entries are signed by the old one still. */
  readonly next: NextKeys | undefined;
  /** Keys that sign no more, oldest first. */
  readonly retired: readonly PublicKeys[];
  /** Checkpoints, each signed by a log key and by the one that followed it, of a tree that names the latter. Oldest first. */
  readonly handovers: readonly string[];
}

export interface NextKeys extends PublicKeys {
  /** Keeps the first checkpoint that covers the entries which name these keys: from then on they may take over. */
  readonly named: (handover: string) => Promise<void>;
}

export interface PublicKeys {
  readonly vkey: string;
  /** Of the key that signs entries: raw, 32 bytes. */
  readonly entries: Uint8Array;
}

export interface RedactionKey {
  readonly id: string;
  digest(data: Uint8Array): Uint8Array;
}
