import { parseStrictJson } from '../cluster/canonical.js';
import { fromUtf8, utf8 } from './crypto.js';
import { CountersignError } from '../errors.js';

/** What an erasure entry's content `erased` holds: the digests of the contents that it took away, and nothing of what was in them. */
export function listErased(digests: readonly string[]): Uint8Array {
  return utf8(JSON.stringify(digests.toSorted()));
}

/** Throws `log-invalid`, which calls the entry `what`. */
export function erasedBy(bytes: Uint8Array, what = 'an erasure'): readonly string[] {
  let value: unknown;
  try {
    value = parseStrictJson(fromUtf8(bytes) ?? '');
  } catch {
    value = undefined;
  }
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string' && /^[0-9a-f]{64}$/.test(one))) {
    throw new CountersignError('log-invalid', `the list of what ${what} took away cannot be read`);
  }
  return value as readonly string[];
}
