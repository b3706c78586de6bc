import type { CommitWithFiles, HistoryRange, Repository } from '../source/repository.js';
import { ahead } from './ahead.js';
import type { FileComparison, FileEffects } from './file-comparison.js';

/** One commit of a history with what it did to the objects that are written in its files. */
export interface HistoryStep extends CommitWithFiles, Omit<FileEffects, 'bytes'> {}

/** Commits whose files are being read ahead of the one that is looked at … */
const WINDOW_COMMITS = 512;
/** … and bytes of their files, so that a repository of huge files needs no more memory than another. */
const WINDOW_BYTES = 24 * 1024 * 1024;

/**
 * Walks a history, oldest first, in time that grows with the files that changed. Without configuration nobody knows which files
 * deploy together, so an object's identity includes its file; one that moved to another file in one commit is still itself.
 * Files of Kustomize and Helm that only say how to render are passed over; a comparer that renders folders puts what they give in
 * the place of the files that they read.
 */
export async function* walkHistory(
  repository: Pick<Repository, 'history'>,
  range: HistoryRange,
  comparer: FileComparison,
): AsyncGenerator<HistoryStep> {
  const steps = ahead(repository.history(range), (at) => comparer.compare(at), {
    items: WINDOW_COMMITS,
    bytes: WINDOW_BYTES,
  });
  for await (const { item, result } of steps) yield { ...item, changes: result.changes, unreadable: result.unreadable };
}
