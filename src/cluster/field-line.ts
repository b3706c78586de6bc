import { type Event, EVENT_ID, parseEvents } from 'js-yaml';
import { eventStart, lineCounter } from './positions.js';

/** Names of members and positions in lists, from an object inwards. */
export type FieldPath = readonly (string | number)[];

/**
 * The 1-based line of a field of the object that begins at a line of a manifest; of what is nearest around it where the field itself is
 * not written there (an alias, a merge, a template). The object's own line where nothing of it is found.
 */
export function fieldLine(text: string, objectLine: number, path: FieldPath): number {
  let events: Event[];
  try {
    events = parseEvents(text, {});
  } catch {
    return objectLine; // what cannot be read was said already
  }
  const lineOf = lineCounter(text);
  const root = events.findIndex((event) => event.type === EVENT_ID.MAPPING && lineOf(eventStart(event) ?? 0) === objectLine); // prettier-ignore
  if (root < 0) return objectLine;
  let at = root;
  let line = objectLine;
  for (const part of path) {
    const found = typeof part === 'number' ? itemAt(events, at, part) : memberAt(events, at, part, text);
    if (!found) break;
    line = lineOf(eventStart(events[found.written]) ?? 0);
    at = found.value;
  }
  return line;
}

interface Found {
  /** Event of what names it: a key, or the item itself. */
  readonly written: number;
  readonly value: number;
}

function memberAt(events: readonly Event[], mapping: number, name: string, text: string): Found | undefined {
  if (events[mapping]?.type !== EVENT_ID.MAPPING) return undefined;
  for (
    let key = mapping + 1;
    key < events.length && events[key].type !== EVENT_ID.POP;
    key = after(events, after(events, key))
  ) {
    const event = events[key];
    if (event.type === EVENT_ID.SCALAR && unquoted(text.slice(event.valueStart, event.valueEnd)) === name)
      return { written: key, value: after(events, key) };
  }
  return undefined;
}

function itemAt(events: readonly Event[], sequence: number, position: number): Found | undefined {
  if (events[sequence]?.type !== EVENT_ID.SEQUENCE) return undefined;
  let at = sequence + 1;
  for (let i = 0; at < events.length && events[at].type !== EVENT_ID.POP; i++, at = after(events, at)) {
    if (i === position) return { written: at, value: at };
  }
  return undefined;
}

/** The event after a whole node. */
function after(events: readonly Event[], node: number): number {
  let depth = 0;
  for (let at = node; at < events.length; at++) {
    const { type } = events[at];
    if (type === EVENT_ID.MAPPING || type === EVENT_ID.SEQUENCE) depth++;
    else if (type === EVENT_ID.POP) depth--;
    if (depth <= 0) return at + 1;
  }
  return events.length;
}

function unquoted(key: string): string {
  return /^(["']).*\1$/s.test(key) ? key.slice(1, -1) : key;
}
