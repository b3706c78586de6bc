import { fromBase64 } from './crypto.js';
import { type Envelope, type EnvelopeKey, envelopeKey, signedByAny } from './dsse.js';
import type { LoggedEntry } from './entry.js';
import { invalid } from './evidence.js';

/** The key of entries that an entry names. Throws `bundle-invalid` for one that is none. */
export function entryKeyIn({ index, type, predicate: { use, publicKey } }: LoggedEntry): EnvelopeKey | undefined {
  if (type !== 'key' || use !== 'entry-signing') return undefined;
  const key = typeof publicKey === 'string' ? fromBase64(publicKey) : undefined;
  if (key?.length !== 32) throw invalid(`entry ${index} names a key that is none`);
  return envelopeKey(key);
}

/** Which keys may sign entries, as the log itself names them on its way. */
export class EntryKeys {
  readonly #keys = new Map<string, EnvelopeKey>();
  /** How often the log named one. */
  named = 0;

  /** Those that may sign what comes next. */
  get all(): Iterable<EnvelopeKey> {
    return this.#keys.values();
  }

  /**
   * The next entry, and its envelope. It must be signed by a key that was named before it; one that names a key, by that key or by one before it: nobody
   * can log a key that is not theirs alone. Throws `bundle-invalid`.
   */
  read(entry: LoggedEntry, envelope: Envelope): void {
    const key = entryKeyIn(entry);
    // From here on it signs nothing, this entry included: a thief of an old key comes too late.
    if (key && entry.predicate['phase'] === 'retired') this.#keys.delete(key.keyid);
    else if (key) {
      this.#keys.set(key.keyid, key);
      this.named += 1;
    }
    if (!signedByAny(envelope, this.#keys)) {
      throw invalid(
        `entry ${entry.index} was changed, or never signed: no signature by a key that the log named before it`,
      );
    }
  }
}
