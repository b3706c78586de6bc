import { once } from 'node:events';
import { Option } from 'commander';
import type { Cell } from '../report/csv.js';

/**
 * Characters that move a terminal's cursor or reorder what is read: C0 (line breaks too), DEL, C1, bidirectional
 * and invisible ones. Names and paths in Git may hold them; what a person reads must not be rearranged by an author.
 */
// eslint-disable-next-line no-control-regex
const TREACHEROUS = /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;

/** One line of text from outside, safe to print: treacherous characters as `\u202e`. */
export function printable(text: string): string {
  return text.replace(TREACHEROUS, escapeCharacter);
}

/** One line of JSON that a terminal may be shown, and that still means the same. */
export function jsonLine(value: unknown): string {
  return printable(JSON.stringify(value));
}

function escapeCharacter(character: string): string {
  return [...Array(character.length).keys()]
    .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`)
    .join('');
}

/** Writes to standard output and waits while its reader is behind, so that memory stays bounded. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
}

/** How a command prints what it tells. */
export type Output = 'text' | 'json' | 'jsonl' | 'csv' | 'yaml';

/** The one `--output` of every command; what is first is what it does unless told. */
export function outputOption(...formats: readonly string[]): Option {
  return new Option('--output <format>', 'how to print it').choices([...formats]).default(formats[0]);
}

/** A column of a listing: what programs get, and what people read where that is another thing. */
export interface Column<T> {
  readonly name: string;
  readonly value: (row: T) => Cell;
  readonly text?: (row: T) => string;
}

export interface ListingOptions<T> {
  readonly output: Output;
  /** What JSON and YAML hold of a row; by default its columns. */
  readonly record?: (row: T) => unknown;
  /** Lines for people below a row. */
  readonly notes?: (row: T) => readonly string[];
  /** `--output json` is one array; without, a line each. */
  readonly array?: boolean;
}

/** Rows of a table that are held back, so that its columns stand in line; then they are printed, and the next may be wider. */
const HELD = 500;

/**
 * The one printer of everything that is a list: a table with aligned columns for people, no wider than their terminal; JSON, YAML, and CSV in
 * which no cell is a formula for programs. Memory stays bounded, however many rows there are.
 */
export class Listing<T> {
  #held: T[] = [];
  #widths: number[];
  #begun = false;

  constructor(
    private readonly columns: readonly Column<T>[],
    private readonly options: ListingOptions<T>,
  ) {
    this.#widths = columns.map(({ name }) => name.length);
  }

  async add(row: T): Promise<void> {
    const { output, array = false } = this.options;
    if (output === 'text') {
      if (this.#held.push(row) >= HELD) await this.#table();
      return;
    }
    const first = !this.#begun;
    this.#begun = true;
    if (output === 'csv') {
      const cells = this.columns.map(({ value }) => value(row));
      await write((first ? await this.#csvHead() : '') + (await csvOf(cells)));
    } else if (output === 'yaml') await write(await yamlOf([this.#record(row)]));
    else if (output === 'json' && array) await print(`${first ? '[\n' : ','}${jsonLine(this.#record(row))}`);
    else await print(jsonLine(this.#record(row)));
  }

  /** `none` is what people are told where there was no row. */
  async end(none = 'none'): Promise<void> {
    const { output, array = false } = this.options;
    if (output === 'text') {
      await this.#table();
      if (!this.#begun) await print(none);
    } else if (output === 'csv' && !this.#begun) await write(await this.#csvHead());
    else if (output === 'yaml' && !this.#begun) await print('[]');
    else if (output === 'json' && array) await print(this.#begun ? ']' : '[\n]');
  }

  #record(row: T): unknown {
    const { record } = this.options;
    return record ? record(row) : Object.fromEntries(this.columns.map(({ name, value }) => [name, value(row)]));
  }

  #csvHead(): Promise<string> {
    return csvOf(this.columns.map(({ name }) => name));
  }

  async #table(): Promise<void> {
    if (this.#held.length === 0) return;
    const rows = this.#held.map((row) => this.columns.map(({ value, text }) => printable(text ? text(row) : textOf(value(row))))); // prettier-ignore
    this.#widths = this.#widths.map((width, i) =>
      rows.reduce((most, cells) => Math.max(most, widthOf(cells[i])), width),
    );
    const widths = within(this.#widths, process.stdout.isTTY ? process.stdout.columns : undefined);
    if (!this.#begun) {
      const head = lineOf(
        this.columns.map(({ name }) => name.toUpperCase()),
        widths,
      );
      await print(colored() ? `\u001b[2m${head}\u001b[22m` : head);
    }
    this.#begun = true;
    for (const [i, row] of this.#held.entries()) {
      await print(lineOf(rows[i], widths));
      for (const note of this.options.notes?.(row) ?? []) await print(`  ${printable(note)}`);
    }
    this.#held = [];
  }
}

/** Colour is for terminals whose people did not say no (no-color.org). */
export function colored(): boolean {
  return process.stdout.isTTY && !process.env['NO_COLOR'];
}

/** A value that is no list, as YAML that a terminal may be shown and that still means the same. */
export async function printYaml(value: unknown): Promise<void> {
  await write(await yamlOf(value));
}

async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

async function csvOf(cells: readonly Cell[]): Promise<string> {
  const { csvRecord } = await import('../report/csv.js');
  return csvRecord(cells);
}

async function yamlOf(value: unknown): Promise<string> {
  const { Document, Scalar, visit } = await import('yaml');
  // As JSON has it: no undefined, and nothing twice by reference.
  const document = new Document(JSON.parse(JSON.stringify(value)) as unknown, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar: (_, node) => {
      if (typeof node.value === 'string' && new RegExp(TREACHEROUS, 'u').test(node.value))
        node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  const text = document.toString({ lineWidth: 0 });
  // What is left of them stands in double quotes, where YAML has the same escapes.
  return text.replace(TREACHEROUS, (one) => (one === '\n' ? one : one.length > 1 ? `\\U${one.codePointAt(0)!.toString(16).padStart(8, '0')}` : escapeCharacter(one))); // prettier-ignore
}

function textOf(cell: Cell): string {
  if (cell === null) return '';
  return typeof cell === 'object' ? cell.join(' ') : String(cell);
}

/** Two spaces between; the last column is not filled up. */
function lineOf(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, i) => shortened(cell, widths[i]))
    .map((cell, i) => cell + ' '.repeat(Math.max(0, widths[i] - widthOf(cell))))
    .join('  ')
    .trimEnd();
}

/** The widest give way until all fit. */
function within(widths: readonly number[], most: number | undefined): readonly number[] {
  const fitting = [...widths];
  const over = (): number => fitting.reduce((sum, width) => sum + width + 2, -2) - (most ?? Infinity);
  while (over() > 0) {
    const widest = fitting.indexOf(Math.max(...fitting));
    if (fitting[widest] <= 8) break;
    fitting[widest] = Math.max(8, fitting[widest] - over());
  }
  return fitting;
}

function shortened(text: string, most: number): string {
  if (widthOf(text) <= most) return text;
  let [short, width] = ['', 0];
  for (const character of text) {
    width += widthOf(character);
    if (width > most - 1) break;
    short += character;
  }
  return `${short}…`;
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Columns of a terminal. */
function widthOf(text: string): number {
  // eslint-disable-next-line no-control-regex
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += /\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}
