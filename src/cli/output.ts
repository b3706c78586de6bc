import { once } from 'node:events';

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
