import { createHash } from 'node:crypto';
import { CountersignError } from '../errors.js';

/** The only queries that are answered, by the SHA-256 of their text: what reviewed clients ask, and nothing that somebody makes up. */
export class KnownQueries {
  readonly #digests: ReadonlySet<string>;

  /** Line ends and what surrounds a text do not matter. */
  constructor(texts: readonly string[]) {
    this.#digests = new Set(texts.map(digest));
  }

  /** Throws `forbidden`. */
  require(source: string): void {
    const given = digest(source);
    if (this.#digests.has(given)) return;
    throw new CountersignError('forbidden', `this service answers known queries only, and ${given} is none of them`, {
      remedy: 'Ask whoever runs it to add the query (access.queries)',
    });
  }
}

const digest = (text: string): string =>
  createHash('sha256').update(text.replaceAll('\r\n', '\n').trim()).digest('hex');
