import type { Ledger } from '../audit/ledger.js';
import type { CommitWithFiles, HistoryRange, Repository } from '../source/repository.js';
import type { CommitRecord, Records } from './records.js';

/** Commits, and files of theirs, that one transaction records: bounds its memory and how long it holds others up. */
const COMMITS = 500;
const FILES = 20_000;

interface IngestParts {
  readonly ledger: Ledger;
  readonly records: Records;
  readonly reader: Repository;
  /** The name that commits are recorded under. */
  readonly repository: string;
}

/**
 * Records the commits of a range that are not recorded yet, oldest first, a batch a transaction; resolves to how many the range
 * has. A process killed on the way finds its batches there and goes on after them. What is recorded stays as it is: a commit that
 * comes back after it was thrown away was still first seen when it was (invariant 6).
 */
export async function ingestCommits(
  range: HistoryRange,
  { ledger, records, reader, repository }: IngestParts,
  toRecord: (seen: CommitWithFiles) => CommitRecord,
): Promise<number> {
  let count = 0;
  for await (const batch of batches(reader.history(range))) {
    count += batch.length;
    const ids = batch.map(({ commit }) => commit.id);
    const known = new Set((await records.find('commit', { repository, id: ids })).map(({ id }) => id));
    const rows = batch.filter(({ commit }) => !known.has(commit.id)).map(toRecord);
    if (rows.length > 0) await ledger.record((transaction) => records.save(transaction, 'commit', rows));
  }
  return count;
}

/** Goes through what is recorded of these histories, a batch at a time, and records anew what `change` gives back. */
export async function changeCommits(
  heads: readonly string[],
  { ledger, records, reader, repository }: IngestParts,
  change: (record: CommitRecord) => Promise<CommitRecord | undefined>,
): Promise<void> {
  const done: string[] = [];
  for (const head of heads) {
    for await (const batch of batches(reader.history({ head, exclude: done }))) {
      const ids = batch.map(({ commit }) => commit.id);
      const rows: CommitRecord[] = [];
      for (const record of await records.find('commit', { repository, id: ids })) {
        const changed = await change(record);
        if (changed) rows.push(changed);
      }
      if (rows.length > 0) await ledger.record((transaction) => records.save(transaction, 'commit', rows));
    }
    done.push(head);
  }
}

async function* batches(history: AsyncIterable<CommitWithFiles>): AsyncGenerator<CommitWithFiles[]> {
  let batch: CommitWithFiles[] = [];
  let files = 0;
  for await (const one of history) {
    batch.push(one);
    files += one.files.length;
    if (batch.length < COMMITS && files < FILES) continue;
    yield batch;
    batch = [];
    files = 0;
  }
  if (batch.length > 0) yield batch;
}
