import type { Json } from './object.js';
import { UNREAD } from './yaml-lines.js';
import { byteTable, YamlScalars } from './yaml-scalars.js';

/** Levels that are read here; deeper documents are left to the full reader, which knows the limit. */
const DEPTH = 40;

const [SPACE, QUOTES, HASH, APOSTROPHE, COMMA, DASH] = [0x20, 0x22, 0x23, 0x27, 0x2c, 0x2d];
const [COLON, GREATER, BACKSLASH, PIPE] = [0x3a, 0x3e, 0x5c, 0x7c];
const [BRACKET, BRACKET_END, BRACE, BRACE_END] = [0x5b, 0x5d, 0x7b, 0x7d];

const WORD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_';
const KEY = byteTable(`${WORD}./$@-`, false);
/** Members of a list or mapping on one line. */
const MEMBER_START = byteTable(`${WORD}./`, false);
const NO_MEMBER = byteTable(',[]{}:#\'"&*!|>%@`', false);
/** From here on, keys of one mapping are looked up and not compared. */
const MANY_KEYS = 64;
const MAX_KEY = 500;

/**
 * Reads one YAML document that is written as most manifests are: block mappings and lists, scalars of all kinds, short lists and mappings
 * on one line. Twenty times as fast as reading YAML in full. undefined for all else, faults included: whoever asked must then read it in
 * full. What it does read, it reads as `loadYaml` does; the tests hold it to that. `line` is that of the first key or item; a document
 * that says nothing is null.
 */
export function readPlainYaml(bytes: Uint8Array): { readonly value: Json; readonly line: number } | undefined {
  const json = shared.write(bytes, 0, bytes.length);
  if (!json) return undefined;
  return { value: JSON.parse(Buffer.from(json.buffer, 0, json.length).toString()) as Json, line: shared.line };
}

/** The same as JSON text, which takes no values to be made, and no strings. */
export class PlainYaml extends YamlScalars {
  /** Where the last document's first key or item stood. */
  line = 0;

  /** Keys of the mappings that are open, outermost first. */
  private keys = 0;
  private keyHashes = new Int32Array(256);
  private keyStarts = new Int32Array(256);
  private keyEnds = new Int32Array(256);
  /** Where the key ends that was found last. */
  private foundEnd = 0;

  /** The JSON of the document in these bytes, valid until the next call; undefined for what is not read here. */
  write(source: Uint8Array, from: number, to: number): Uint8Array | undefined {
    this.open(source, from, to);
    this.keys = 0;
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
    this.line = this.lineNumber;
    if (this.indent < 0) return this.word('null');
    this.block(0);
    if (this.indent >= 0) throw UNREAD;
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
    switch (source[start]) {
      case PIPE:
      case GREATER:
        return this.blockText(start, indent);
      case BRACKET:
      case BRACE:
        this.ending(this.flow(start));
        this.next();
        if (this.indent > indent) throw UNREAD;
        return;
      default:
        this.flowText(start, indent);
    }
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
    if (source[at] === QUOTES || source[at] === APOSTROPHE) return this.quoted(at);
    const end = this.memberEnd(at);
    let last = end;
    while (source[last - 1] === SPACE) last--;
    this.plain(at, last);
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
}

class KnownKeys {
  many: Set<string> | undefined;
}

function doubled(list: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const more = new Int32Array(list.length * 2);
  more.set(list);
  return more;
}

const shared = new PlainYaml();
