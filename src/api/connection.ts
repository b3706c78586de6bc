import { CountersignError } from '../errors.js';
import { decodeListCursor, encodeCursor, positionOf } from '../report/cursor.js';
import type { Filters, ListName, Period } from '../report/queries.js';
import type { Tables } from '../review/records.js';
import type { ApiContext } from './context.js';

/** The longest page; limits.ts counts with it, too. */
export const LONGEST_PAGE = 500;
export const PAGE = 50;

export interface PageArguments {
  readonly first?: number | null;
  readonly after?: string | null;
}

/** A Relay connection. `totalCount` is counted only for whoever asks (scalars.ts resolves it). */
export interface Connection<T> {
  readonly edges: readonly { readonly cursor: string; readonly node: T }[];
  readonly nodes: readonly T[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
  count(): Promise<number> | number;
}

export function pageLength({ first }: PageArguments): number {
  const length = first ?? PAGE;
  if (length >= 1 && length <= LONGEST_PAGE) return length;
  throw new CountersignError('query-limit', `"first" is ${length}; it must be between 1 and ${LONGEST_PAGE}`, {
    remedy: 'Ask for less, and for the rest with "after"',
  });
}

/** One page of a list of records. Throws `not-found` for an empty one of a name that was misspelt. */
export async function connect<K extends ListName>(
  { queries, names }: Pick<ApiContext, 'queries' | 'names'>,
  list: K,
  page: PageArguments & { readonly filter?: Filters[K] | null },
): Promise<Connection<Tables[K]>> {
  const first = pageLength(page);
  const after = page.after ? decodeListCursor(list, page.after) : undefined;
  const filter: Filters[K] = page.filter ?? {};
  checkPeriod(filter as Period);
  const { rows, hasNext } = await queries.list(list, filter, { first, after });
  if (rows.length === 0 && after === undefined) await names.requireSpelt(filter);
  const edges = rows.map((node) => ({ cursor: encodeCursor(list, positionOf(list, node)), node }));
  return connection(edges, { hasNext, hasPrevious: after !== undefined }, () => queries.count(list, filter));
}

export function connection<T>(
  edges: Connection<T>['edges'],
  more: { readonly hasNext: boolean; readonly hasPrevious: boolean },
  count: Connection<T>['count'],
): Connection<T> {
  return {
    edges,
    nodes: edges.map((edge) => edge.node),
    pageInfo: {
      hasNextPage: more.hasNext,
      hasPreviousPage: more.hasPrevious,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
    count,
  };
}

export function checkPeriod(filter: Period): void {
  if (!filter.from || !filter.to || filter.from < filter.to) return;
  throw new CountersignError('query-invalid', `the period ends (${filter.to}) before it begins (${filter.from})`, {
    remedy: '"from" is the first instant that counts, "to" the first that no longer does',
  });
}
