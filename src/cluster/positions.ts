import { type Event, EVENT_ID } from 'js-yaml';

/** Offset of what a node begins with, its tag or anchor included. */
export function eventStart(event: Event | undefined): number | undefined {
  if (!event) return undefined;
  const starts: number[] = [];
  if ('start' in event) starts.push(event.start);
  if ('valueStart' in event) starts.push(event.valueStart);
  if ('anchorStart' in event) starts.push(event.anchorStart);
  if ('tagStart' in event) starts.push(event.tagStart);
  const known = starts.filter((at) => at >= 0);
  return known.length ? Math.min(...known) : undefined;
}

/** Where the members of the root mapping's `items` start; empty if they are written in another way (alias, merge). */
export function itemStarts(events: readonly Event[], root: number, text: string): number[] {
  if (events[root]?.type !== EVENT_ID.MAPPING) return [];
  let depth = 0;
  let key: string | undefined;
  let isKey = true;
  for (let i = root + 1; i < events.length; i++) {
    const event = events[i];
    if (event.type === EVENT_ID.POP) {
      if (--depth < 0) return [];
      continue;
    }
    if (depth === 0) {
      if (!isKey && key === 'items' && event.type === EVENT_ID.SEQUENCE) return childStarts(events, i);
      if (isKey) key = event.type === EVENT_ID.SCALAR ? text.slice(event.valueStart, event.valueEnd) : undefined;
      isKey = !isKey;
    }
    if (event.type === EVENT_ID.MAPPING || event.type === EVENT_ID.SEQUENCE) depth++;
  }
  return [];
}

function childStarts(events: readonly Event[], sequence: number): number[] {
  const starts: number[] = [];
  let depth = 0;
  for (let i = sequence + 1; i < events.length && depth >= 0; i++) {
    const event = events[i];
    if (event.type === EVENT_ID.POP) {
      depth--;
      continue;
    }
    if (depth === 0) starts.push(eventStart(event) ?? 0);
    if (event.type === EVENT_ID.MAPPING || event.type === EVENT_ID.SEQUENCE) depth++;
  }
  return starts;
}

/** 1-based line of an offset. Cheap for offsets that grow, as those of events do. */
export function lineCounter(text: string): (offset: number) => number {
  let line = 1;
  let at = 0;
  return (offset) => {
    if (offset < at) {
      line = 1;
      at = 0;
    }
    for (let next = text.indexOf('\n', at); next >= 0 && next < offset; next = text.indexOf('\n', at)) {
      line++;
      at = next + 1;
    }
    return line;
  };
}

/** Where a member of a mapping or an item of a sequence stands. */
export interface Position {
  /** Offset of its key, or of the item itself. */
  readonly at: number;
  /** Offset of its value; of its first line for a block of text, whose lines are indented by `indent`. */
  readonly value: number;
  readonly indent: number;
}

export const pathKey = (path: readonly PropertyKey[]): string => JSON.stringify(path.map(String));

/** The position of everything in one document, by `pathKey`; `events` are those of the document alone. */
export function pathPositions(events: readonly Event[], text: string): Map<string, Position> {
  const positions = new Map<string, Position>();
  let next = 0;
  const note = (path: readonly PropertyKey[], at: number, event: Event | undefined) => {
    const value = event?.type === EVENT_ID.SCALAR ? event.valueStart : (eventStart(event) ?? at);
    const indent = event?.type === EVENT_ID.SCALAR ? Math.max(0, event.indent) : 0;
    positions.set(pathKey(path), { at, value, indent });
  };
  const walk = (path: readonly PropertyKey[]): void => {
    const event = events[next++];
    if (event?.type === EVENT_ID.DOCUMENT) {
      while (next < events.length && events[next]?.type !== EVENT_ID.POP) walk(path);
      next++;
    } else if (event?.type === EVENT_ID.SEQUENCE) {
      for (let i = 0; events[next] && events[next]?.type !== EVENT_ID.POP; i++) {
        note([...path, i], eventStart(events[next]) ?? 0, events[next]);
        walk([...path, i]);
      }
      next++;
    } else if (event?.type === EVENT_ID.MAPPING) {
      while (events[next] && events[next]?.type !== EVENT_ID.POP) {
        const key = events[next++];
        const name = key.type === EVENT_ID.SCALAR ? text.slice(key.valueStart, key.valueEnd) : '';
        note([...path, name], eventStart(key) ?? 0, events[next]);
        walk([...path, name]);
      }
      next++;
    }
  };
  while (next < events.length) walk([]);
  return positions;
}
