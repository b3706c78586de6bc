import { type Event, EVENT_ID } from 'js-yaml';
import { CountersignError, type Place } from '../errors.js';
import { canonicalJson } from './canonical.js';
import type { Json } from './object.js';
import { eventStart, lineCounter } from './positions.js';
import { InexactNumber } from './yaml.js';

interface Written {
  readonly path: string;
  readonly text: string;
  readonly events: readonly Event[];
  /** Index of the event that the value's document begins with. */
  readonly root: number;
}

/**
 * Throws `manifest-number` or `manifest-malformed`, with the line, if a document holds what JSON cannot carry: numbers beyond a
 * double's exactness, halves of surrogate pairs.
 */
export function refuseInexact(value: Json, { path, text, events, root }: Written): void {
  const place = (event: Event | undefined): Place => ({ file: path, line: lineCounter(text)(eventStart(event) ?? 0) });
  const number = findInexact(value);
  if (number) {
    const at = events
      .slice(root)
      .find((event) => event.type === EVENT_ID.SCALAR && text.slice(event.valueStart, event.valueEnd) === number.text);
    throw new CountersignError(
      'manifest-number',
      `the number ${number.text.slice(0, 40)} cannot be carried exactly in JSON`,
      {
        place: place(at ?? events[root]),
        remedy: 'Keep integers within ±(2^53 − 1), or write the value as a string in quotes',
      },
    );
  }
  try {
    canonicalJson(value);
  } catch (error) {
    const { code, message } = error as CountersignError;
    throw new CountersignError(code, message, { place: place(events[root]), remedy: 'Write the character itself' });
  }
}

function findInexact(value: unknown): InexactNumber | undefined {
  if (value instanceof InexactNumber) return value;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const member of Object.values(value)) {
    const found = findInexact(member);
    if (found) return found;
  }
  return undefined;
}
