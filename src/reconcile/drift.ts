import { escapePointer, jsonEqual, type JsonPatchOperation } from '../cluster/diff.js';
import { isJsonObject, type Json, type JsonObject, type KubernetesObject } from '../cluster/object.js';
import { FIELD_MANAGER, type LiveObject } from './cluster.js';
import {
  formatPath,
  hasKey,
  isSet,
  itemOf,
  listKeys,
  managedFieldsOf,
  member,
  stepOf,
  union,
  valueAt,
  type FieldTree,
  type ManagedFields,
  type Step,
} from './managed-fields.js';

/** One field that is not as approved. Values are not redacted here. */
export interface FieldDifference {
  /** `added`: somebody put it beside what we set. */
  readonly type: 'changed' | 'removed' | 'added';
  readonly path: readonly Step[];
  readonly desired: Json | undefined;
  readonly live: Json | undefined;
}

export interface Comparison {
  readonly differences: readonly FieldDifference[];
  /**
   * True where a difference may only be the server's way of writing the same value ("0.5" cpu as "500m"), which cannot be told
   * without knowing what the server makes of it: ask by a dry run, and compare again with its answer as `expected`.
   */
  readonly uncertain: boolean;
}

/**
 * Compares a live object with what we send for it, as server-side apply would: defaults that we do not set are no difference,
 * lists that the server merges by key are compared by key (the keys are read from managed fields). `expected` is the server's own
 * answer to applying exactly `desired`, where that is known: then a field differs if it is not as in that answer.
 * What others added inside of what we set is found by its manager's fields.
 */
export function compare(desired: KubernetesObject, live: LiveObject, expected?: LiveObject): Comparison {
  const managers = managedFieldsOf(live);
  const walk = new Walk(union(managers.map(({ fields }) => fields)), expected !== undefined);
  const wanted = asServed(desired);
  walk.value(wanted, live, expected, walk.root, []);
  const added = additions(wanted, live, managers, expected);
  return { differences: [...walk.found, ...added.differences], uncertain: walk.uncertain || added.uncertain };
}

/** Operations that take away what others added; what server-side apply cannot do, as it touches no one else's fields. */
export function removals(live: LiveObject, differences: readonly FieldDifference[]): JsonPatchOperation[] {
  const paths = differences
    .filter(({ type }) => type === 'added')
    .map(({ path }) => pointer(live, path))
    .filter((path) => path !== null);
  // From the end, so that taking one item out of a list does not move the next one.
  return paths.toSorted(comparePointers).map((path) => ({ op: 'remove', path }));
}

class Walk {
  readonly found: FieldDifference[] = [];
  uncertain = false;

  constructor(
    readonly root: FieldTree,
    private readonly certain: boolean,
  ) {}

  value(d: Json, l: Json | undefined, e: Json | undefined, tree: FieldTree | undefined, path: readonly Step[]): void {
    if (d === null) return; // in server-side apply a null is a field left to the server
    if (this.certain && e === undefined) return; // the server itself dropped it: a field that the kind does not have
    if (isJsonObject(d)) return this.object(d, l, e, tree, path);
    if (Array.isArray(d)) return this.list(d as readonly Json[], l, e, tree, path);
    this.leaf(d, l, e, path);
  }

  private object(
    d: JsonObject,
    l: Json | undefined,
    e: Json | undefined,
    tree: FieldTree | undefined,
    path: readonly Step[],
  ): void {
    if (!isJsonObject(l)) return this.leaf(d, l, e, path);
    for (const [name, value] of Object.entries(d)) {
      const inside = isJsonObject(e) && Object.hasOwn(e, name) ? e[name] : undefined;
      this.value(value, Object.hasOwn(l, name) ? l[name] : undefined, inside, member(tree, name), [...path, name]);
    }
  }

  private list(
    d: readonly Json[],
    l: Json | undefined,
    e: Json | undefined,
    tree: FieldTree | undefined,
    path: readonly Step[],
  ): void {
    if (!Array.isArray(l)) return this.leaf(d, l, e, path);
    const items = l as readonly Json[];
    const keys = listKeys(tree);
    if (keys) {
      for (const item of d) {
        const at = isJsonObject(item) ? keyOf(item, keys, items) : null;
        if (at === null) return this.leaf(d, l, e, path);
        const found = items.find((candidate) => hasKey(candidate, at));
        this.value(
          item,
          found,
          valueAt(e, [{ key: at }]),
          found && isJsonObject(found) ? itemOf(tree, found) : undefined,
          [...path, { key: at }],
        );
      }
    } else if (isSet(tree)) {
      for (const item of d)
        if (!items.includes(item))
          this.found.push({ type: 'removed', path: [...path, { value: item }], desired: item, live: undefined });
    } else this.leaf(d, l, e, path);
  }

  /** A scalar, an atomic list, or a value of another type than ours. */
  private leaf(d: Json, l: Json | undefined, e: Json | undefined, path: readonly Step[]): void {
    if (this.certain ? l !== undefined && jsonEqual(l, e!) : l !== undefined && covers(d, l)) return;
    if (!this.certain) {
      if (l === undefined && isEmpty(d)) return;
      this.uncertain = true;
    }
    this.found.push({ type: l === undefined ? 'removed' : 'changed', path, desired: this.certain ? e : d, live: l });
  }
}

/** True if `l` is `d` with nothing but more members in its objects, as defaults are. */
function covers(d: Json, l: Json): boolean {
  if (Array.isArray(d)) {
    return (
      Array.isArray(l) && d.length === l.length && d.every((item: Json, i) => covers(item, (l as readonly Json[])[i]))
    );
  }
  if (isJsonObject(d)) {
    return (
      isJsonObject(l) &&
      Object.entries(d).every(([key, value]) => value === null || (Object.hasOwn(l, key) && covers(value, l[key])))
    );
  }
  return d === l;
}

const isEmpty = (value: Json): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

/** The key of one of our items; a member that we leave out is taken from the live item that has all the others. */
function keyOf(item: JsonObject, keys: readonly string[], items: readonly Json[]): JsonObject | null {
  const given = Object.fromEntries(keys.filter((name) => Object.hasOwn(item, name)).map((name) => [name, item[name]]));
  const missing = keys.filter((name) => !Object.hasOwn(item, name));
  if (missing.length === keys.length) return null;
  if (missing.length === 0) return given;
  const usual: JsonObject = {
    ...given,
    ...Object.fromEntries(missing.filter((n) => n === 'protocol').map((n) => [n, 'TCP'])),
  };
  const match =
    items.find((candidate) => hasKey(candidate, usual)) ?? items.find((candidate) => hasKey(candidate, given));
  if (!isJsonObject(match)) return usual;
  return { ...given, ...Object.fromEntries(missing.filter((n) => Object.hasOwn(match, n)).map((n) => [n, match[n]])) };
}

/** What the API server, or a controller of Kubernetes' own, turns into something else before anybody can read it. */
export function asServed(desired: KubernetesObject): KubernetesObject {
  if (desired.kind === 'ClusterRole' && isAggregated(desired)) {
    const { rules: _gathered, ...rest } = desired;
    return rest;
  }
  const { stringData, ...rest } = desired;
  if (desired.kind !== 'Secret' || desired.apiVersion !== 'v1' || !isJsonObject(stringData)) return desired;
  const encoded = Object.entries(stringData).map(([key, value]) => [
    key,
    typeof value === 'string' ? Buffer.from(value).toString('base64') : value,
  ]);
  const data: JsonObject = {
    ...(isJsonObject(rest['data']) ? rest['data'] : {}),
    ...(Object.fromEntries(encoded) as JsonObject),
  };
  return { ...rest, data };
}

/** The rules of such a role are gathered from others by a controller. */
const isAggregated = (role: KubernetesObject): boolean => isJsonObject(role['aggregationRule']);

/**
 * What is in the live object inside of what we set, though we do not set it. Every manager's fields are looked at, ours too: anybody
 * may write under our name. What admission webhooks put into our own request is in `expected` under our name, and stays.
 */
function additions(
  desired: KubernetesObject,
  live: LiveObject,
  managers: readonly ManagedFields[],
  expected: LiveObject | undefined,
): Comparison {
  const found = new Map<string, FieldDifference>();
  let uncertain = false;
  const add = (path: readonly Step[], value: Json): void => {
    found.set(formatPath(path), { type: 'added', path, desired: undefined, live: value });
  };
  const walk = (tree: FieldTree, foreign: boolean, d: Json, path: readonly Step[]): void => {
    for (const [key, child] of tree.children) {
      const step = stepOf(key);
      if (step === null) continue;
      const at = [...path, step];
      if (path.length < 2 && !isJudged(at)) continue;
      // Where we set no labels or annotations, others' are still told one by one.
      const inside = inDesired(d, step) ?? (at.length === 2 && at[0] === 'metadata' ? {} : undefined);
      const value = valueAt(live, at);
      if (value === undefined) continue;
      if (inside === undefined) add(at, value);
      else if (child.children.size > 0) walk(child, foreign, inside, at);
      else if (foreign && isJsonObject(inside) && isJsonObject(value)) {
        // A map that is owned as one: whoever wrote it may have put members beside ours, or the server its defaults.
        uncertain ||= expected === undefined;
        for (const name of Object.keys(value)) {
          const there = valueAt(expected, [...at, name]);
          if (!Object.hasOwn(inside, name) && !(there !== undefined && jsonEqual(there, value[name]))) {
            add([...at, name], value[name]);
          }
        }
      } else if (foreign && Array.isArray(inside)) uncertain ||= expected === undefined;
    }
  };
  for (const { manager, operation, subresource, fields } of managers) {
    const ours = manager === FIELD_MANAGER && operation === 'Apply';
    if (subresource === '') walk(fields, !ours, desired, []);
  }
  // After a restart nobody remembers our last answer: what stands under our own name is then taken for admission's.
  const remembered = expected ?? live;
  const admitted = additionsByAdmission(remembered);
  const differences = [...found.values()].filter(
    ({ path, live: value }) =>
      !isControllers(desired, path) &&
      !admitted.some((tree) => owns(tree, path) && jsonEqual(valueAt(remembered, path) ?? null, value ?? null)),
  );
  return { differences, uncertain };
}

const additionsByAdmission = (expected: LiveObject): FieldTree[] =>
  managedFieldsOf(expected)
    .filter(
      ({ manager, operation, subresource }) =>
        manager === FIELD_MANAGER && operation === 'Update' && subresource === '',
    )
    .map(({ fields }) => fields);

/** True if the manager of these fields owns the field, something in it, or what it is in. */
export function owns(tree: FieldTree, path: readonly Step[]): boolean {
  let here: FieldTree = tree;
  for (const step of path) {
    const name = formatPath([step]);
    const child = [...here.children].find(([key]) => {
      const other = stepOf(key);
      return other !== null && typeof other === typeof step && formatPath([other]) === name;
    })?.[1];
    // A leaf of the tree above the field: an atomic list or map that holds it.
    if (!child) return here !== tree && here.children.size === 0;
    here = child;
  }
  return true;
}

/** A field of a live object in what its manifest says, where items of lists may name less of their keys. */
export function manifestAt(manifest: Json, path: readonly Step[]): Json | undefined {
  let here: Json | undefined = manifest;
  for (const step of path) here = here === undefined ? undefined : inDesired(here, step);
  return here;
}

function inDesired(d: Json, step: Step): Json | undefined {
  if (typeof step === 'string' || typeof step === 'number') return valueAt(d, [step]);
  if (!Array.isArray(d)) return undefined;
  const items = d as readonly Json[];
  if ('value' in step) return items.find((item) => item === step.value);
  // Ours may leave out a part of the key that the server fills in.
  return items.find(
    (item) =>
      isJsonObject(item) &&
      Object.entries(step.key).every(([name, value]) => !Object.hasOwn(item, name) || item[name] === value),
  );
}

/** True if nothing but what controllers write into an object as part of their work is different. */
export function sameButStatus(a: LiveObject, b: LiveObject): boolean {
  return a.metadata.uid === b.metadata.uid && jsonEqual(withoutStatus(a), withoutStatus(b));
}

function withoutStatus(live: LiveObject): JsonObject {
  const { status: _status, metadata, ...rest } = live;
  const { resourceVersion: _version, managedFields: _fields, annotations, ...others } = metadata;
  const kept = Object.entries(isJsonObject(annotations) ? annotations : {}).filter(
    ([name]) => !isControllers(live, ['metadata', 'annotations', name]),
  );
  return { ...rest, metadata: { ...others, annotations: Object.fromEntries(kept) } };
}

/** Of an object's own metadata only labels and annotations are judged; status never. */
function isJudged([first, second]: readonly Step[]): boolean {
  if (first === 'status' || first === 'apiVersion' || first === 'kind') return false;
  return first !== 'metadata' || second === undefined || second === 'labels' || second === 'annotations';
}

/** What Kubernetes' own controllers write beside the desired state as part of their work, whoever it says it was. */
function isControllers(desired: KubernetesObject, path: readonly Step[]): boolean {
  const text = formatPath(path);
  if (desired.kind === 'ClusterRole' && isAggregated(desired) && text === 'rules') return true;
  return controllers.some(([kind, pattern]) => (kind === '*' || kind === desired.kind) && pattern.test(text));
}

const controllers: readonly (readonly [string, RegExp])[] = [
  [
    '*',
    /^metadata\.annotations\["(deployment|batch|cronjob|endpoints|pv|volume(\.beta)?|autoscaling\.alpha)\.kubernetes\.io\//,
  ],
  ['Namespace', /^spec|^metadata\.labels\["kubernetes\.io\/metadata\.name"\]/],
  ['PersistentVolumeClaim', /^spec\.(volumeName|volumeMode|storageClassName)$/],
  ['PersistentVolume', /^spec\.claimRef/],
  ['ServiceAccount', /^(secrets|imagePullSecrets)/],
  ['MutatingWebhookConfiguration', /\.clientConfig\.caBundle$/],
  ['ValidatingWebhookConfiguration', /\.clientConfig\.caBundle$/],
  ['CustomResourceDefinition', /\.clientConfig\.caBundle$/],
  ['APIService', /^spec\.caBundle$/],
];

/** RFC 6901, list items by their present index; null if it is not there any more. */
function pointer(live: LiveObject, path: readonly Step[]): string | null {
  let out = '';
  let here: Json | undefined = live;
  for (const step of path) {
    if (typeof step === 'string') out += `/${escapePointer(step)}`;
    else {
      if (!Array.isArray(here)) return null;
      const index =
        typeof step === 'number'
          ? step
          : (here as readonly Json[]).findIndex((item) =>
              'key' in step ? hasKey(item, step.key) : item === step.value,
            );
      if (index < 0) return null;
      out += `/${index}`;
    }
    here = valueAt(here, [step]);
  }
  return here === undefined ? null : out;
}

function comparePointers(a: string, b: string): number {
  return b.localeCompare(a, 'en', { numeric: true });
}
