import { identityKey, type ManifestObject } from '../cluster/object.js';
import type { CountersignError } from '../errors.js';
import type { CommitWithFiles, FileChange, HistoryRange, Repository } from '../source/repository.js';
import type { ManifestCache, ReadFile } from './manifest-cache.js';
import { isManifestPath, isOwnerFile, SUBMODULE, SYMLINK } from './manifest-files.js';
import { changeOf } from './object-changes.js';
import type { ObjectChange } from './proposed-change.js';
import { RenderedHistory, type RenderedStep } from './rendered-history.js';

/** One commit of a history with what it did to the objects that are written in its files. */
export interface HistoryStep extends CommitWithFiles {
  /** Against the first parent. Files are read as they are written, unless the cache renders folders. */
  readonly changes: readonly ObjectChange[];
  /** Versions of files that came with this commit and could not be read. */
  readonly unreadable: readonly CountersignError[];
}

/** Commits whose files are being read ahead of the one that is looked at … */
const WINDOW_COMMITS = 256;
/** … and bytes of their files, so that a repository of huge files needs no more memory than another. */
const WINDOW_BYTES = 24 * 1024 * 1024;

interface Ahead {
  readonly at: CommitWithFiles;
  readonly files: Promise<readonly FilePair[]>;
  readonly own: { bytes: number };
}

interface FilePair {
  readonly before: ReadFile | null;
  readonly after: ReadFile | null;
}

/**
 * Walks a history, oldest first, in time that grows with the files that changed. Without configuration nobody knows which files
 * deploy together, so an object's identity includes its file; one that moved to another file in one commit is still itself.
 * Files of Kustomize and Helm that only say how to render are passed over; where the cache renders folders, what they give
 * takes the place of the files that they read.
 */
export async function* walkHistory(
  repository: Repository,
  range: HistoryRange,
  cache: ManifestCache,
): AsyncGenerator<HistoryStep> {
  const window: Ahead[] = [];
  const held = { bytes: 0 };
  const rendered = cache.folders && new RenderedHistory(repository, cache, cache.folders);
  let last: Promise<unknown> = Promise.resolve();
  const next = async (): Promise<HistoryStep> => {
    const { at, files, own } = window.shift()!;
    const pairs = await files;
    held.bytes -= own.bytes;
    return { ...at, changes: fileChanges(pairs), unreadable: pairs.flatMap(({ after }) => after?.problems ?? []) };
  };
  for await (const at of repository.history(range)) {
    const own = { bytes: 0 };
    const count = (bytes: number) => {
      own.bytes += bytes;
      held.bytes += bytes;
    };
    // One after the other: each starts from what the commit before it found.
    const step: Promise<RenderedStep> | undefined = rendered && last.then(() => rendered.step(at));
    if (step) last = step.catch(() => undefined);
    const files = step
      ? step.then(async ({ pairs, owned }) => [
          ...(await readPairs(
            repository,
            at.files.filter(({ path }) => !owned(path)),
            cache,
            count,
          )),
          ...pairs,
        ])
      : readPairs(repository, at.files, cache, count);
    // Awaited in its turn; a fault must not be taken for one that nobody handles until then.
    files.catch(() => undefined);
    window.push({ at, files, own });
    if (window.length < WINDOW_COMMITS && held.bytes <= WINDOW_BYTES) continue;
    // Half of it at once: what is asked for together goes to git and to the parser in one message, and waking them is what costs.
    while (window.length > 0 && (window.length > WINDOW_COMMITS / 2 || held.bytes > WINDOW_BYTES / 2))
      yield await next();
  }
  while (window.length > 0) yield await next();
}

async function readPairs(
  repository: Repository,
  files: readonly FileChange[],
  cache: ManifestCache,
  count: (bytes: number) => void,
): Promise<FilePair[]> {
  const wanted = files.filter(({ path, mode }) => isManifestPath(path) && !isOwnerFile(path) && mode !== SUBMODULE);
  const read = async (path: string, id: string | undefined, mode: string | undefined) => {
    if (id === undefined || mode === SYMLINK || mode === SUBMODULE) return null;
    const file = await cache.read(repository, { path, id });
    count(file.bytes);
    return file;
  };
  return Promise.all(
    wanted.map(async ({ path, op, id, mode, oldId, oldMode }) => {
      const gone = op === 'delete';
      const [before, after] = await Promise.all([
        read(path, gone ? id : oldId, gone ? mode : oldMode),
        read(path, gone ? undefined : id, mode),
      ]);
      return { before, after };
    }),
  );
}

function fileChanges(pairs: readonly FilePair[]): ObjectChange[] {
  const changes: ObjectChange[] = [];
  const created: ManifestObject[] = [];
  const deleted: ManifestObject[] = [];
  for (const { before, after } of pairs) {
    // What cannot be read tells nothing about its objects, so none is taken for deleted; once it can be read again all of them
    // are new, or a broken commit would be a way around being judged.
    if (after?.problems.length) continue;
    const [left, right] = withoutCommonEnds(before?.objects ?? [], after?.objects ?? []);
    const old = byIdentity(left);
    for (const [key, entry] of byIdentity(right)) {
      const was = old.get(key);
      old.delete(key);
      if (!was) created.push(entry);
      else push(changes, changeOf(was, entry));
    }
    deleted.push(...old.values());
  }
  const gone = onlyOnes(deleted);
  const come = onlyOnes(created);
  for (const entry of created) {
    const key = identityKey(entry.identity);
    const from = come.has(key) ? gone.get(key) : undefined;
    if (from) gone.delete(key);
    push(changes, changeOf(from ?? null, entry));
  }
  const moved = new Set([...onlyOnes(deleted)].filter(([key]) => !gone.has(key)).map(([, entry]) => entry));
  for (const entry of deleted) if (!moved.has(entry)) push(changes, changeOf(entry, null));
  return changes;
}

function push(changes: ObjectChange[], change: ObjectChange | null): void {
  if (change) changes.push(change);
}

/** Versions of a file share the objects that stayed as they were: most commits leave one or two in the middle. */
function withoutCommonEnds(
  before: readonly ManifestObject[],
  after: readonly ManifestObject[],
): readonly [readonly ManifestObject[], readonly ManifestObject[]] {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head].object === after[head].object) head++;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail)!.object === after.at(-1 - tail)!.object) tail++;
  return [before.slice(head, before.length - tail), after.slice(head, after.length - tail)];
}

/** Of several with one identity in one file, each is another object: the second is told apart by its place in the file. */
function byIdentity(entries: readonly ManifestObject[]): Map<string, ManifestObject> {
  const objects = new Map<string, ManifestObject>();
  for (const entry of entries) {
    const key = identityKey(entry.identity);
    let name = key;
    for (let n = 2; objects.has(name); n++) name = `${key}#${n}`;
    objects.set(name, entry);
  }
  return objects;
}

/** By identity, those whose identity no other of them has. */
function onlyOnes(entries: readonly ManifestObject[]): Map<string, ManifestObject> {
  const found = new Map<string, ManifestObject>();
  const several = new Set<string>();
  for (const entry of entries) {
    const key = identityKey(entry.identity);
    if (found.has(key)) several.add(key);
    found.set(key, entry);
  }
  for (const key of several) found.delete(key);
  return found;
}
