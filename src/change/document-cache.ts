import type { ManifestDocument } from '../cluster/documents.js';

/** Values parsed from YAML take about this many times the bytes of their text; and their key takes as many again. */
const BYTES_PER_BYTE = 5;

/** A document that somebody holds. */
export interface HeldDocument {
  /** undefined: it cannot be read by itself. */
  readonly document: ManifestDocument | undefined;
}

interface Kept extends HeldDocument {
  readonly key: string;
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
  acquire(bytes: Buffer, variant: string, read: () => ManifestDocument | undefined): HeldDocument {
    // The bytes themselves: calling for a digest costs ten times as much.
    const key = `${variant}\0${bytes.toString('latin1')}`;
    let kept = this.documents.get(key);
    if (!kept) {
      kept = { key, document: read(), bytes: bytes.length * BYTES_PER_BYTE, users: 0 };
      this.documents.set(key, kept);
      this.used += kept.bytes;
    }
    kept.users++;
    return kept;
  }

  /** One more holder of what somebody holds. */
  share(held: HeldDocument): HeldDocument {
    (held as Kept).users++;
    return held;
  }

  release(held: readonly HeldDocument[]): void {
    for (const kept of held as readonly Kept[]) {
      if (--kept.users > 0) continue;
      this.documents.delete(kept.key);
      this.used -= kept.bytes;
    }
  }
}
