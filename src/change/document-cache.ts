import { hash } from 'node:crypto';
import type { ManifestDocument } from '../cluster/documents.js';

/** Values parsed from YAML take about this many times the bytes of their text. */
const BYTES_PER_BYTE = 4;

type Reading = Promise<ManifestDocument | undefined> | ManifestDocument | undefined;

interface Kept {
  /** undefined: it cannot be read by itself. */
  document: Reading;
  readonly bytes: number;
  users: number;
}

/**
 * Parsed documents by their bytes, for as long as a file that is kept holds them. Versions of one file share most of their
 * documents, and so do the files of environments that are alike: each is parsed once, and stays one object, so that telling what
 * changed between two versions looks only at those that did.
 */
export class DocumentCache {
  private readonly documents = new Map<string, Kept>();
  /** In bytes, estimated. */
  used = 0;

  /** Whoever acquires releases. `read` is asked for bytes that nobody holds. */
  acquire(bytes: Buffer, variant: string, read: () => Reading): { readonly key: string; readonly document: Reading } {
    // BLAKE2 where SHA-256 would do, too: twice as fast on processors that have no instructions for SHA.
    const key = hash('blake2b512', bytes, 'binary') + variant;
    const known = this.documents.get(key);
    if (known) {
      known.users++;
      return { key, document: known.document };
    }
    const kept: Kept = { document: undefined, bytes: bytes.length * BYTES_PER_BYTE, users: 1 };
    this.documents.set(key, kept);
    this.used += kept.bytes;
    const document = read();
    kept.document = document;
    if (document instanceof Promise) {
      // A fault is for those who wait for it; the last of them to release takes it away.
      document.then(
        (done) => (kept.document = done),
        () => undefined,
      );
    }
    return { key, document: kept.document };
  }

  release(keys: readonly string[]): void {
    for (const key of keys) {
      const kept = this.documents.get(key);
      if (!kept || --kept.users > 0) continue;
      this.documents.delete(key);
      this.used -= kept.bytes;
    }
  }
}
