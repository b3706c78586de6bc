import type { Ed25519Signer } from './crypto.js';
import type { NoteSigner } from './note.js';

/** The service's own keys. Secrets never leave it: it signs, or computes, and hands back the result. */
export interface KeyRing {
  /** C2SP origin, and the name of the log's key. */
  readonly origin: string;
  /** Signs checkpoints, and nothing else. */
  readonly log: NoteSigner;
  /** Signs entries (DSSE); its public key is logged in a `key/v1` entry before the first entry it signs. */
  readonly entries: Ed25519Signer;
  /** HMAC-SHA-256 for values that must stay out (invariant 10). */
  readonly redaction: RedactionKey;
}

export interface RedactionKey {
  readonly id: string;
  digest(data: Uint8Array): Uint8Array;
}
