import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';

/** One step to a field: a member, or an item of a list that is known by some of its own members or by its value. */
export type Step = string | { readonly key: JsonObject } | { readonly value: Json } | number;

/** The fields of one manager, or of all: members by name, list items by their `k:` and `v:` keys as the server writes them. */
export interface FieldTree {
  readonly children: ReadonlyMap<string, FieldTree>;
}

export interface ManagedFields {
  readonly manager: string;
  readonly operation: string;
  readonly subresource: string;
  /** RFC 3339; '' where the server gave none. */
  readonly time: string;
  readonly fields: FieldTree;
}

/** `metadata.managedFields` in FieldsV1, the form of structured-merge-diff. What cannot be read is left out: it is only a hint. */
export function managedFieldsOf(live: JsonObject): ManagedFields[] {
  const metadata = live['metadata'];
  const entries = isJsonObject(metadata) ? metadata['managedFields'] : undefined;
  if (!Array.isArray(entries)) return [];
  return (entries as readonly Json[]).filter(isJsonObject).map((entry) => ({
    manager: text(entry['manager']),
    operation: text(entry['operation']),
    subresource: text(entry['subresource']),
    time: text(entry['time']),
    fields: treeOf(entry['fieldsV1'] ?? {}),
  }));
}

function treeOf(fields: Json): FieldTree {
  const children = new Map<string, FieldTree>();
  // '.' says that the parent itself is owned, too: nothing that a comparison needs.
  if (isJsonObject(fields))
    for (const [key, child] of Object.entries(fields)) if (key !== '.') children.set(key, treeOf(child));
  return { children };
}

/** Everything that any of the managers owns. */
export function union(trees: readonly FieldTree[]): FieldTree {
  const groups = new Map<string, FieldTree[]>();
  for (const tree of trees) {
    for (const [key, child] of tree.children) {
      const group = groups.get(key);
      if (group) group.push(child);
      else groups.set(key, [child]);
    }
  }
  return { children: new Map([...groups].map(([key, group]) => [key, group.length > 1 ? union(group) : group[0]])) };
}

export const member = (tree: FieldTree | undefined, name: string): FieldTree | undefined =>
  tree?.children.get(`f:${name}`);

/** How the server merges a list, as its field keys show: the names of the members that tell its items apart. */
export function listKeys(tree: FieldTree | undefined): readonly string[] | null {
  for (const key of tree?.children.keys() ?? []) if (key.startsWith('k:')) return Object.keys(parse(key.slice(2)));
  return null;
}

export function isSet(tree: FieldTree | undefined): boolean {
  for (const key of tree?.children.keys() ?? []) if (key.startsWith('v:')) return true;
  return false;
}

/** The subtree of one item of a list that is merged by key. */
export function itemOf(tree: FieldTree | undefined, item: JsonObject): FieldTree | undefined {
  for (const [key, child] of tree?.children ?? [])
    if (key.startsWith('k:') && hasKey(item, parse(key.slice(2)))) return child;
  return undefined;
}

/** A key of the tree as a step; null for what this version does not know. */
export function stepOf(key: string): Step | null {
  if (key.startsWith('f:')) return key.slice(2);
  if (key.startsWith('k:')) return { key: parse(key.slice(2)) };
  if (key.startsWith('v:')) return { value: parseAny(key.slice(2)) };
  return key.startsWith('i:') ? Number(key.slice(2)) : null;
}

export function hasKey(item: Json, key: JsonObject): boolean {
  return isJsonObject(item) && Object.entries(key).every(([name, value]) => item[name] === value);
}

/** `spec.template.spec.containers[name=cart].image`, as people point at a field. */
export function formatPath(path: readonly Step[]): string {
  let out = '';
  for (const step of path) {
    if (typeof step === 'string')
      out += /^[\w-]+$/.test(step) ? `${out ? '.' : ''}${step}` : `[${JSON.stringify(step)}]`;
    else if (typeof step === 'number') out += `[${step}]`;
    else if ('key' in step)
      out += `[${Object.entries(step.key)
        .map(([k, v]) => `${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`)
        .join(',')}]`;
    else out += `[=${JSON.stringify(step.value)}]`;
  }
  return out;
}

/** Goes down a value; undefined where there is no such field. */
export function valueAt(value: Json | undefined, path: readonly Step[]): Json | undefined {
  let here = value;
  for (const step of path) here = here === undefined ? undefined : down(here, step);
  return here;
}

function down(value: Json, step: Step): Json | undefined {
  if (typeof step === 'string') return isJsonObject(value) && Object.hasOwn(value, step) ? value[step] : undefined;
  if (!Array.isArray(value)) return undefined;
  const items = value as readonly Json[];
  if (typeof step === 'number') return items[step];
  return 'key' in step ? items.find((item) => hasKey(item, step.key)) : items.find((item) => item === step.value);
}

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

function parse(json: string): JsonObject {
  const value = parseAny(json);
  return isJsonObject(value) ? value : {};
}

function parseAny(json: string): Json {
  try {
    return JSON.parse(json) as Json;
  } catch {
    return null;
  }
}
