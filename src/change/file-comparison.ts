import type { CountersignError } from '../errors.js';
import type { CommitWithFiles, FileChange, Repository } from '../source/repository.js';
import { fileChanges, type FilePair } from './file-pairs.js';
import type { ManifestCache } from './manifest-cache.js';
import { isManifestPath, isOwnerFile, SUBMODULE, SYMLINK } from './manifest-files.js';
import type { ObjectChange } from './proposed-change.js';
import { RenderedHistory, type RenderedStep } from './rendered-history.js';

/** What a commit did to the objects that are written in its files. */
export interface FileEffects {
  /** Against the first parent. */
  readonly changes: readonly ObjectChange[];
  /** Versions of files that came with the commit and could not be read. */
  readonly unreadable: readonly CountersignError[];
  /** What these take in memory, estimated by the text that they were read from. */
  readonly bytes: number;
}

const NOTHING: FileEffects = { changes: [], unreadable: [], bytes: 0 };

/**
 * Reads the files of commits and compares their versions. Commits are given in the order of their history, many before the first is
 * answered. Faults of files are in the answer; faults of the repository are thrown. In this thread: handing effects over from another one
 * cost half as much CPU again as it spared (test/bench/ingest.bench.ts).
 */
export class FileComparison {
  readonly #repository: Pick<Repository, 'blob'>;
  readonly #cache: ManifestCache;
  readonly #rendered: RenderedHistory | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** Where the cache renders folders, what they give takes the place of the files that they read. */
  constructor(repository: Repository, cache: ManifestCache) {
    this.#repository = repository;
    this.#cache = cache;
    this.#rendered = cache.folders && new RenderedHistory(repository, cache, cache.folders);
  }

  async compare(at: CommitWithFiles): Promise<FileEffects> {
    if (!this.#rendered) {
      const files = comparedFiles(at.files);
      return files.length === 0 ? NOTHING : effects(await this.readPairs(files));
    }
    const step = await this.render(this.#rendered, at);
    const rest = comparedFiles(at.files.filter(({ path }) => !step.owned(path)));
    return effects([...(await this.readPairs(rest)), ...step.pairs]);
  }

  /** One after the other: each starts from what the commit before it found. */
  private render(rendered: RenderedHistory, at: CommitWithFiles): Promise<RenderedStep> {
    const step = this.#last.then(() => rendered.step(at));
    this.#last = step.catch(() => undefined);
    return step;
  }

  private async readPairs(files: readonly FileChange[]): Promise<FilePair[]> {
    const read = (path: string, id: string | undefined, mode: string | undefined, earlier?: string) => {
      if (id === undefined || mode === SYMLINK || mode === SUBMODULE) return null;
      const version = earlier === undefined ? undefined : { path, id: earlier };
      return this.#cache.read(this.#repository, { path, id }, undefined, version);
    };
    // All are asked for before the first is waited for.
    const asked = files.map(({ path, op, id, mode, oldId, oldMode }) => {
      const gone = op === 'delete';
      const before = read(path, gone ? id : oldId, gone ? mode : oldMode);
      return { before, after: gone ? null : read(path, id, mode, before ? oldId : undefined) };
    });
    for (const { before, after } of asked) for (const one of [before, after]) if (one instanceof Promise) one.catch(() => undefined); // prettier-ignore
    const pairs: FilePair[] = [];
    for (const { before, after } of asked) {
      pairs.push({
        before: before instanceof Promise ? await before : before,
        after: after instanceof Promise ? await after : after,
      });
    }
    return pairs;
  }
}

/** Those of a commit's files whose objects are compared. */
export function comparedFiles(files: readonly FileChange[]): FileChange[] {
  return files.filter(({ path, mode }) => isManifestPath(path) && !isOwnerFile(path) && mode !== SUBMODULE);
}

function effects(pairs: readonly FilePair[]): FileEffects {
  const bytes = pairs.reduce((sum, { before, after }) => sum + (before?.bytes ?? 0) + (after?.bytes ?? 0), 0);
  return { changes: fileChanges(pairs), unreadable: pairs.flatMap(({ after }) => after?.problems ?? []), bytes };
}
