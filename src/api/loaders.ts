import DataLoader from 'dataloader';
import type { LoggedEntry } from '../audit/entry.js';
import type { Inclusion, Ledger } from '../audit/ledger.js';
import type { AnyOf, ExceptionUses, Queries } from '../report/queries.js';
import type { DriftRecord, EnvironmentRecord, Tables, TipRecord, DecisionRecord } from '../review/records.js';

type OneById = 'push' | 'change' | 'decision' | 'run' | 'advice' | 'approval' | 'exception' | 'reviewDuty';
interface InRepository {
  readonly repository: string;
}

/** Looks up what other rows name, once a request and all of a level in one query: no N+1. */
export interface Loaders {
  readonly push: DataLoader<string, Tables['push'] | null>;
  readonly change: DataLoader<string, Tables['change'] | null>;
  readonly decision: DataLoader<string, Tables['decision'] | null>;
  readonly run: DataLoader<string, Tables['run'] | null>;
  readonly advice: DataLoader<string, Tables['advice'] | null>;
  readonly approval: DataLoader<string, Tables['approval'] | null>;
  readonly exception: DataLoader<string, Tables['exception'] | null>;
  /** Of an exception, by id. */
  readonly usesOf: DataLoader<string, ExceptionUses>;
  readonly reviewDuty: DataLoader<string, Tables['reviewDuty'] | null>;
  readonly commit: DataLoader<InRepository & { readonly id: string }, Tables['commit'] | null, string>;
  /** By the index of its entry in the log. */
  readonly decisionAt: DataLoader<number, Tables['decision'] | null>;
  readonly tipsOf: DataLoader<string, readonly TipRecord[]>;
  readonly environmentsOf: DataLoader<string, readonly EnvironmentRecord[]>;
  readonly decisionsOf: DataLoader<string, readonly DecisionRecord[]>;
  readonly approvalsOf: DataLoader<
    InRepository & { readonly environment: string; readonly head: string },
    readonly Tables['approval'][],
    string
  >;
  readonly returnOf: DataLoader<InRepository & { readonly name: string }, Tables['return'] | null, string>;
  readonly openDriftOf: DataLoader<InRepository & { readonly name: string }, readonly DriftRecord[], string>;
  readonly objectChanges: DataLoader<ObjectChangeRange, readonly Tables['objectChange'][], string>;
  readonly entry: DataLoader<number, LoggedEntry | null>;
  readonly inclusion: DataLoader<number, Inclusion>;
}

/** Object changes of one change, by position: from (inclusive) to (exclusive). */
export interface ObjectChangeRange {
  readonly change: string;
  readonly from: number;
  readonly to: number;
}

export function createLoaders(queries: Queries, ledger: Ledger): Loaders {
  const byId = <K extends OneById>(table: K): DataLoader<string, Tables[K] | null> =>
    new DataLoader(async (ids) => {
      const rows = await queries.anyOf(table, { id: ids } as AnyOf<Tables[K]>);
      const found = new Map(rows.map((row) => [row.id, row]));
      return ids.map((id) => found.get(id) ?? null);
    });
  const of = <K extends keyof Tables>(table: K, column: keyof Tables[K]): DataLoader<string, readonly Tables[K][]> =>
    new DataLoader(async (keys) => {
      const rows = Map.groupBy(
        await queries.anyOf(table, { [column]: keys } as AnyOf<Tables[K]>),
        (row) => row[column],
      );
      return keys.map((key) => rows.get(key as never) ?? []);
    });
  return {
    push: byId('push'),
    change: byId('change'),
    decision: byId('decision'),
    run: byId('run'),
    advice: byId('advice'),
    approval: byId('approval'),
    exception: byId('exception'),
    usesOf: new DataLoader((ids) => queries.exceptionUses(ids)),
    reviewDuty: byId('reviewDuty'),
    commit: new DataLoader(
      async (keys) => {
        const rows = await queries.anyOf('commit', {
          repository: distinct(keys, 'repository'),
          id: distinct(keys, 'id'),
        });
        const found = new Map(rows.map((row) => [cacheKey(row.repository, row.id), row]));
        return keys.map((key) => found.get(cacheKey(key.repository, key.id)) ?? null);
      },
      { cacheKeyFn: (key) => cacheKey(key.repository, key.id) },
    ),
    decisionAt: new DataLoader(async (indexes) => {
      const found = new Map((await queries.anyOf('decision', { index: indexes })).map((row) => [row.index, row]));
      return indexes.map((index) => found.get(index) ?? null);
    }),
    tipsOf: of('tip', 'repository'),
    environmentsOf: of('environment', 'repository'),
    decisionsOf: new DataLoader(async (changes) => {
      const rows = await queries.anyOf('decision', { change: changes });
      const byChange = Map.groupBy(rows.toSorted(oldestFirst), (row) => row.change);
      return changes.map((change) => byChange.get(change) ?? []);
    }),
    approvalsOf: new DataLoader(
      async (keys) => {
        const rows = await queries.anyOf('approval', {
          repository: distinct(keys, 'repository'),
          environment: distinct(keys, 'environment'),
          head: distinct(keys, 'head'),
        });
        const sorted = rows.toSorted((a, b) => (a.firstSeen < b.firstSeen ? -1 : Number(a.firstSeen > b.firstSeen)));
        const found = Map.groupBy(sorted, (row) => cacheKey(row.repository, row.environment ?? '', row.head ?? ''));
        return keys.map((key) => found.get(cacheKey(key.repository, key.environment, key.head)) ?? []);
      },
      { cacheKeyFn: (key) => cacheKey(key.repository, key.environment, key.head) },
    ),
    returnOf: new DataLoader(
      async (keys) => {
        const rows = await queries.anyOf('return', {
          repository: distinct(keys, 'repository'),
          environment: distinct(keys, 'name'),
          endedAt: [null],
        });
        const found = new Map(rows.map((row) => [cacheKey(row.repository, row.environment), row]));
        return keys.map((key) => found.get(cacheKey(key.repository, key.name)) ?? null);
      },
      { cacheKeyFn: (key) => cacheKey(key.repository, key.name) },
    ),
    openDriftOf: new DataLoader(
      async (keys) => {
        const rows = await queries.anyOf('drift', {
          repository: distinct(keys, 'repository'),
          environment: distinct(keys, 'name'),
          correctedAt: [null],
        });
        const found = Map.groupBy(rows, (row) => cacheKey(row.repository, row.environment));
        return keys.map((key) => found.get(cacheKey(key.repository, key.name)) ?? []);
      },
      { cacheKeyFn: (key) => cacheKey(key.repository, key.name) },
    ),
    objectChanges: new DataLoader(
      async (ranges) => {
        const rows = await queries.anyOf('objectChange', {
          change: distinct(ranges, 'change'),
          position: [
            ...new Set(ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i))),
          ],
        });
        const byChange = Map.groupBy(rows, (row) => row.change);
        return ranges.map(({ change, from, to }) =>
          (byChange.get(change) ?? []).filter((row) => row.position >= from && row.position < to),
        );
      },
      { cacheKeyFn: ({ change, from, to }) => cacheKey(change, String(from), String(to)) },
    ),
    entry: new DataLoader((indexes) => readEntries(ledger, indexes)),
    inclusion: new DataLoader((indexes) => Promise.all(indexes.map((index) => ledger.inclusion(index)))),
  };
}

/** Entries that lie near one another are read in one go. */
async function readEntries(ledger: Ledger, indexes: readonly number[]): Promise<(LoggedEntry | null)[]> {
  const size = await ledger.size();
  const known = indexes.filter((index) => index >= 0 && index < size).toSorted((a, b) => a - b);
  const runs: { from: number; to: number }[] = [];
  for (const index of known) {
    const last = runs.at(-1);
    if (last && index - last.to < 16) last.to = index + 1;
    else runs.push({ from: index, to: index + 1 });
  }
  const found = new Map<number, LoggedEntry>();
  for (const { from, to } of runs) {
    for await (const entry of ledger.entries(from, to)) found.set(entry.index, entry);
  }
  return indexes.map((index) => found.get(index) ?? null);
}

const cacheKey = (...parts: readonly string[]): string => JSON.stringify(parts);

function distinct<T, C extends keyof T>(keys: readonly T[], column: C): T[C][] {
  return [...new Set(keys.map((key) => key[column]))];
}

function oldestFirst(a: DecisionRecord, b: DecisionRecord): number {
  return a.time < b.time ? -1 : Number(a.time > b.time) || (a.id < b.id ? -1 : 1);
}
