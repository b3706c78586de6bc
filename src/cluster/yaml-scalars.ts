import { UNREAD, YamlLines } from './yaml-lines.js';
import { resolvePlain } from './yaml.js';

const [SPACE, QUOTES, HASH, APOSTROPHE, DASH, SLASH, ZERO, NINE] = [0x20, 0x22, 0x23, 0x27, 0x2d, 0x2f, 0x30, 0x39];
const [COLON, GREATER, BACKSLASH, N, U] = [0x3a, 0x3e, 0x5c, 0x6e, 0x75];

const DIGITS = '0123456789';
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** What a plain scalar may begin with so that it is one, whatever follows; and the first byte of all that is not ASCII. */
const PLAIN_START = byteTable(`${LETTERS}${DIGITS}_./$+(<^~`, true);
/** All that a number can be written with, and what one begins with. */
const IN_NUMBER = byteTable(`${DIGITS}abcdefABCDEFxXoO_.+-iInN`, false);
const NUMBER_START = byteTable(`${DIGITS}+-.`, false);
/** What `true`, `null`, `~`, `<<` and the like begin with, and their letters packed, whatever their case. */
const WORD_START = byteTable('yYnNtTfFoO~<', false);
const WORDS = new Set(['y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null', '~', '<<'].map(pack));
const LONGEST_WORD = 5;
/** Escapes that JSON writes alike. */
const SAME_ESCAPE = byteTable('\\"nrtbf', false);
const HEX = byteTable(`${DIGITS}abcdefABCDEF`, false);
/** JSON takes up to five times the bytes of YAML: `1e20`, `- y`. */
const GROWTH = 8;
/** More than this is given back. */
const KEPT_BYTES = 1 << 20;

/** How a line of text in quotes ended that does not end it. */
const [FOLDED, ESCAPED] = [-1, -2];

export function byteTable(chars: string, high: boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) =>
    byte < 128 ? Number(chars.includes(String.fromCharCode(byte))) : Number(high),
  );
}

function pack(word: string): number {
  return Buffer.from(word).reduce((packed, byte) => packed * 32 + (byte & 31), 0);
}

/** Reads scalars and writes them as JSON. */
export class YamlScalars extends YamlLines {
  protected out = new Uint8Array(1 << 16);
  protected length = 0;

  /** `number`: how numbers are written that are no small integers; undefined leaves the document to the full reader. */
  constructor(private readonly number: (value: number) => string | undefined = numberText) {
    super();
  }

  protected override open(source: Uint8Array, from: number, to: number): void {
    super.open(source, from, to);
    const most = (to - from) * GROWTH + 64;
    if (this.out.length < most || (this.out.length > KEPT_BYTES && most <= KEPT_BYTES)) {
      this.out = new Uint8Array(Math.max(most, 1 << 16));
    }
    this.length = 0;
  }

  /**
   * Literal and folded text (YAML 1.2, 8.1.2 and 8.1.3): the first line that is not empty says how far it is indented. Ends on the line
   * after it; `indent` is that of the key or the dash before it.
   */
  protected blockText(start: number, indent: number): void {
    const folded = this.source[start] === GREATER;
    let header = start + 1;
    const stripped = header < this.lineEnd && this.source[header] === DASH;
    if (stripped) header++;
    while (header < this.lineEnd && this.source[header] === SPACE) header++;
    if (header < this.lineEnd) throw UNREAD;
    let own = -1;
    let [empty, said, deeper] = [0, false, false];
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
      // Lines that are indented deeper keep the breaks around them.
      const kept = !folded || deeper || spaces > own;
      deeper = folded && spaces > own;
      if (kept || !said) this.lineBreaks(said ? empty + 1 : empty);
      else this.fold(empty);
      [empty, said] = [0, true];
      this.bytes(this.lineStart + own, this.lineEnd);
    }
    // Without a line break at its end, programs differ in whether there is one.
    if (!said || (!more && this.lineStart < this.lineEnd)) throw UNREAD;
    if (!stripped) this.lineBreaks(1);
    this.put(QUOTES);
    if (more) this.back();
    this.next();
  }

  /** Text in quotes, or without any, with all its lines (YAML 1.2, 7.3). Ends on the line after it. */
  protected flowText(start: number, indent: number): void {
    const first = this.source[start];
    if (first === QUOTES || first === APOSTROPHE) {
      this.ending(this.quoted(start, indent));
      this.next();
      if (this.indent > indent) throw UNREAD;
    } else this.plainLines(start, indent);
  }

  /** After what has an end of its own there may be a comment. */
  protected ending(at: number): void {
    const { source, lineEnd } = this;
    const end = at;
    while (at < lineEnd && source[at] === SPACE) at++;
    if (at < lineEnd && (source[at] !== HASH || at === end)) throw UNREAD;
  }

  private plainLines(start: number, indent: number): void {
    const { source, lineEnd, lineNumber, length } = this;
    const first = source[start];
    const end = this.plainEnd(start);
    // `-1` and `--flag`, but no list's item.
    if (!PLAIN_START[first] && !(first === DASH && end - start > 1 && source[start + 1] !== SPACE)) throw UNREAD;
    this.plain(start, end);
    this.next();
    if (this.indent <= indent) return;
    // Text after all: its first line once more.
    [this.length, this.lineEnd, this.lineNumber] = [length, lineEnd, lineNumber];
    for (let at = end; at < lineEnd; at++) if (source[at] !== SPACE) throw UNREAD; // a comment ended it
    this.put(QUOTES);
    this.bytes(start, end);
    let empty = 0;
    while (this.nextLine()) {
      if (this.lineFirst === this.lineEnd) {
        empty++;
        continue;
      }
      if (this.lineFirst - this.lineStart <= indent) {
        this.back();
        break;
      }
      if (source[this.lineFirst] === HASH) throw UNREAD;
      const last = this.plainEnd(this.lineFirst);
      for (let at = last; at < this.lineEnd; at++) if (source[at] !== SPACE) throw UNREAD;
      this.fold(empty);
      empty = 0;
      this.bytes(this.lineFirst, last);
    }
    this.put(QUOTES);
    this.next();
  }

  /** Where text without quotes ends in its line. */
  private plainEnd(start: number): number {
    const { source, lineEnd } = this;
    let end = start;
    for (let at = start; at < lineEnd; at++) {
      const byte = source[at];
      if (byte === SPACE) continue;
      if (byte === HASH && at > start && source[at - 1] === SPACE) break;
      if (byte === COLON && (at + 1 === lineEnd || source[at + 1] === SPACE)) throw UNREAD;
      end = at + 1;
    }
    return end;
  }

  /** Gives where it ends, in the line that is then read. `indent`: its other lines are indented deeper; undefined: it has none. */
  protected quoted(start: number, indent?: number): number {
    const mark = this.source[start];
    this.put(QUOTES);
    for (let from = start + 1; ; from = this.lineFirst) {
      const end = mark === QUOTES ? this.doubleQuoted(from) : this.singleQuoted(from);
      if (end >= 0) {
        this.put(QUOTES);
        return end;
      }
      if (indent === undefined) throw UNREAD;
      let empty = 0;
      do if (!this.nextLine()) throw UNREAD;
      while (this.lineFirst === this.lineEnd && ++empty);
      if (this.lineFirst - this.lineStart <= indent || (end === ESCAPED && empty > 0)) throw UNREAD;
      if (end === FOLDED) this.fold(empty);
    }
  }

  private singleQuoted(from: number): number {
    const { source, lineEnd } = this;
    let text = from;
    for (let at = from; at < lineEnd; at++) {
      if (source[at] !== APOSTROPHE) continue;
      this.bytes(text, at);
      if (at + 1 >= lineEnd || source[at + 1] !== APOSTROPHE) return at + 1;
      text = ++at; // the second of the two is the text's
    }
    let end = lineEnd;
    while (end > text && source[end - 1] === SPACE) end--;
    this.bytes(text, end);
    return FOLDED;
  }

  private doubleQuoted(from: number): number {
    const { source, lineEnd } = this;
    let text = from;
    let at = from;
    for (; at < lineEnd && source[at] !== QUOTES; at++) {
      if (source[at] !== BACKSLASH) continue;
      const escaped = at + 1 < lineEnd ? source[at + 1] : undefined;
      if (escaped === undefined || escaped === SPACE || escaped === SLASH) {
        this.raw(text, at);
        if (escaped === undefined) return ESCAPED;
        text = at + 1;
      } else if (escaped === U) this.requireCharacter(at + 2);
      else if (!SAME_ESCAPE[escaped]) throw UNREAD;
      at++;
    }
    if (at < lineEnd) {
      this.raw(text, at);
      return at + 1;
    }
    let end = lineEnd;
    while (end > text && source[end - 1] === SPACE) end--;
    // An escaped space at the end of a line stays.
    if (end < lineEnd && (source[end - 1] === BACKSLASH || end === text)) throw UNREAD;
    this.raw(text, end);
    return FOLDED;
  }

  /** Four hexadecimal digits that are no half of a pair. */
  private requireCharacter(at: number): void {
    const { source, lineEnd } = this;
    if (at + 4 > lineEnd || (source[at] | 0x20) === 0x64) throw UNREAD;
    for (let digit = at; digit < at + 4; digit++) if (!HEX[source[digit]]) throw UNREAD;
  }

  /** A line break within text in one paragraph is a space; with empty lines after it, it is those. */
  private fold(empty: number): void {
    if (empty === 0) this.put(SPACE);
    else this.lineBreaks(empty);
  }

  private lineBreaks(count: number): void {
    for (; count > 0; count--) {
      this.put(BACKSLASH);
      this.put(N);
    }
  }

  /** A scalar without quotes, by YAML 1.1 as Kubernetes reads it. */
  protected plain(from: number, to: number): void {
    if (this.isSmall(from, to)) return this.raw(from, to);
    const value = this.resolved(from, to);
    if (value === undefined) return this.text(from, to);
    const written = typeof value === 'number' ? this.number(value) : String(value);
    if (written === undefined) throw UNREAD;
    this.word(written);
  }

  /** undefined for what is text. */
  protected resolved(from: number, to: number): number | boolean | null | undefined {
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

  protected put(byte: number): void {
    this.out[this.length++] = byte;
  }

  protected word(text: string): void {
    for (let i = 0; i < text.length; i++) this.put(text.charCodeAt(i));
  }

  protected text(from: number, to: number): void {
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

/** JSON has no word for minus zero but this. */
function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}
