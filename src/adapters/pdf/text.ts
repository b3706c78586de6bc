/**
 * What the report's typeface (Roboto) has: Latin, Greek and Cyrillic letters, digits, punctuation and currencies. Everything else is written
 * as its code, so that nothing looks like something that it is not: control characters, those that turn the direction of writing, and
 * letters of other scripts.
 */
const FOREIGN =
  /[^\x20-\x7e\u00a1-\u00ac\u00ae-\u024f\u0370-\u0373\u0376\u0377\u037b-\u037f\u0384-\u0486\u048a-\u0513\u1ea0-\u1ef9\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2032\u2033\u2039\u203a\u20ac\u2116\u2122]/gu;

/** Characters of one text that are shown. */
const LONGEST = 400;

export function printable(text: string): string {
  const shown = text.replaceAll(
    FOREIGN,
    (char) => `[U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
  );
  return shown.length > LONGEST ? `${shown.slice(0, LONGEST)}…` : shown;
}
