import { diffObjects } from '../cluster/diff.js';
import { identityKey, type ManifestObject } from '../cluster/object.js';
import type { ObjectChange } from './proposed-change.js';

/** What turns one set of objects into another, by identity; sorted by identity, so that files and their order do not matter. */
export function objectChanges(before: readonly ManifestObject[], after: readonly ManifestObject[]): ObjectChange[] {
  const old = new Map(before.map((entry) => [identityKey(entry.identity), entry]));
  const changes: [string, ObjectChange][] = [];
  for (const entry of after) {
    const key = identityKey(entry.identity);
    const change = changeOf(old.get(key) ?? null, entry);
    if (change) changes.push([key, change]);
    old.delete(key);
  }
  for (const [key, entry] of old) changes.push([key, changeOf(entry, null)!]);
  return changes.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, change]) => change);
}

/** null if both are equal. A new version of the same API group is a change like any other: it is in the patch. */
export function changeOf(before: ManifestObject | null, after: ManifestObject | null): ObjectChange | null {
  if (before && after) {
    // Objects from one blob are one object: the cache sees to that.
    if (before.object === after.object) return null;
    const patch = diffObjects(before.object, after.object);
    if (patch.length === 0) return null;
    return {
      op: 'update',
      identity: after.identity,
      before: before.object,
      after: after.object,
      patch,
      source: after.source,
    };
  }
  if (after)
    return {
      op: 'create',
      identity: after.identity,
      before: null,
      after: after.object,
      patch: [],
      source: after.source,
    };
  if (before)
    return {
      op: 'delete',
      identity: before.identity,
      before: before.object,
      after: null,
      patch: [],
      source: before.source,
    };
  return null;
}
