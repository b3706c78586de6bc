import { createHash } from 'node:crypto';
import { CountersignError } from '../errors.js';

/** The only queries that are answered, by the SHA-256 of their text: what reviewed clients ask, and nothing that somebody makes up. */
export class KnownQueries {
  /** By the digest of the text as it is compared; and as a client has it that hashes what is in its file. */
  readonly #texts = new Map<string, string>();

  /** Line ends and what surrounds a text do not matter. */
  constructor(texts: readonly string[]) {
    for (const text of texts) this.#texts.set(digest(normal(text)), text).set(digest(text), text);
  }

  /** Throws `forbidden`. */
  require(source: string): void {
    const given = digest(normal(source));
    if (this.#texts.has(given)) return;
    throw new CountersignError('forbidden', `this service answers known queries only, and ${given} is none of them`, {
      remedy: 'Ask whoever runs it to add the query (access.queries)',
    });
  }

  /** SHA-256, hex, of a query: its text. Throws `not-found`. */
  text(hash: string): string {
    const text = this.#texts.get(hash);
    if (text !== undefined) return text;
    throw new CountersignError('not-found', `no query with the hash ${hash.slice(0, 64)} is known here`, {
      remedy: 'Ask whoever runs this service to add the query (access.queries)',
    });
  }
}

interface Asked {
  readonly query?: unknown;
  readonly extensions?: { readonly persistedQuery?: { readonly version?: unknown; readonly sha256Hash?: unknown } } | null; // prettier-ignore
}

/**
 * Queries by their hash alone, as Apollo's clients send them (`extensions: {persistedQuery: {version: 1, sha256Hash}}`). None is learned: only
 * those that are known already have one. `known` is undefined where every query is answered, and clients are told in their own words to
 * send the text.
 */
export function queriesByHash(known: KnownQueries | undefined) {
  return {
    isPersistedQuery: (asked: Asked) => !asked.query && hashOf(asked) !== undefined,
    isPersistedQueryRetry: (asked: Asked) => Boolean(asked.query) && hashOf(asked) !== undefined,
    getHash: (asked: Asked) => hashOf(asked),
    getQueryFromHash: async (hash: string): Promise<string> => {
      if (known) return known.text(hash);
      throw new CountersignError('query-invalid', 'PersistedQueryNotSupported', {
        remedy: 'Send the text of the query: this service has no list of known ones (access.queries)',
      });
    },
    getHashForQuery: (query: string) => digest(query),
    mismatchError: 'the hash is not that of the query beside it',
    saveQuery: () => Promise.resolve(),
  };
}

/** Undefined where none is given. Throws `query-invalid` for what is no hash. */
function hashOf({ extensions }: Asked): string | undefined {
  const { persistedQuery } = extensions ?? {};
  if (persistedQuery === undefined || persistedQuery === null) return undefined;
  const { version, sha256Hash } = persistedQuery;
  if (version === 1 && typeof sha256Hash === 'string' && /^[0-9a-f]{64}$/.test(sha256Hash)) return sha256Hash;
  throw new CountersignError('query-invalid', 'persistedQuery is not of version 1 with a sha256Hash of 64 hex digits');
}

const normal = (text: string): string => text.replaceAll('\r\n', '\n').trim();
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
