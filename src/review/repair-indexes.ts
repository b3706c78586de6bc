import type { Ledger } from '../audit/ledger.js';
import type { Records, Tables } from './records.js';

/** Entries looked at in one step, from the newest back. */
const STEP = 500;

/** Rows whose transaction is durable but whose process died before it could write down the index of their entry get it now. */
export async function repairIndexes(ledger: Ledger, records: Records): Promise<void> {
  const missing = new Map<string, (index: number) => Promise<void>>();
  for (const table of ['push', 'decision', 'drift', 'fault', 'approval', 'exception', 'protection'] as const) {
    for (const row of await unindexed(records, table)) {
      missing.set(`${table} ${row.id}`, (index) => records.update(table, { id: row.id }, { index }));
    }
  }
  for (const { id } of await records.find('return', { index: null })) {
    missing.set(`action ${id}`, (index) => records.update('return', { id }, { index }));
  }
  for (const { id } of await records.find('run', { startedIndex: null })) {
    missing.set(`started ${id}`, (startedIndex) => records.update('run', { id }, { startedIndex }));
  }
  for (const { id, finishedAt } of await records.find('run', { finishedIndex: null })) {
    // A run that is still open has no such entry to look for.
    if (finishedAt !== null)
      missing.set(`finished ${id}`, (finishedIndex) => records.update('run', { id }, { finishedIndex }));
  }
  for (let to = await ledger.size(); to > 0 && missing.size > 0; to -= STEP) {
    for await (const { index, type, predicate } of ledger.entries(Math.max(0, to - STEP), to)) {
      const id = predicate['id'];
      if (typeof id !== 'string') continue;
      const key = type === 'run' ? `${predicate['phase'] as string} ${id}` : `${type} ${id}`;
      await missing.get(key)?.(index);
      missing.delete(key);
    }
  }
}

async function unindexed<K extends 'push' | 'decision' | 'drift' | 'fault' | 'approval' | 'exception' | 'protection'>(
  records: Records,
  table: K,
): Promise<Tables[K][]> {
  return await records.find(table, { index: null } as Partial<Tables[K]>);
}
