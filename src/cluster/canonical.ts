import { hash } from 'node:crypto';
import { CountersignError, type Place } from '../errors.js';
import type { Json } from './object.js';

/** Far above what any API accepts, far below what would overflow the stack. Also what ends a cyclic value. */
const MAX_DEPTH = 500;

/**
 * RFC 8785 on an I-JSON profile (RFC 7493). What would not survive a reader with IEEE 754 doubles, or is no Unicode text, is
 * an error rather than a near miss: two parties that hash "the same" value must hash the same bytes (invariants 4 and 9).
 * Throws `manifest-number`, `manifest-malformed` (lone surrogates, values that are no JSON), `manifest-too-deep` (cycles).
 */
export function canonicalJson(value: Json): string {
  return canonicalise(value, 0);
}

/** SHA-256, hex, of the canonical JSON. */
export function digestOf(value: Json): string {
  return hash('sha256', canonicalise(value, 0), 'hex');
}

function canonicalise(value: Json, depth: number): string {
  switch (typeof value) {
    case 'string':
      return canonicalString(value);
    case 'number':
      if (!isExactNumber(value)) throw inexact(String(value));
      return JSON.stringify(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      break;
    default:
      throw new CountersignError('manifest-malformed', `a ${typeof value} has no JSON form`);
  }
  if (value === null) return 'null';
  if (depth >= MAX_DEPTH) {
    throw new CountersignError(
      'manifest-too-deep',
      `a value is nested more than ${MAX_DEPTH} levels deep, or holds itself`,
    );
  }
  if (Array.isArray(value)) {
    let text = '[';
    for (let i = 0; i < value.length; i++) text += (i ? ',' : '') + canonicalise(value[i] as Json, depth + 1);
    return `${text}]`;
  }
  const object = value as { readonly [key: string]: Json };
  // RFC 8785, 3.2.3: members sorted by UTF-16 code units, which is what sort() does without a comparer.
  const keys = Object.keys(object).sort(); // oxlint-disable-line unicorn/no-array-sort
  let text = '{';
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    text += `${i ? ',' : ''}${canonicalKey(key)}:${canonicalise(object[key], depth + 1)}`;
  }
  return `${text}}`;
}

/** Keys repeat from object to object, so most of them have been written before. */
const writtenKeys = new Map<string, string>();
const MAX_WRITTEN_KEYS = 10_000;

function canonicalKey(key: string): string {
  let text = writtenKeys.get(key);
  if (text === undefined) {
    text = canonicalString(key);
    if (writtenKeys.size >= MAX_WRITTEN_KEYS) writtenKeys.clear();
    if (key.length < 100) writtenKeys.set(key, text);
  }
  return text;
}

function canonicalString(value: string): string {
  const text = JSON.stringify(value);
  // JSON.stringify writes a lone surrogate as \udxxx; the test of the value itself is only needed when such text appears.
  if (text.includes('\\ud') && /\p{Surrogate}/u.test(value)) throw loneSurrogate();
  return text;
}

/**
 * What prints as integer digits (RFC 8785 prints exponents from 1e21 on) must be an integer that a double holds exactly;
 * otherwise the digits that are hashed are not those that were written.
 */
export function isExactNumber(value: number): boolean {
  if (!Number.isFinite(value)) return false;
  return !Number.isInteger(value) || Number.isSafeInteger(value) || Math.abs(value) >= 1e21;
}

function inexact(text: string, place?: Place): CountersignError {
  return new CountersignError('manifest-number', `the number ${text.slice(0, 40)} cannot be carried exactly in JSON`, {
    place,
    remedy: 'Keep integers within ±(2^53 − 1), or write the value as a string',
  });
}

function loneSurrogate(place?: Place): CountersignError {
  return new CountersignError(
    'manifest-malformed',
    'a string holds half of a surrogate pair, which is no Unicode text',
    {
      place,
      remedy: 'Write the character itself or both halves of the pair',
    },
  );
}

/**
 * JSON text to a value, refusing what JSON.parse lets pass: duplicate keys (by their decoded text), integers beyond 2^53, lone
 * surrogates. A byte order mark at the start is skipped. `starts`, if given, gets the 1-based line of every object and array.
 * Throws `manifest-duplicate-key`, `manifest-number`, `manifest-malformed`, `manifest-too-deep`, each with its line.
 */
export function parseStrictJson(text: string, place: Place = { file: 'JSON' }, starts?: Map<object, number>): Json {
  return new StrictReader(text, place, starts).read();
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
/** A string without escapes or control characters, from quote to quote. */
// eslint-disable-next-line no-control-regex
const PLAIN_STRING = /"[^"\\\u0000-\u001f]*"/y;
const LITERALS: readonly (readonly [string, Json])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

class StrictReader {
  private at = 0;
  private line: number;

  constructor(
    private readonly text: string,
    private readonly place: Place,
    private readonly starts?: Map<object, number>,
  ) {
    this.line = place.line ?? 1;
    if (text.charCodeAt(0) === 0xfeff) this.at = 1;
  }

  read(): Json {
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) throw this.malformed('text after the end of the value');
    return value;
  }

  private value(depth: number): Json {
    this.space();
    const char = this.text[this.at];
    if (char === '{' || char === '[') {
      if (depth >= MAX_DEPTH) {
        throw new CountersignError('manifest-too-deep', `JSON is nested more than ${MAX_DEPTH} levels deep`, {
          place: this.here(),
        });
      }
      return char === '{' ? this.object(depth) : this.array(depth);
    }
    if (char === '"') return this.string();
    for (const [word, value] of LITERALS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  private object(depth: number): Json {
    const result: Record<string, Json> = {};
    this.starts?.set(result, this.line);
    this.at++;
    this.space();
    if (this.take('}')) return result;
    do {
      this.space();
      if (this.text[this.at] !== '"') throw this.malformed('expected a key in double quotes');
      const place = this.here();
      const key = this.string();
      if (Object.hasOwn(result, key)) {
        throw new CountersignError('manifest-duplicate-key', `the key "${key}" is written twice in one object`, {
          place,
          remedy: 'Keep one of the two',
        });
      }
      this.space();
      if (!this.take(':')) throw this.malformed('expected ":" after a key');
      setMember(result, key, this.value(depth + 1));
      this.space();
    } while (this.take(','));
    if (!this.take('}')) throw this.malformed('expected "," or "}"');
    return result;
  }

  private array(depth: number): Json {
    const result: Json[] = [];
    this.starts?.set(result, this.line);
    this.at++;
    this.space();
    if (this.take(']')) return result;
    do {
      result.push(this.value(depth + 1));
      this.space();
    } while (this.take(','));
    if (!this.take(']')) throw this.malformed('expected "," or "]"');
    return result;
  }

  private string(): string {
    PLAIN_STRING.lastIndex = this.at;
    const start = this.at + 1;
    // Nearly every string, and every long one (an envelope's payload), holds no escape: one scan by the regular expression engine.
    const value = PLAIN_STRING.test(this.text)
      ? this.text.slice(start, (this.at = PLAIN_STRING.lastIndex) - 1)
      : this.escapedString();
    if (!value.isWellFormed()) throw loneSurrogate(this.here());
    return value;
  }

  private escapedString(): string {
    const start = this.at;
    let end = start + 1;
    for (; ; end++) {
      const code = this.text.charCodeAt(end);
      if (code === 34) break;
      if (code === 92) end++;
      else if (code < 32 || Number.isNaN(code)) throw this.malformed('a string does not end on its line');
    }
    this.at = end + 1;
    try {
      return JSON.parse(this.text.slice(start, this.at)) as string;
    } catch {
      throw this.malformed('a string holds an escape that JSON does not have');
    }
  }

  private number(): number {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (!match) throw this.malformed(this.at < this.text.length ? 'expected a value' : 'the text ends too early');
    const value = Number(match[0]);
    // An integer in the text must be exact however large; a float only where it would print as integer digits.
    const integer = match[1] === undefined && match[2] === undefined;
    if (!isExactNumber(value) || (integer && !Number.isSafeInteger(value))) throw inexact(match[0], this.here());
    this.at = NUMBER.lastIndex;
    return value;
  }

  private space(): void {
    for (; ; this.at++) {
      const code = this.text.charCodeAt(this.at);
      if (code === 10) this.line++;
      else if (code !== 32 && code !== 13 && code !== 9) return;
    }
  }

  private take(char: string): boolean {
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  private here(): Place {
    return { file: this.place.file, line: this.line };
  }

  private malformed(what: string): CountersignError {
    return new CountersignError('manifest-malformed', `malformed JSON: ${what}`, {
      place: this.here(),
      remedy: 'Correct the file',
    });
  }
}

/** Plain assignment would set the prototype for the key `__proto__`, which is a legal key of a ConfigMap. */
export function setMember<T>(object: Record<string, T>, key: string, value: T): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}
