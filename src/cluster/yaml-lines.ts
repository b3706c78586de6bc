/** Line breaks, what ASCII prints, and letters of most languages: no tab, carriage return, or character that YAML refuses. */
const UNUSUAL = /[^\n\x20-\x7e\u00a1-\u1fff\u2010-\u2027\u2030-\u206f\u3000-\ud7ff\uf900-\ufdff\uff00-\uffef]/;

const [FEED, SPACE, HASH, DASH, DOT, PERCENT] = [0x0a, 0x20, 0x23, 0x2d, 0x2e, 0x25];

/** Thrown for what is left to the full reader, faults included. */
export const UNREAD = Symbol('not plain');

/** The lines of one YAML document, one at a time. */
export class YamlLines {
  protected source: Uint8Array = new Uint8Array(0);
  private end = 0;

  /** The line that is read: from, its first character but spaces, and its break. */
  protected lineStart = 0;
  protected lineFirst = 0;
  protected lineEnd = -1;
  protected lineNumber = 0;
  /** Its number of leading spaces, or where in it a list's item begins; -1 at the end. */
  protected indent = -1;

  protected open(source: Uint8Array, from: number, to: number): void {
    this.source = source;
    this.end = to;
    this.lineEnd = from - 1;
    this.lineNumber = 0;
    this.indent = -1;
  }

  /** Goes to the next line that says something. */
  protected next(): void {
    const before = this.indent;
    for (;;) {
      if (!this.nextLine()) {
        this.indent = -1;
        return;
      }
      if (this.lineFirst === this.lineEnd || this.source[this.lineFirst] === HASH) continue;
      this.indent = this.lineFirst - this.lineStart;
      // Directives and marks of documents; the first `---` is whose reads the document.
      if (
        this.indent === 0 &&
        (this.source[this.lineStart] === PERCENT ||
          this.startsWith(DOT, DOT, DOT) ||
          (before >= 0 && this.startsWith(DASH, DASH, DASH)))
      )
        throw UNREAD;
      return;
    }
  }

  /** False at the end. What follows the last line break is a line, too. */
  protected nextLine(): boolean {
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

  /** Has `next` give this line again. */
  protected back(): void {
    this.lineEnd = this.lineStart - 1;
    this.lineNumber--;
  }

  protected startsWith(a: number, b: number, c: number): boolean {
    const { source, lineStart } = this;
    return (
      this.lineEnd - lineStart >= 3 &&
      source[lineStart] === a &&
      source[lineStart + 1] === b &&
      source[lineStart + 2] === c
    );
  }
}
