import { identityKey, type ManifestObject } from '../cluster/object.js';
import type { ReadFile } from './manifest-cache.js';
import { changeOf } from './object-changes.js';
import type { ObjectChange } from './proposed-change.js';

/** One file before and after a commit; null where it is not, or is none that is read. */
export interface FilePair {
  readonly before: ReadFile | null;
  readonly after: ReadFile | null;
}

/** What a commit's files do to objects. One that moved to another file is still itself. */
export function fileChanges(pairs: readonly FilePair[]): ObjectChange[] {
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
  const moved = movedObjects(deleted, created);
  for (const entry of created) push(changes, changeOf(moved.get(entry) ?? null, entry));
  const kept = new Set(moved.values());
  for (const entry of deleted) if (!kept.has(entry)) push(changes, changeOf(entry, null));
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

/** Where each object that came to a file was before: in another file that lost it. Of several with one identity nobody knows which it was. */
function movedObjects(
  deleted: readonly ManifestObject[],
  created: readonly ManifestObject[],
): ReadonlyMap<ManifestObject, ManifestObject> {
  const moved = new Map<ManifestObject, ManifestObject>();
  // Most commits only bring objects, or only change some.
  if (deleted.length === 0 || created.length === 0) return moved;
  const gone = onlyOnes(deleted);
  for (const [key, entry] of onlyOnes(created)) {
    const from = gone.get(key);
    if (from) moved.set(entry, from);
  }
  return moved;
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
