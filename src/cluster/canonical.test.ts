import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CountersignError } from '../errors.js';
import { canonicalJson, digestOf, parseStrictJson } from './canonical.js';
import type { Json } from './object.js';

const vectors = join(import.meta.dirname, '../../test/vectors/jcs');

const failure = (run: () => unknown): CountersignError => {
  try {
    run();
  } catch (error) {
    if (error instanceof CountersignError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('canonicalJson', () => {
  it.each(readdirSync(join(vectors, 'input')))('gives the bytes that RFC 8785 publishes for %s', (name) => {
    const input = parseStrictJson(readFileSync(join(vectors, 'input', name), 'utf8'));
    expect(canonicalJson(input)).toBe(readFileSync(join(vectors, 'output', name), 'utf8'));
  });

  it('does not depend on the order in which members were written', () => {
    expect(digestOf({ b: 1, a: [{ d: 2, c: 3 }] })).toBe(digestOf({ a: [{ c: 3, d: 2 }], b: 1 }));
  });

  it.each([
    ['an integer beyond 2^53', 2 ** 53, 'manifest-number'],
    ['an infinite number', Infinity, 'manifest-number'],
    ['what is not a number', NaN, 'manifest-number'],
    ['a big integer', 1n as unknown as Json, 'manifest-malformed'],
    ['half of a surrogate pair', 'a\ud800', 'manifest-malformed'],
    ['half of a surrogate pair in a key', { '\udc00': 1 }, 'manifest-malformed'],
    ['an undefined member', { a: undefined } as unknown as Json, 'manifest-malformed'],
  ])('refuses %s', (_what, value, code) => {
    expect(failure(() => canonicalJson(value))).toMatchObject({ code });
  });

  it('when a value holds itself, refuses it instead of never ending', () => {
    const wide: Json[] = [];
    wide.push(wide, wide, { wide });
    expect(failure(() => canonicalJson(wide))).toMatchObject({ code: 'manifest-too-deep' });
  });

  it('keeps a member called __proto__', () => {
    expect(canonicalJson(parseStrictJson('{"__proto__":{"a":1}}'))).toBe('{"__proto__":{"a":1}}');
  });
});

describe('parseStrictJson', () => {
  it('reads what JSON.parse reads', () => {
    const text = ' {"a":[1,-2.5e-3,true,false,null,"\\u00e9\\n\\ud83d\\ude00"],"b":{},"c":[]}\r\n';
    expect(parseStrictJson(text)).toEqual(JSON.parse(text));
  });

  it.each([
    ['a key written twice', '{\n"a":1,\n"\\u0061":2}', 'manifest-duplicate-key', 3],
    ['an integer beyond 2^53', '[1,\n9007199254740993]', 'manifest-number', 2],
    ['an integer of 30 digits', '1'.padEnd(30, '0'), 'manifest-number', 1],
    ['a number too large for a double', '1e999', 'manifest-number', 1],
    ['half of a surrogate pair', '"\\ud800"', 'manifest-malformed', 1],
    ['a trailing comma', '[1,\n]', 'manifest-malformed', 2],
    ['two values', '{} {}', 'manifest-malformed', 1],
    ['a leading zero', '[01]', 'manifest-malformed', 1],
    ['a control character in a string', '"a\nb"', 'manifest-malformed', 1],
    ['an unknown escape', '"\\x41"', 'manifest-malformed', 1],
    ['nothing', '', 'manifest-malformed', 1],
    ['text that never closes', '['.repeat(100_000), 'manifest-too-deep', 1],
  ])('refuses %s, with its line', (_what, text, code, line) => {
    expect(failure(() => parseStrictJson(text, { file: 'x.json' }))).toMatchObject({
      code,
      place: { file: 'x.json', line },
    });
  });
});
