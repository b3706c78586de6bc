import { CountersignError } from '../errors.js';
import { isJsonObject, type Json } from './object.js';

/** A place in a value: members by name, items by index. */
export type Place = readonly (string | number)[];

type Part =
  | { readonly kind: 'member'; readonly name: string }
  | { readonly kind: 'item'; readonly index: number }
  | { readonly kind: 'each' }
  | { readonly kind: 'anywhere' }
  | { readonly kind: 'select'; readonly test: (value: Json) => boolean };

/**
 * The path expressions of jq that `ignoreDifferences` is written in: `.a.b`, `.a["b"]`, `.[0]`, `.a[]`, `?`, `..`, `|` and
 * `select(.path == literal)` with `!=`, `and`, `or`, `not`, `startswith`, `endswith` and `contains`. A program of jq may run for
 * ever and comes from a repository, so what is not a path is refused rather than run. Throws `config-invalid`.
 */
export function parseJqPath(expression: string): (value: Json) => Place[] {
  const reader = new Reader(expression);
  const parts = reader.pipeline();
  reader.end();
  return (value) => follow(value, parts).map(({ place }) => place);
}

interface Found {
  readonly place: Place;
  readonly value: Json;
}

function follow(root: Json, parts: readonly Part[]): Found[] {
  let found: Found[] = [{ place: [], value: root }];
  for (const part of parts) found = found.flatMap(({ place, value }) => step(place, value, part));
  return found;
}

function step(place: Place, value: Json, part: Part): Found[] {
  switch (part.kind) {
    case 'member':
      return isJsonObject(value) && Object.hasOwn(value, part.name)
        ? [{ place: [...place, part.name], value: value[part.name] }]
        : [];
    case 'item': {
      if (!Array.isArray(value)) return [];
      const index = part.index < 0 ? value.length + part.index : part.index;
      return index in value ? [{ place: [...place, index], value: (value as readonly Json[])[index] }] : [];
    }
    case 'each':
      return children(value).map(([name, child]) => ({ place: [...place, name], value: child }));
    case 'anywhere':
      return [{ place, value }, ...children(value).flatMap(([name, child]) => step([...place, name], child, part))];
    default:
      return part.test(value) ? [{ place, value }] : [];
  }
}

function children(value: Json): [string | number, Json][] {
  if (Array.isArray(value)) return (value as readonly Json[]).map((item, i) => [i, item]);
  return isJsonObject(value) ? Object.entries(value) : [];
}

class Reader {
  #at = 0;

  constructor(private readonly text: string) {}

  pipeline(): Part[] {
    const parts = this.#term();
    while (this.#take('|')) parts.push(...this.#term());
    return parts;
  }

  end(): void {
    this.#space();
    if (this.#at < this.text.length) throw this.#fault();
  }

  #term(): Part[] {
    this.#space();
    if (this.#word('select')) {
      this.#expect('(');
      const test = this.#either();
      this.#expect(')');
      return [{ kind: 'select', test }];
    }
    if (this.#take('..')) return [{ kind: 'anywhere' }, ...this.#path()];
    if (!this.#take('.')) throw this.#fault();
    const parts: Part[] = [];
    const name = this.#name();
    if (name !== null) parts.push({ kind: 'member', name });
    this.#take('?');
    return [...parts, ...this.#path()];
  }

  #path(): Part[] {
    const parts: Part[] = [];
    for (;;) {
      if (this.text[this.#at] === '[') {
        this.#at++;
        parts.push(this.#bracket());
      } else if (this.text[this.#at] === '.' && this.text[this.#at + 1] !== '.') {
        this.#at++;
        const name = this.#name();
        if (name !== null) parts.push({ kind: 'member', name });
        else if (this.text[this.#at] !== '[') throw this.#fault();
      } else if (this.text[this.#at] === '?') this.#at++;
      else return parts;
    }
  }

  #bracket(): Part {
    if (this.#take(']')) return { kind: 'each' };
    const literal = this.#literal();
    this.#expect(']');
    if (typeof literal === 'string') return { kind: 'member', name: literal };
    if (typeof literal === 'number' && Number.isInteger(literal)) return { kind: 'item', index: literal };
    throw this.#fault();
  }

  #either(): (value: Json) => boolean {
    let test = this.#both();
    while (this.#word('or')) {
      const [one, other] = [test, this.#both()];
      test = (value) => one(value) || other(value);
    }
    return test;
  }

  #both(): (value: Json) => boolean {
    let test = this.#condition();
    while (this.#word('and')) {
      const [one, other] = [test, this.#condition()];
      test = (value) => one(value) && other(value);
    }
    return test;
  }

  #condition(): (value: Json) => boolean {
    if (this.#take('(')) {
      const inner = this.#either();
      this.#expect(')');
      return this.#negated(inner);
    }
    const path = this.#term();
    const values = (value: Json): Json[] => follow(value, path).map((one) => one.value);
    if (this.#take('==')) {
      const wanted = this.#literal();
      return (value) => values(value).some((one) => one === wanted);
    }
    if (this.#take('!=')) {
      const wanted = this.#literal();
      return (value) => (values(value)[0] ?? null) !== wanted;
    }
    if (this.#take('|')) return this.#negated(this.#matching(values));
    return this.#negated((value) => values(value).some((one) => one !== null && one !== false));
  }

  #matching(values: (value: Json) => Json[]): (value: Json) => boolean {
    if (this.#word('not')) return (value) => !values(value).some((one) => one !== null && one !== false);
    for (const [name, holds] of [
      ['startswith', (text: string, part: string) => text.startsWith(part)],
      ['endswith', (text: string, part: string) => text.endsWith(part)],
      ['contains', (text: string, part: string) => text.includes(part)],
    ] as const) {
      if (!this.#word(name)) continue;
      this.#expect('(');
      const part = this.#literal();
      this.#expect(')');
      if (typeof part !== 'string') throw this.#fault();
      return (value) => values(value).some((one) => typeof one === 'string' && holds(one, part));
    }
    throw this.#fault();
  }

  #negated(test: (value: Json) => boolean): (value: Json) => boolean {
    const before = this.#at;
    if (this.#take('|')) {
      if (this.#word('not')) return (value) => !test(value);
      this.#at = before;
    }
    return test;
  }

  #literal(): Json {
    this.#space();
    const match = /^("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null)/.exec(this.text.slice(this.#at));
    if (!match) throw this.#fault();
    this.#at += match[0].length;
    try {
      return JSON.parse(match[0]) as Json;
    } catch {
      throw this.#fault();
    }
  }

  #name(): string | null {
    if (this.text[this.#at] === '"') return this.#literal() as string;
    const match = /^[A-Za-z_][A-Za-z0-9_]*/.exec(this.text.slice(this.#at));
    if (!match) return null;
    this.#at += match[0].length;
    return match[0];
  }

  #word(word: string): boolean {
    this.#space();
    const match = /^[a-z]+/.exec(this.text.slice(this.#at));
    if (match?.[0] !== word) return false;
    this.#at += word.length;
    return true;
  }

  #take(sign: string): boolean {
    const before = this.#at;
    this.#space();
    if (this.text.startsWith(sign, this.#at)) {
      this.#at += sign.length;
      return true;
    }
    this.#at = before;
    return false;
  }

  #expect(sign: string): void {
    if (!this.#take(sign)) throw this.#fault();
  }

  #space(): void {
    while (/\s/.test(this.text[this.#at] ?? '')) this.#at++;
  }

  #fault(): CountersignError {
    return new CountersignError(
      'config-invalid',
      `"${this.text.slice(0, 200)}" is no jq path that is understood, from character ${this.#at + 1}`,
      { remedy: 'Use paths such as .spec.template.spec.containers[] | select(.name == "proxy") | .image' },
    );
  }
}
