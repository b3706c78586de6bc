import type { Json } from './object.js';
import { setMember } from './canonical.js';
import { resolvePlain } from './yaml.js';

/** Levels that are read here; deeper documents are left to the full reader, which knows the limit. */
const DEPTH = 40;
/** Line breaks, what ASCII prints, and letters of most languages: no tab, carriage return, or character that YAML refuses. */
const UNUSUAL = /[^\n\x20-\x7e\u00a1-\u1fff\u2010-\u2027\u2030-\u206f\u3000-\ud7ff\uf900-\ufdff\uff00-\uffef]/;
const SIMPLE_ITEM = /^[A-Za-z0-9_./][^,[\]{}:#'"&*!|>%@`]*$/;

const [SPACE, QUOTES, HASH, APOSTROPHE, DASH, COLON] = [0x20, 0x22, 0x23, 0x27, 0x2d, 0x3a];
/** What a plain scalar may begin with so that it is one, whatever follows: letters, digits, `_ . / $ + ( < ^`. */
const PLAIN_START = charTable('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./$+(<^~');
const KEY = charTable('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./$@-');

function charTable(chars: string): readonly boolean[] {
  return Array.from({ length: 128 }, (_, code) => chars.includes(String.fromCharCode(code)));
}

/**
 * Reads one YAML document that is written as most manifests are: block mappings and lists, scalars on one line, literal text. Ten
 * times as fast as reading YAML in full. undefined for all else, faults included: whoever asked must then read it in full. What it
 * does read, it reads as `loadYaml` does; the tests hold it to that.
 */
export function readPlainYaml(text: string): { readonly value: Json; readonly line: number } | undefined {
  if (UNUSUAL.test(text)) return undefined;
  try {
    return new PlainReader(text).document();
  } catch (thrown) {
    if (thrown === UNREAD) return undefined;
    throw thrown;
  }
}

const UNREAD = Symbol('not plain');

class PlainReader {
  private readonly lines: readonly string[];
  private at = -1;
  /** The line that is read next: its number of leading spaces, or where in it a list's item begins; -1 at the end. */
  private indent = -1;
  private line = '';

  constructor(text: string) {
    this.lines = text.split('\n');
  }

  document(): { value: Json; line: number } {
    this.next();
    if (this.indent === 0 && /^---(?: *| +#.*)$/.test(this.line)) this.next();
    if (this.indent < 0) throw UNREAD;
    const line = this.at + 1;
    const value = this.block(0);
    if (this.indent >= 0 || typeof value !== 'object' || Array.isArray(value)) throw UNREAD;
    return { value, line };
  }

  /** Goes to the next line that says something. */
  private next(): void {
    for (;;) {
      this.at++;
      if (this.at >= this.lines.length) {
        this.indent = -1;
        return;
      }
      const line = this.lines[this.at];
      let indent = 0;
      while (line.charCodeAt(indent) === SPACE) indent++;
      if (indent === line.length || line.charCodeAt(indent) === HASH) continue;
      // Directives and marks of documents; the first `---` is seen to above.
      if (
        indent === 0 &&
        (line.startsWith('%') || line.startsWith('...') || (this.indent >= 0 && line.startsWith('---')))
      )
        throw UNREAD;
      this.line = line;
      this.indent = indent;
      return;
    }
  }

  private block(depth: number): Json {
    if (depth > DEPTH) throw UNREAD;
    return this.isItem() ? this.list(depth) : this.mapping(depth);
  }

  private isItem(): boolean {
    if (this.line.charCodeAt(this.indent) !== DASH) return false;
    return this.indent + 1 === this.line.length || this.line.charCodeAt(this.indent + 1) === SPACE;
  }

  private mapping(depth: number): Json {
    const { indent } = this;
    const result: Record<string, Json> = {};
    do {
      if (this.isItem()) throw UNREAD;
      const { line } = this;
      const colon = this.keyEnd(line, indent);
      const key = this.key(line.slice(indent, colon).trimEnd());
      if (Object.hasOwn(result, key)) throw UNREAD;
      setMember(result, key, this.value(line, colon + 1, indent, true, depth));
    } while (this.indent === indent);
    if (this.indent > indent) throw UNREAD;
    return result;
  }

  private list(depth: number): Json {
    const { indent } = this;
    const result: Json[] = [];
    do {
      const { line } = this;
      let start = indent + 1;
      while (line.charCodeAt(start) === SPACE) start++;
      const nested = start < line.length && line.charCodeAt(start) !== HASH && this.beginsBlock(line, start);
      if (nested) this.indent = start;
      result.push(nested ? this.block(depth + 1) : this.value(line, indent + 1, indent, false, depth));
    } while (this.indent === indent && this.isItem());
    // In a mapping, a list may stand as deep as its key, and then the next key follows.
    if (this.indent > indent) throw UNREAD;
    return result;
  }

  /** Whether what begins here is a mapping's first key, or a list in a list. */
  private beginsBlock(line: string, start: number): boolean {
    if (line.charCodeAt(start) === DASH) return start + 1 === line.length || line.charCodeAt(start + 1) === SPACE;
    return this.findKeyEnd(line, start) >= 0;
  }

  private keyEnd(line: string, start: number): number {
    const end = this.findKeyEnd(line, start);
    if (end < 0 || end - start > 500) throw UNREAD;
    return end;
  }

  /** Where the colon after a key is, or -1. */
  private findKeyEnd(line: string, start: number): number {
    let at = start;
    const first = line.charCodeAt(at);
    if (first === QUOTES || first === APOSTROPHE) {
      at = line.indexOf(line[start], start + 1) + 1;
      if (at === 0) return -1;
    } else {
      if (first === DASH) return -1;
      while (KEY[line.charCodeAt(at)]) at++;
    }
    if (at === start) return -1;
    while (line.charCodeAt(at) === SPACE) at++;
    if (line.charCodeAt(at) !== COLON) return -1;
    return at + 1 === line.length || line.charCodeAt(at + 1) === SPACE ? at : -1;
  }

  private key(written: string): string {
    const first = written.charCodeAt(0);
    if (first === QUOTES || first === APOSTROPHE) {
      const inner = written.slice(1, -1);
      if (inner.includes('\\') || inner === '<<') throw UNREAD;
      return inner;
    }
    const value = resolvePlain(written);
    if (typeof value !== 'string') throw UNREAD;
    return value;
  }

  /** What stands after a colon or a dash; `indent` is that of the key or the dash. Ends on the line after it. */
  private value(line: string, from: number, indent: number, inMapping: boolean, depth: number): Json {
    let start = from;
    while (line.charCodeAt(start) === SPACE) start++;
    if (start === line.length || (line.charCodeAt(start) === HASH && start > from)) {
      this.next();
      if (this.indent > indent) return this.block(depth + 1);
      return inMapping && this.indent === indent && this.isItem() ? this.list(depth + 1) : null;
    }
    if (start === from) throw UNREAD;
    if (line.charCodeAt(start) === 0x7c) return this.literal(line.slice(start).trimEnd(), indent);
    const value = scalar(line, start);
    this.next();
    // A scalar of several lines, or a fault.
    if (this.indent > indent) throw UNREAD;
    return value;
  }

  /** YAML 1.2, 8.1.2: the first line that is not empty says how far it is indented. */
  private literal(header: string, indent: number): string {
    if (header !== '|' && header !== '|-') throw UNREAD;
    const content: string[] = [];
    let own = -1;
    let end = 0;
    for (this.at++; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at];
      let spaces = 0;
      while (line.charCodeAt(spaces) === SPACE) spaces++;
      if (spaces === line.length) {
        if (spaces > Math.max(own, 0)) throw UNREAD;
        content.push('');
        continue;
      }
      if (own < 0) own = spaces;
      if (spaces < own) {
        if (spaces > indent) throw UNREAD;
        break;
      }
      if (own <= indent) throw UNREAD;
      content.push(line.slice(own));
      end = content.length;
    }
    // Without a line break at its end, programs differ in whether there is one.
    if (end === 0 || (this.at === this.lines.length && this.lines[this.at - 1] !== '')) throw UNREAD;
    this.at--;
    this.next();
    return content.slice(0, end).join('\n') + (header === '|' ? '\n' : '');
  }
}

/** The scalar, or the short list or mapping, that takes up the rest of a line but for a comment. */
function scalar(line: string, start: number): Json {
  const first = line.charCodeAt(start);
  const comment = line.indexOf(' #', start);
  const text = (comment < 0 ? line.slice(start) : line.slice(start, comment)).trimEnd();
  if (first === QUOTES || first === APOSTROPHE) return quoted(text, first);
  if (first === 0x5b || first === 0x7b) return flow(text);
  // `-1` and `--flag`, but no list's item.
  const plain =
    PLAIN_START[first] || first > 0xa0 || (first === DASH && text.length > 1 && text.charCodeAt(1) !== SPACE);
  if (!plain || text.includes(': ') || text.endsWith(':')) throw UNREAD;
  return resolve(text);
}

function resolve(text: string): Json {
  const value = resolvePlain(text);
  if (value === undefined) throw UNREAD;
  return value;
}

function quoted(text: string, mark: number): string {
  const inner = text.slice(1, -1);
  if (text.length < 2 || text.charCodeAt(text.length - 1) !== mark) throw UNREAD;
  if (mark === APOSTROPHE) {
    if (!inner.includes("'")) return inner;
    if (inner.replaceAll("''", '').includes("'")) throw UNREAD;
    return inner.replaceAll("''", "'");
  }
  if (!inner.includes('\\') && !inner.includes('"')) return inner;
  if (!/^(?:[^"\\]|\\["\\nt])*$/.test(inner)) throw UNREAD;
  return JSON.parse(text) as string;
}

/** `[]`, `{}`, and what has one level and nothing in it that could be read in two ways. */
function flow(text: string): Json {
  const list = text.startsWith('[');
  if (!text.endsWith(list ? ']' : '}')) throw UNREAD;
  const inner = text.slice(1, -1).trim();
  if (inner === '') return list ? [] : {};
  const members = inner.split(',').map((member) => member.trim());
  if (list) return members.map(member);
  const result: Record<string, Json> = {};
  for (const one of members) {
    const colon = one.indexOf(': ');
    const key = colon < 0 ? undefined : member(one.slice(0, colon));
    if (typeof key !== 'string' || Object.hasOwn(result, key)) throw UNREAD;
    setMember(result, key, member(one.slice(colon + 2).trim()));
  }
  return result;
}

function member(text: string): Json {
  if (SIMPLE_ITEM.test(text)) return resolve(text.trimEnd());
  if (/^"[^"\\]*"$|^'[^']*'$/.test(text)) return text.slice(1, -1);
  throw UNREAD;
}
