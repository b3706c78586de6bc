import { CountersignError } from '../../errors.js';
import type { OpenInput } from './evaluation.js';

/** Where a JSON value lies in UTF-8 text. Bytes, because reading a character of a string costs three times as much. */
interface Span {
  readonly start: number;
  /** After its last byte. */
  readonly end: number;
}

const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPENING_BRACKET = 91;
const BACKSLASH = 92;
const CLOSING_BRACKET = 93;
const OPENING_BRACE = 123;
const CLOSING_BRACE = 125;
/** How `null` begins, and nothing else does. */
const NULL = 110;

/** One change of an input, and the object after it if there is one. */
interface ChangeSpan extends Span {
  readonly after: Span | undefined;
}

const NO_COMMITS = Buffer.from('"commits":[]');

/**
 * An input too big to be parsed as a whole: each change is cut out of its text, with what is around the list of changes and no commits.
 * Throws `policy-failed` for what is no input.
 */
export function splitInput(text: Buffer): OpenInput {
  let time: string | null = null;
  const members: Uint8Array[] = [];
  const changes: ChangeSpan[] = [];
  let at = -1;
  let commits = false;
  scanObject(text, 0, (key, start, from) => {
    if (key === 'changes') {
      at = members.length;
      members.push(text.subarray(from, start));
      return scanArray(text, start, (element) => {
        const change = readChange(text, element);
        changes.push(change);
        return change.end;
      });
    }
    const end = endOfValue(text, start);
    if (key === 'time') time = JSON.parse(text.toString('utf8', start, end)) as string;
    if (key === 'commits') commits = true;
    members.push(key === 'commits' ? NO_COMMITS : text.subarray(from, end));
    return end;
  });
  if (!commits) members.push(NO_COMMITS);
  const [before, after] = around(members, at);
  return {
    time,
    changes: changes.length,
    all: { parts: [text] },
    change: (i) => ({ parts: [before, text.subarray(changes[i].start, changes[i].end), after] }),
    only: (i) => ({ parts: [text.subarray(changes[i].start, changes[i].end)] }),
    after: (i) => {
      const span = changes[i].after;
      return span && { parts: [text.subarray(span.start, span.end)] };
    },
  };
}

/** A JSON object's text without one of its members, and that member's value. Throws `policy-failed` if it is no JSON object. */
export function takeMember(text: Buffer, name: string): { readonly rest: Buffer; readonly value?: Buffer } {
  let value: Buffer | undefined;
  const others: Buffer[] = [];
  scanObject(text, 0, (key, start, from) => {
    const end = endOfValue(text, start);
    if (key === name) value = text.subarray(start, end);
    else others.push(Buffer.from(others.length > 0 ? ',' : '{'), text.subarray(from, end));
    return end;
  });
  if (!value) return { rest: text };
  return { rest: Buffer.concat([...(others.length > 0 ? others : [Buffer.from('{')]), Buffer.from('}')]), value };
}

/** What is before and after the one change. Members keep their order: the guest's own depends on it. */
function around(members: readonly Uint8Array[], changes: number): [before: Uint8Array, after: Uint8Array] {
  const [before, after] = [[Buffer.from('{')], [Buffer.from(']')]];
  for (const [i, member] of members.entries()) {
    const side = i <= changes ? before : after;
    if (i > 0) side.push(Buffer.from(','));
    side.push(Buffer.from(member));
    if (i === changes) side.push(Buffer.from('['));
  }
  return [Buffer.concat(before), Buffer.concat([...after, Buffer.from('}')])];
}

function readChange(text: Buffer, start: number): ChangeSpan {
  let after: Span | undefined;
  const end = scanObject(text, start, (key, from) => {
    const to = endOfValue(text, from);
    if (key === 'after' && text[from] !== NULL) after = { start: from, end: to };
    return to;
  });
  return { start, end, after };
}

/**
 * Finds the members of the JSON object at `at` without parsing their values, and tells where it ends. `member` skips the value
 * at `at`, whose key begins at `from`. Throws `policy-failed` if it is no JSON object.
 */
function scanObject(text: Buffer, at: number, member: (key: string, at: number, from: number) => number): number {
  at = skipSpace(text, at);
  if (text[at] !== OPENING_BRACE) throw malformed();
  at = skipSpace(text, at + 1);
  while (text[at] !== CLOSING_BRACE) {
    const start = at;
    at = endOfString(text, at);
    const raw = text.toString('utf8', start + 1, at - 1);
    const key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
    at = skipSpace(text, at);
    if (text[at] !== COLON) throw malformed();
    at = afterValue(text, member(key, skipSpace(text, at + 1), start), CLOSING_BRACE);
  }
  return at + 1;
}

/** The same for the elements of a JSON array. */
function scanArray(text: Buffer, at: number, element: (at: number) => number): number {
  at = skipSpace(text, at);
  if (text[at] !== OPENING_BRACKET) throw malformed();
  at = skipSpace(text, at + 1);
  while (text[at] !== CLOSING_BRACKET) at = afterValue(text, element(at), CLOSING_BRACKET);
  return at + 1;
}

/** To the next member or element, or to the end of what holds them. */
function afterValue(text: Buffer, at: number, closing: number): number {
  at = skipSpace(text, at);
  const code = text[at];
  if (code === COMMA) return skipSpace(text, at + 1);
  if (code !== closing) throw malformed();
  return at;
}

/** What a byte does outside of strings: 1 begins one, 2 opens, 3 closes, 4 separates; all others nothing. */
const KIND = new Uint8Array(256);
KIND[QUOTE] = 1;
KIND[OPENING_BRACKET] = KIND[OPENING_BRACE] = 2;
KIND[CLOSING_BRACKET] = KIND[CLOSING_BRACE] = 3;
KIND[COMMA] = 4;

/** All of an input goes through here, each byte once. */
function endOfValue(text: Buffer, at: number): number {
  const { length } = text;
  for (let depth = 0; at < length; at++) {
    switch (KIND[text[at]]) {
      case 0:
        break;
      case 1:
        at = endOfString(text, at) - 1;
        if (depth === 0) return at + 1;
        break;
      case 2:
        depth++;
        break;
      case 3:
        if (depth === 0) return at;
        if (--depth === 0) return at + 1;
        break;
      default:
        if (depth === 0) return at;
    }
  }
  throw malformed();
}

function endOfString(text: Buffer, at: number): number {
  if (text[at] !== QUOTE) throw malformed();
  const { length } = text;
  for (at++; at < length; at++) {
    const code = text[at];
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH) at++;
  }
  throw malformed();
}

function skipSpace(text: Buffer, at: number): number {
  for (; ; at++) {
    const code = text[at];
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return at;
  }
}

function malformed(): CountersignError {
  return new CountersignError('policy-failed', 'the policy input is not a JSON object');
}
