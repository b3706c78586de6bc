import { serverMetadata } from '../cluster/manifest-of.js';
import { jsonEqual } from '../cluster/diff.js';
import { isJsonObject, type Json, type KubernetesObject } from '../cluster/object.js';
import { attribute, type Attribution } from '../reconcile/attribution.js';
import type { LiveObject } from '../reconcile/cluster.js';
import { asServed, manifestAt, owns, type FieldDifference } from '../reconcile/drift.js';
import {
  formatPath,
  isSet,
  itemOf,
  listKeys,
  managedFieldsOf,
  member,
  union,
  valueAt,
  type FieldTree,
  type Step,
} from '../reconcile/managed-fields.js';
import { ownAnnotations, PART_OF } from '../reconcile/own-metadata.js';

/** What one allowed change made of an object; redacted. null: it deleted it. */
export type Version = KubernetesObject | null;

/** Where the value of one field comes from. */
export type FieldOrigin =
  /** The change of that position among the versions made it so, and none since has changed it. */
  | { readonly by: 'git'; readonly version: number }
  /** What Countersign itself writes into each object. */
  | { readonly by: 'countersign' }
  /** Somebody else; `differs` where it is not as approved, rather than nobody's business here. */
  | { readonly by: 'outside'; readonly attribution: Attribution; readonly differs: boolean }
  /** Nobody sent it: a default, or what the API server keeps itself. */
  | { readonly by: 'server' };

export interface BlamedField {
  readonly path: readonly Step[];
  /** Redacted; undefined for what was taken away. */
  readonly value: Json | undefined;
  readonly origin: FieldOrigin;
}

export interface BlameInput {
  readonly live: LiveObject;
  /** The same, redacted. */
  readonly shown: KubernetesObject;
  /** What is sent for it; null where nothing is approved for it right now. */
  readonly sent: KubernetesObject | null;
  /** In which it is not as approved. */
  readonly differences: readonly FieldDifference[];
  /** Newest first; the first is what is approved. */
  readonly versions: readonly Version[];
}

/** What the API server keeps in every object, whoever writes it. */
const bookkeeping = new Set<string>([...serverMetadata, 'name', 'namespace']);

/** Every field of a live object with where its value comes from. Pure. */
export function blame({ live, shown, sent, differences, versions }: BlameInput): BlamedField[] {
  const managers = managedFieldsOf(live);
  const tree = union(managers.map(({ fields }) => fields));
  const served = versions.map((version) => version && asServed(version));
  const outside = (difference: FieldDifference): FieldOrigin => ({
    by: 'outside',
    attribution: attribute(live, [difference]),
    differs: true,
  });
  const originOf = (path: readonly Step[]): FieldOrigin => {
    const difference = differences.find(({ type, path: of }) => type !== 'removed' && touches(of, path));
    if (difference) return outside(difference);
    if (isOwn(path)) return { by: 'countersign' };
    const version = sinceWhen(path, served);
    if (version !== null) return { by: 'git', version };
    // Approved, and no allowed change of it is known: of the oldest that is.
    if (sent && manifestAt(asServed(sent), path) !== undefined && served.length > 0)
      return { by: 'git', version: served.length - 1 };
    if (!managers.some(({ fields }) => owns(fields, path))) return { by: 'server' };
    const value = valueAt(live, path);
    const attribution = attribute(live, [{ type: 'added', path, desired: undefined, live: value }]);
    return attribution.strength === 'none' ? { by: 'server' } : { by: 'outside', attribution, differs: false };
  };
  const fields = leavesOf(live, tree).map((path) => ({ path, value: valueAt(shown, path), origin: originOf(path) }));
  const removed = differences
    .filter(({ type }) => type === 'removed')
    .map((difference) => ({ path: difference.path, value: undefined, origin: outside(difference) }));
  return [...fields, ...removed];
}

/** The version from which on a field has had its value; null if the newest does not have it. Pure. */
export function sinceWhen(path: readonly Step[], versions: readonly Version[]): number | null {
  const [newest] = versions;
  const value = newest ? manifestAt(newest, path) : undefined;
  if (value === undefined) return null;
  let since = 0;
  for (const [i, version] of versions.entries()) {
    const before = version ? manifestAt(version, path) : undefined;
    if (before === undefined || !jsonEqual(before, value)) break;
    since = i;
  }
  return since;
}

function leavesOf(live: LiveObject, root: FieldTree): Step[][] {
  const found: Step[][] = [];
  const walk = (value: Json, tree: FieldTree | undefined, path: Step[]): void => {
    const keys = listKeys(tree);
    if (isJsonObject(value) && Object.keys(value).length > 0) {
      for (const [name, inside] of Object.entries(value)) {
        if (path.length === 0 && (name === 'apiVersion' || name === 'kind')) continue;
        if (path.length === 1 && path[0] === 'metadata' && bookkeeping.has(name)) continue;
        walk(inside, member(tree, name), [...path, name]);
      }
    } else if (Array.isArray(value) && keys) {
      for (const item of value as readonly Json[]) {
        if (!isJsonObject(item)) continue;
        const key = Object.fromEntries(keys.filter((name) => name in item).map((name) => [name, item[name]]));
        walk(item, itemOf(tree, item), [...path, { key }]);
      }
    } else if (Array.isArray(value) && isSet(tree)) {
      for (const item of value as readonly Json[]) found.push([...path, { value: item }]);
    } else if (path.length > 0) found.push(path);
  };
  walk(live, root, []);
  return found;
}

/** True if one of the two is the other, or in it. */
function touches(one: readonly Step[], other: readonly Step[]): boolean {
  const length = Math.min(one.length, other.length);
  return formatPath(one.slice(0, length)) === formatPath(other.slice(0, length));
}

function isOwn(path: readonly Step[]): boolean {
  const [first, second, name] = path;
  if (first !== 'metadata') return false;
  return (second === 'annotations' && ownAnnotations.some((own) => own === name)) || (second === 'labels' && name === PART_OF); // prettier-ignore
}
