import type { Json } from './object.js';
import { resolvePlain } from './yaml.js';

/** Levels that are read here; deeper documents are left to the full reader, which knows the limit. */
const DEPTH = 40;
/** Line breaks, what ASCII prints, and letters of most languages: no tab, carriage return, or character that YAML refuses. */
const UNUSUAL = /[^\n\x20-\x7e\u00a1-\u1fff\u2010-\u2027\u2030-\u206f\u3000-\ud7ff\uf900-\ufdff\uff00-\uffef]/;

const [FEED, SPACE, QUOTES, HASH, APOSTROPHE, COMMA, DASH] = [0x0a, 0x20, 0x22, 0x23, 0x27, 0x2c, 0x2d];
const [ZERO, NINE, COLON, BACKSLASH, PIPE] = [0x30, 0x39, 0x3a, 0x5c, 0x7c];
const [BRACKET, BRACKET_END, BRACE, BRACE_END] = [0x5b, 0x5d, 0x7b, 0x7d];

const DIGITS = '0123456789';
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** What a plain scalar may begin with so that it is one, whatever follows; and the first byte of all that is not ASCII. */
const PLAIN_START = byteTable(`${LETTERS}${DIGITS}_./$+(<^~`, true);
const KEY = byteTable(`${LETTERS}${DIGITS}_./$@-`, false);
/** Members of a list or mapping on one line. */
const MEMBER_START = byteTable(`${LETTERS}${DIGITS}_./`, false);
const NO_MEMBER = byteTable(',[]{}:#\'"&*!|>%@`', false);
/** All that a number can be written with, and what one begins with. */
const IN_NUMBER = byteTable(`${DIGITS}abcdefABCDEFxXoO_.+-iInN`, false);
const NUMBER_START = byteTable(`${DIGITS}+-.`, false);
/** What `true`, `null`, `~`, `<<` and the like begin with, and their letters packed, whatever their case. */
const WORD_START = byteTable('yYnNtTfFoO~<', false);
const WORDS = new Set(['y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null', '~', '<<'].map(pack));
const LONGEST_WORD = 5;
/** JSON takes up to five times the bytes of YAML: `1e20`, `- y`. */
const GROWTH = 8;
/** More than this is given back. */
const KEPT_BYTES = 1 << 20;
/** From here on, keys of one mapping are looked up and not compared. */
const MANY_KEYS = 64;
const MAX_KEY = 500;

function byteTable(chars: string, high: boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) =>
    byte < 128 ? Number(chars.includes(String.fromCharCode(byte))) : Number(high),
  );
}

function pack(word: string): number {
  return Buffer.from(word).reduce((packed, byte) => packed * 32 + (byte & 31), 0);
}

/**
 * Reads one YAML document that is written as most manifests are: block mappings and lists, scalars on one line, literal text. Twenty
 * times as fast as reading YAML in full. undefined for all else, faults included: whoever asked must then read it in full. What it
 * does read, it reads as `loadYaml` does; the tests hold it to that. `line` is that of the first key.
 */
export function readPlainYaml(text: string): { readonly value: Json; readonly line: number } | undefined {
  const bytes = Buffer.from(text);
  const json = shared.write(bytes, 0, bytes.length);
  if (!json) return undefined;
  return { value: JSON.parse(Buffer.from(json.buffer, 0, json.length).toString()) as Json, line: shared.line };
}

const UNREAD = Symbol('not plain');

/** The same as JSON text, which takes no values to be made, and no strings. */
export class PlainYaml {
  /** Where the last document's first key stood. */
  line = 0;
  private source: Uint8Array = new Uint8Array(0);
  private end = 0;
  private out = new Uint8Array(1 << 16);
  private length = 0;

  /** The line that is read: from, its first character but spaces, and its break. */
  private lineStart = 0;
  private lineFirst = 0;
  private lineEnd = -1;
  private lineNumber = 0;
  /** Its number of leading spaces, or where in it a list's item begins; -1 at the end. */
  private indent = -1;

  /** Keys of the mappings that are open, outermost first. */
  private keys = 0;
  private keyHashes = new Int32Array(256);
  private keyStarts = new Int32Array(256);
  private keyEnds = new Int32Array(256);
  /** Where the key ends that was found last. */
  private foundEnd = 0;

  /** `number`: how numbers are written that are no small integers; undefined leaves the document to the full reader. */
  constructor(private readonly number: (value: number) => string | undefined = numberText) {}

  /** The JSON of the document in these bytes, valid until the next call; undefined for what is not read here. */
  write(source: Uint8Array, from: number, to: number): Uint8Array | undefined {
    const most = (to - from) * GROWTH + 64;
    if (this.out.length < most || (this.out.length > KEPT_BYTES && most <= KEPT_BYTES)) {
      this.out = new Uint8Array(Math.max(most, 1 << 16));
    }
    this.source = source;
    this.end = to;
    this.length = 0;
    this.keys = 0;
    this.lineEnd = from - 1;
    this.lineNumber = 0;
    this.indent = -1;
    try {
      this.document();
    } catch (thrown) {
      if (thrown === UNREAD) return undefined;
      throw thrown;
    }
    return this.out.subarray(0, this.length);
  }

  private document(): void {
    this.next();
    if (this.indent === 0 && this.startsWith(DASH, DASH, DASH)) {
      let at = this.lineStart + 3;
      while (at < this.lineEnd && this.source[at] === SPACE) at++;
      if (at < this.lineEnd && (this.source[at] !== HASH || at === this.lineStart + 3)) throw UNREAD;
      this.next();
    }
    if (this.indent < 0 || this.isItem()) throw UNREAD;
    this.line = this.lineNumber;
    this.mapping(0);
    if (this.indent >= 0) throw UNREAD;
  }

  /** Goes to the next line that says something. */
  private next(): void {
    const before = this.indent;
    for (;;) {
      if (!this.nextLine()) {
        this.indent = -1;
        return;
      }
      if (this.lineFirst === this.lineEnd || this.source[this.lineFirst] === HASH) continue;
      this.indent = this.lineFirst - this.lineStart;
      // Directives and marks of documents; the first `---` is seen to above.
      if (
        this.indent === 0 &&
        (this.source[this.lineStart] === 0x25 ||
          this.startsWith(0x2e, 0x2e, 0x2e) ||
          (before >= 0 && this.startsWith(DASH, DASH, DASH)))
      )
        throw UNREAD;
      return;
    }
  }

  /** False at the end. What follows the last line break is a line, too. */
  private nextLine(): boolean {
    const { source, end } = this;
    const start = this.lineEnd + 1;
    if (start > end) return false;
    let at = start;
    while (at < end && source[at] === SPACE) at++;
    this.lineFirst = at;
    let seen = 0;
    for (let byte; at < end && (byte = source[at]) !== FEED; at++) {
      if (byte < SPACE || byte === 0x7f) throw UNREAD;
      seen |= byte;
    }
    if (seen >= 0x80 && UNUSUAL.test(Buffer.from(source.buffer, source.byteOffset + start, at - start).toString()))
      throw UNREAD;
    this.lineStart = start;
    this.lineEnd = at;
    this.lineNumber++;
    return true;
  }

  private startsWith(a: number, b: number, c: number): boolean {
    const { source, lineStart } = this;
    return (
      this.lineEnd - lineStart >= 3 &&
      source[lineStart] === a &&
      source[lineStart + 1] === b &&
      source[lineStart + 2] === c
    );
  }

  private block(depth: number): void {
    if (depth > DEPTH) throw UNREAD;
    if (this.isItem()) this.list(depth);
    else this.mapping(depth);
  }

  private isItem(): boolean {
    return this.isDash(this.lineStart + this.indent);
  }

  private isDash(at: number): boolean {
    return this.source[at] === DASH && (at + 1 === this.lineEnd || this.source[at + 1] === SPACE);
  }

  private mapping(depth: number): void {
    const { indent, keys } = this;
    const known = new KnownKeys();
    this.put(BRACE);
    do {
      if (this.isItem()) throw UNREAD;
      const start = this.lineStart + indent;
      const colon = this.findKeyEnd(start);
      if (colon < 0 || colon - start > MAX_KEY) throw UNREAD;
      this.key(start, this.foundEnd, keys, known);
      this.value(colon + 1, indent, true, depth);
      this.put(COMMA);
    } while (this.indent === indent);
    if (this.indent > indent) throw UNREAD;
    this.keys = keys;
    this.out[this.length - 1] = BRACE_END;
  }

  private list(depth: number): void {
    const { indent } = this;
    this.put(BRACKET);
    do {
      const dash = this.lineStart + indent;
      let start = dash + 1;
      while (start < this.lineEnd && this.source[start] === SPACE) start++;
      if (start < this.lineEnd && this.source[start] !== HASH && (this.isDash(start) || this.findKeyEnd(start) >= 0)) {
        this.indent = start - this.lineStart;
        this.block(depth + 1);
      } else this.value(dash + 1, indent, false, depth);
      this.put(COMMA);
    } while (this.indent === indent && this.isItem());
    // In a mapping, a list may stand as deep as its key, and then the next key follows.
    if (this.indent > indent) throw UNREAD;
    this.out[this.length - 1] = BRACKET_END;
  }

  /** Where the colon after a key is, or -1; `foundEnd` is then the key's end. */
  private findKeyEnd(start: number): number {
    const { source, lineEnd } = this;
    let at = start;
    const first = source[at];
    if (first === QUOTES || first === APOSTROPHE) {
      for (at++; at < lineEnd && source[at] !== first; at++);
      if (at++ === lineEnd) return -1;
    } else {
      if (first === DASH) return -1;
      while (at < lineEnd && KEY[source[at]]) at++;
      if (at === start) return -1;
    }
    this.foundEnd = at;
    while (at < lineEnd && source[at] === SPACE) at++;
    if (at === lineEnd || source[at] !== COLON) return -1;
    return at + 1 === lineEnd || source[at + 1] === SPACE ? at : -1;
  }

  /** Writes a key with its colon; refuses one that is not text, and one that `known` has. `first` is where its mapping's keys begin. */
  private key(from: number, to: number, first: number, known: KnownKeys): void {
    const { source } = this;
    let [start, end] = [from, to];
    if (source[from] === QUOTES || source[from] === APOSTROPHE) {
      start++;
      end--;
      for (let at = start; at < end; at++) if (source[at] === BACKSLASH) throw UNREAD;
      if (end - start === 2 && source[start] === 0x3c && source[start + 1] === 0x3c) throw UNREAD;
    } else if (this.resolved(from, to) !== undefined) throw UNREAD;
    this.remember(start, end, first, known);
    this.text(start, end);
    this.put(COLON);
  }

  private remember(start: number, end: number, first: number, known: KnownKeys): void {
    const { source, keys, keyHashes, keyStarts, keyEnds } = this;
    if (keys - first >= MANY_KEYS) {
      const name = (i: number, j: number) =>
        Buffer.from(source.buffer, source.byteOffset + i, j - i).toString('latin1');
      if (!known.many) {
        known.many = new Set();
        for (let i = first; i < keys; i++) known.many.add(name(keyStarts[i], keyEnds[i]));
      }
      if (known.many.size === known.many.add(name(start, end)).size) throw UNREAD;
      return;
    }
    let hash = end - start;
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + source[at]) | 0;
    for (let i = first; i < keys; i++) {
      if (keyHashes[i] === hash && this.sameBytes(keyStarts[i], keyEnds[i], start, end)) throw UNREAD;
    }
    if (keys === keyHashes.length) {
      this.keyHashes = doubled(keyHashes);
      this.keyStarts = doubled(keyStarts);
      this.keyEnds = doubled(keyEnds);
    }
    this.keyHashes[keys] = hash;
    this.keyStarts[keys] = start;
    this.keyEnds[keys] = end;
    this.keys++;
  }

  private sameBytes(a: number, aEnd: number, b: number, bEnd: number): boolean {
    if (aEnd - a !== bEnd - b) return false;
    while (a < aEnd && this.source[a] === this.source[b]) {
      a++;
      b++;
    }
    return a === aEnd;
  }

  /** What stands after a colon or a dash; `indent` is that of the key or the dash. Ends on the line after it. */
  private value(from: number, indent: number, inMapping: boolean, depth: number): void {
    const { source, lineEnd } = this;
    let start = from;
    while (start < lineEnd && source[start] === SPACE) start++;
    if (start === lineEnd || (source[start] === HASH && start > from)) {
      this.next();
      if (this.indent > indent) this.block(depth + 1);
      else if (inMapping && this.indent === indent && this.isItem()) this.list(depth + 1);
      else this.word('null');
      return;
    }
    if (start === from) throw UNREAD;
    if (source[start] === PIPE) return this.literal(start, indent);
    this.scalar(start);
    this.next();
    // A scalar of several lines, or a fault.
    if (this.indent > indent) throw UNREAD;
  }

  /** YAML 1.2, 8.1.2: the first line that is not empty says how far it is indented. */
  private literal(start: number, indent: number): void {
    let header = start + 1;
    const stripped = header < this.lineEnd && this.source[header] === DASH;
    if (stripped) header++;
    while (header < this.lineEnd && this.source[header] === SPACE) header++;
    if (header < this.lineEnd) throw UNREAD;
    let own = -1;
    let [empty, said] = [0, false];
    let more: boolean;
    this.put(QUOTES);
    while ((more = this.nextLine())) {
      const spaces = this.lineFirst - this.lineStart;
      if (this.lineFirst === this.lineEnd) {
        if (spaces > Math.max(own, 0)) throw UNREAD;
        empty++;
        continue;
      }
      if (own < 0) own = spaces;
      if (spaces < own) {
        if (spaces > indent) throw UNREAD;
        break;
      }
      if (own <= indent) throw UNREAD;
      for (let breaks = said ? empty + 1 : empty; breaks > 0; breaks--) this.lineBreak();
      [empty, said] = [0, true];
      this.bytes(this.lineStart + own, this.lineEnd);
    }
    // Without a line break at its end, programs differ in whether there is one.
    if (!said || (!more && this.lineStart < this.lineEnd)) throw UNREAD;
    if (!stripped) this.lineBreak();
    this.put(QUOTES);
    if (more) {
      this.lineEnd = this.lineStart - 1; // that line again
      this.lineNumber--;
    }
    this.next();
  }

  private lineBreak(): void {
    this.put(BACKSLASH);
    this.put(0x6e);
  }

  /** The scalar, or the short list or mapping, that takes up the rest of a line but for a comment. */
  private scalar(start: number): void {
    const { source, lineEnd } = this;
    const first = source[start];
    if (first === QUOTES || first === APOSTROPHE) return this.ending(this.quoted(start, lineEnd));
    if (first === BRACKET || first === BRACE) return this.ending(this.flow(start));
    let end = start;
    for (let at = start; at < lineEnd; at++) {
      const byte = source[at];
      if (byte === SPACE) continue;
      if (byte === HASH && at > start && source[at - 1] === SPACE) break;
      if (byte === COLON && (at + 1 === lineEnd || source[at + 1] === SPACE)) throw UNREAD;
      end = at + 1;
    }
    // `-1` and `--flag`, but no list's item.
    if (!PLAIN_START[first] && !(first === DASH && end - start > 1 && source[start + 1] !== SPACE)) throw UNREAD;
    this.plain(start, end);
  }

  /** After a scalar with an end of its own there may be a comment. */
  private ending(at: number): void {
    const { source, lineEnd } = this;
    const end = at;
    while (at < lineEnd && source[at] === SPACE) at++;
    if (at < lineEnd && (source[at] !== HASH || at === end)) throw UNREAD;
  }

  /** Gives where it ends. */
  private quoted(start: number, limit: number): number {
    const { source } = this;
    const mark = source[start];
    let at = start + 1;
    if (mark === QUOTES) {
      for (; at < limit && source[at] !== QUOTES; at++) {
        if (source[at] !== BACKSLASH) continue;
        const escaped = source[++at];
        // Those that JSON writes alike.
        if (escaped !== BACKSLASH && escaped !== QUOTES && escaped !== 0x6e && escaped !== 0x74) throw UNREAD;
      }
      if (at >= limit) throw UNREAD;
      this.raw(start, at + 1);
      return at + 1;
    }
    this.put(QUOTES);
    for (let from = at; ; at++) {
      if (at >= limit) throw UNREAD;
      if (source[at] !== APOSTROPHE) continue;
      this.bytes(from, at);
      if (at + 1 >= limit || source[at + 1] !== APOSTROPHE) break;
      from = ++at; // the second of the two is the text's
    }
    this.put(QUOTES);
    return at + 1;
  }

  /** `[]`, `{}`, and what has one level and nothing in it that could be read in two ways. Gives where it ends. */
  private flow(start: number): number {
    const { source, lineEnd, keys } = this;
    const inList = source[start] === BRACKET;
    const close = inList ? BRACKET_END : BRACE_END;
    const known = new KnownKeys();
    this.put(source[start]);
    let at = this.skip(start + 1);
    if (source[at] === close && at < lineEnd) {
      this.put(close);
      return at + 1;
    }
    for (;;) {
      if (!inList) at = this.flowKey(at, keys, known);
      at = this.skip(this.member(at));
      if (at >= lineEnd) throw UNREAD;
      if (source[at] === close) break;
      if (source[at] !== COMMA) throw UNREAD;
      this.put(COMMA);
      at = this.skip(at + 1);
    }
    this.put(close);
    this.keys = keys;
    return at + 1;
  }

  private skip(at: number): number {
    while (at < this.lineEnd && this.source[at] === SPACE) at++;
    return at;
  }

  /** Gives where the value begins. */
  private flowKey(at: number, first: number, known: KnownKeys): number {
    const { source, lineEnd } = this;
    const end = this.memberEnd(at);
    if (end + 1 >= lineEnd || source[end] !== COLON || source[end + 1] !== SPACE) throw UNREAD;
    let last = end;
    while (source[last - 1] === SPACE) last--;
    this.key(at, last, first, known);
    return this.skip(end + 1);
  }

  /** Writes one and gives where it ends, with spaces after it. */
  private member(at: number): number {
    const { source } = this;
    if (at >= this.lineEnd) throw UNREAD;
    const end = this.memberEnd(at);
    if (source[at] === QUOTES || source[at] === APOSTROPHE) this.quoted(at, end);
    else {
      let last = end;
      while (source[last - 1] === SPACE) last--;
      this.plain(at, last);
    }
    return end;
  }

  private memberEnd(start: number): number {
    const { source, lineEnd } = this;
    const first = source[start];
    let at = start;
    if (first === QUOTES || first === APOSTROPHE) {
      for (at++; at < lineEnd && source[at] !== first; at++) if (source[at] === BACKSLASH) throw UNREAD;
      if (at === lineEnd) throw UNREAD;
      return at + 1;
    }
    if (!MEMBER_START[first]) throw UNREAD;
    while (at < lineEnd && !NO_MEMBER[source[at]]) at++;
    return at;
  }

  /** A scalar without quotes, by YAML 1.1 as Kubernetes reads it. */
  private plain(from: number, to: number): void {
    if (this.isSmall(from, to)) return this.raw(from, to);
    const value = this.resolved(from, to);
    if (value === undefined) return this.text(from, to);
    const written = typeof value === 'number' ? this.number(value) : String(value);
    if (written === undefined) throw UNREAD;
    this.word(written);
  }

  /** undefined for what is text. */
  private resolved(from: number, to: number): number | boolean | null | undefined {
    const { source } = this;
    const first = source[from];
    if (NUMBER_START[first]) {
      for (let at = from; at < to; at++) if (!IN_NUMBER[source[at]]) return undefined;
    } else {
      if (!WORD_START[first] || to - from > LONGEST_WORD) return undefined;
      let packed = 0;
      for (let at = from; at < to; at++) packed = packed * 32 + (source[at] & 31);
      if (!WORDS.has(packed)) return undefined;
    }
    const value = resolvePlain(Buffer.from(source.buffer, source.byteOffset + from, to - from).toString());
    if (value === undefined) throw UNREAD;
    return typeof value === 'string' ? undefined : value;
  }

  /** Integers that every program writes as they stand here. */
  private isSmall(from: number, to: number): boolean {
    const { source } = this;
    if (to - from > 6 || (source[from] === ZERO && to - from > 1)) return false;
    for (let at = from; at < to; at++) if (source[at] < ZERO || source[at] > NINE) return false;
    return true;
  }

  private put(byte: number): void {
    this.out[this.length++] = byte;
  }

  private word(text: string): void {
    for (let i = 0; i < text.length; i++) this.put(text.charCodeAt(i));
  }

  private text(from: number, to: number): void {
    this.put(QUOTES);
    this.bytes(from, to);
    this.put(QUOTES);
  }

  /** As a JSON string has them. */
  private bytes(from: number, to: number): void {
    const { source, out } = this;
    let { length } = this;
    for (let at = from; at < to; at++) {
      const byte = source[at];
      if (byte === QUOTES || byte === BACKSLASH) out[length++] = BACKSLASH;
      out[length++] = byte;
    }
    this.length = length;
  }

  private raw(from: number, to: number): void {
    const { source, out } = this;
    let { length } = this;
    for (let at = from; at < to; at++) out[length++] = source[at];
    this.length = length;
  }
}

class KnownKeys {
  many: Set<string> | undefined;
}

function doubled(list: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const more = new Int32Array(list.length * 2);
  more.set(list);
  return more;
}

/** JSON has no word for minus zero but this. */
function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

const shared = new PlainYaml();
