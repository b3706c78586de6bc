import type { EntryType } from '../../audit/entry.js';

/** Rows that name an entry of the log by its index: the entry's type, and its id in the predicate, are theirs. */
export const indexedTables: readonly {
  readonly table: string;
  readonly column: string;
  readonly type: EntryType;
  readonly phase?: string;
}[] = [
  ...(['push', 'decision', 'drift', 'fault', 'approval', 'exception'] as const).map((type) => ({
    table: type,
    column: 'log_index',
    type,
  })),
  { table: 'rollout_return', column: 'log_index', type: 'action' },
  { table: 'run', column: 'started_index', type: 'run', phase: 'started' },
  { table: 'run', column: 'finished_index', type: 'run', phase: 'finished' },
];
