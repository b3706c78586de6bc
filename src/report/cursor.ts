import { CountersignError } from '../errors.js';
import { listOrder, type ListName, type Position } from './queries.js';

/**
 * Cursors are opaque to clients, mean the same for ever and carry no authority: a forged one that reads well only names another
 * place in the same list. They hold the order columns' values of one row.
 */
export function encodeCursor(list: string, position: Position): string {
  return Buffer.from(JSON.stringify([list, ...position])).toString('base64url');
}

/** Throws `cursor-invalid` unless it is a cursor of this list with that many values, each of which `sound` accepts. */
export function decodeCursor(
  list: string,
  cursor: string,
  columns: number,
  sound: (value: string, column: number) => boolean = () => true,
): Position {
  const [name, ...position] = parse(cursor) ?? [];
  if (name === list && position.length === columns && position.every(sound)) return position;
  const other = name !== undefined && name !== list && Object.hasOwn(listOrder, name);
  throw new CountersignError(
    'cursor-invalid',
    `this is no cursor of this list${other ? `: it is one of ${name}` : ''}`,
    {
      remedy: 'Pass the endCursor of an earlier page of the same list, or leave "after" out to begin again',
    },
  );
}

/** Of a list of records. Times must be times, or the database would be asked nonsense. */
export function decodeListCursor(list: ListName, cursor: string): Position {
  const order = listOrder[list];
  return decodeCursor(list, cursor, order.length, (value, i) => !order[i].newestFirst || isTime(value));
}

export function positionOf(list: ListName, row: object): Position {
  return listOrder[list].map(({ column }) => String(row[column as keyof typeof row]));
}

function isTime(value: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value) && !Number.isNaN(Date.parse(value));
}

function parse(cursor: string): string[] | undefined {
  if (cursor.length > 4_000 || !/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    return Array.isArray(value) && value.every(isPart) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** PostgreSQL refuses NUL and half characters in text, so they name no row. */
function isPart(part: unknown): part is string {
  return typeof part === 'string' && !part.includes('\0') && part.isWellFormed();
}
