import { stripVTControlCharacters, styleText } from 'node:util';
import { printable } from '../output.js';

/** How a line begins: what was let through, held back, corrected, merely found, or did not come out as it should. */
export type Mark = 'yes' | 'no' | 'mended' | 'fact' | 'wrong';

export interface Line {
  readonly mark: Mark;
  /** One word: `allowed`, `live`, `denied`. */
  readonly word: string;
  readonly text: string;
  /** Lines that belong below it: a rule, a place, a fix. */
  readonly below?: readonly string[];
  /** The values behind it, for `--output json`. */
  readonly values?: Readonly<Record<string, unknown>>;
}

/** Tells the story, as it happens. */
export interface Narrator {
  chapter(title: string): void;
  line(line: Line): void;
  /** What to look at next: a command, a query, a file. */
  look(text: string): void;
  /** Words of a program, as it said them. */
  quote(command: string, output: string): void;
  /** What is being waited for; until it is called again, or anything else is told. null: nothing. */
  waiting(text: string | null): void;
  close(): void;
}

const MARKS = { yes: '✓', no: '✗', mended: '↺', fact: '·', wrong: '!' } as const;
const COLOURS = { yes: 'green', no: 'red', mended: 'yellow', fact: 'dim', wrong: 'red' } as const;
const SPINNER = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';
/** Seconds after which something that is waited for is said again where no spinner can turn. */
const SAY_AGAIN = 30;

export function openNarrator(output: 'text' | 'json', stream: NodeJS.WriteStream = process.stdout): Narrator {
  return output === 'json' ? new JsonNarrator(stream) : new TextNarrator(stream);
}

class TextNarrator implements Narrator {
  #timer: NodeJS.Timeout | undefined;
  #waiting: string | null = null;
  #since = 0;
  /** When a plain line was last written while waiting. */
  #said = 0;

  constructor(private readonly stream: NodeJS.WriteStream) {}

  chapter(title: string): void {
    this.#write(`\n${this.#style('bold', title)}\n`);
  }

  line({ mark, word, text, below = [] }: Line): void {
    const head = this.#style(COLOURS[mark], `${MARKS[mark]} ${word.padEnd(9)}`);
    const [first, ...rest] = text.split('\n').map(printable);
    const more = [...rest, ...below.map(printable)].map((line) => `${' '.repeat(12)}${line}\n`);
    this.#write(`${head} ${first}\n${more.join('')}`);
  }

  look(text: string): void {
    this.#write(`${this.#style('dim', `  look      ${printable(text)}`)}\n`);
  }

  quote(command: string, output: string): void {
    const lines = stripVTControlCharacters(output).trimEnd().split('\n').map(printable);
    const quoted = lines.map((line) => `  ${this.#style('dim', '│')} ${line}\n`);
    this.#write(`  $ ${this.#style('bold', command)}\n${quoted.join('')}`);
  }

  waiting(text: string | null): void {
    if (text === null) return this.#clear();
    if (this.#waiting === null) {
      this.#since = this.#said = performance.now();
      this.#timer = setInterval(() => this.#tick(), this.stream.isTTY ? 100 : 1000);
      this.#timer.unref();
    }
    this.#waiting = text;
    if (this.stream.isTTY) this.#tick();
  }

  close(): void {
    this.#clear();
  }

  #tick(): void {
    const now = performance.now();
    const line = `${printable(this.#waiting ?? '')}, ${Math.floor((now - this.#since) / 1000)} s`;
    if (this.stream.isTTY) {
      const turn = SPINNER[Math.floor(now / 100) % SPINNER.length];
      this.stream.write(`\r\u001B[2K${`  ${turn} ${line}`.slice(0, (this.stream.columns || 80) - 1)}`);
    } else if (now - this.#said >= SAY_AGAIN * 1000) {
      this.#said = now;
      this.stream.write(`  … ${line}\n`);
    }
  }

  #clear(): void {
    clearInterval(this.#timer);
    if (this.#waiting !== null && this.stream.isTTY) this.stream.write('\r\u001B[2K');
    this.#waiting = null;
  }

  #write(text: string): void {
    this.#clear();
    this.stream.write(text);
  }

  /** Plain where colours are not wanted: no terminal, NO_COLOR, TERM=dumb. */
  #style(format: 'bold' | (typeof COLOURS)[Mark], text: string): string {
    return styleText(format, text, { stream: this.stream });
  }
}

/** One JSON object a line, for programs. */
class JsonNarrator implements Narrator {
  #chapter = '';
  #waiting: string | null = null;

  constructor(private readonly stream: NodeJS.WriteStream) {}

  chapter(title: string): void {
    this.#chapter = title;
  }

  line(line: Line): void {
    this.#write({ type: 'line', ...line });
  }

  look(text: string): void {
    this.#write({ type: 'look', text });
  }

  quote(command: string, output: string): void {
    this.#write({ type: 'quote', command, output });
  }

  waiting(text: string | null): void {
    if (text !== null && text !== this.#waiting) this.#write({ type: 'waiting', text });
    this.#waiting = text;
  }

  close(): void {}

  #write(event: Readonly<Record<string, unknown>>): void {
    this.stream.write(`${JSON.stringify({ time: new Date().toISOString(), chapter: this.#chapter, ...event })}\n`);
  }
}
