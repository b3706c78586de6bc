import { createHash, timingSafeEqual } from 'node:crypto';
import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';

/** What stands in a record where a person was. */
export const ERASED = '(erased)';

/** Fields of one object that tell who it is, and those beside them that say the same in other words. */
const WHO = ['email', 'principal'] as const;
const BESIDE: ReadonlySet<string> = new Set(['name', 'person', 'login']);
/** Shorter than this, what somebody is called encoded in base64 is in anything. */
const SHORTEST_ENCODED = 6;

/**
 * A person by every address and name under which they are to be forgotten. Each is looked for as a whole: `ann@example.org` is not in
 * `joann@example.org`, and Ann is not in `annotations`.
 */
export class Subject {
  /** As they were given: base64 tells capitals apart. */
  readonly written: readonly string[];
  /** In lower case, in order. */
  readonly terms: readonly string[];
  readonly #pattern: RegExp;
  readonly #encoded: readonly string[];

  /** Throws `usage`. */
  constructor(terms: readonly string[]) {
    this.written = [...new Set(terms.map((term) => term.trim()))];
    this.terms = [...new Set(this.written.map((term) => term.toLowerCase()))].toSorted();
    const short = this.terms.find((term) => term.length < 3);
    if (this.terms.length === 0 || short !== undefined) {
      throw new CountersignError('usage', `${JSON.stringify(short ?? '')} is too short to look for`, {
        remedy: 'Name the person by an e-mail address, a principal or a full name',
      });
    }
    this.#pattern = new RegExp(this.terms.map(wholeTerm).join('|'), 'giu');
    const forms = [...new Set([...this.written, ...this.terms])];
    this.#encoded = [...new Set(forms.filter((term) => term.length >= SHORTEST_ENCODED).flatMap(base64Forms))];
  }

  names(text: string): boolean {
    this.#pattern.lastIndex = 0;
    return this.#pattern.test(text);
  }

  /** As `names`, in JSON and YAML with their escapes, and in base64. */
  isIn(bytes: Buffer): boolean {
    const text = bytes.toString('utf8');
    return this.names(text) || this.#encoded.some((form) => text.includes(form));
  }

  scrub(text: string): string {
    return text.replace(this.#pattern, ERASED);
  }

  /** In keys and values alike. Whoever an address names loses the name beside it, too. */
  scrubJson(value: Json): Json {
    if (typeof value === 'string') return this.scrub(value);
    if (Array.isArray(value)) return value.map((one) => this.scrubJson(one));
    if (!isJsonObject(value)) return value;
    const about = WHO.some((field) => typeof value[field] === 'string' && this.names(value[field]));
    return Object.fromEntries(
      Object.entries(value).map(([field, inner]) => {
        if (about && BESIDE.has(field) && typeof inner === 'string') return [field, ERASED];
        if (about && field === 'account' && isJsonObject(inner)) return [field, anonymous(inner)];
        return [this.scrub(field), this.scrubJson(inner)];
      }),
    );
  }

  /** Which person was meant, told to nobody who lacks the salt: addresses are few enough to be guessed. */
  digest(salt: Uint8Array): string {
    return createHash('sha256').update(salt).update(JSON.stringify(this.terms)).digest('hex');
  }

  isOf(digest: string, salt: Uint8Array): boolean {
    const [mine, theirs] = [Buffer.from(this.digest(salt)), Buffer.from(digest)];
    return mine.length === theirs.length && timingSafeEqual(mine, theirs);
  }
}

function anonymous(account: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(account).map(([field, value]) => [field, BESIDE.has(field) ? ERASED : value]),
  );
}

/** Quoted text has escapes: the letter in `\nann@example.org` is not the address's. */
function wholeTerm(term: string): string {
  const escaped = [term, JSON.stringify(term).slice(1, -1)].map((form) => form.replaceAll(/[.*+?^${}()|[\]\\/-]/g, String.raw`\$&`)); // prettier-ignore
  const before = String.raw`(?:(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4})|(?<![\p{L}\p{N}_.+%-]))`;
  const after = String.raw`(?![\p{L}\p{N}_-]|\.[\p{L}\p{N}])`;
  return `${before}(?:${[...new Set(escaped)].join('|')})${after}`;
}

/** The part of base64 that only the term decides, for each of the three places where it may begin. */
function base64Forms(term: string): readonly string[] {
  const bytes = Buffer.from(term);
  return [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replaceAll('=', '');
    const first = offset === 0 ? 0 : offset + 1;
    const whole = text.slice(first, Math.floor(((offset + bytes.length) * 8) / 6));
    return [whole, whole.replaceAll('+', '-').replaceAll('/', '_')];
  });
}
