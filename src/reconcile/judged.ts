import type { Environment } from '../change/environment.js';
import type { DriftMode, IgnoredDifferences, ObjectPattern } from '../change/reconcile-settings.js';
import { globMatcher } from '../change/glob.js';
import { parseJqPath, type Place } from '../cluster/jq-path.js';
import { isJsonObject, type Json, type KubernetesObject, type ObjectIdentity } from '../cluster/object.js';
import { jsonEqual } from '../cluster/diff.js';
import type { LiveObject } from './cluster.js';
import type { Directives } from './directives.js';
import { compare, type Comparison } from './drift.js';
import { hasKey, managedFieldsOf, stepOf, valueAt, type FieldTree, type Step } from './managed-fields.js';

/** What is compared: an object as it is sent, and what its manifest asks. */
export interface Judged {
  readonly identity: ObjectIdentity;
  readonly sent: KubernetesObject;
  readonly directives: Pick<Directives, 'apply'>;
}

const none: Comparison = { differences: [], uncertain: false };

/** What counts as a difference, as the manifest and the environment's governed settings have it. Pure. */
export function differences(
  desired: Judged,
  live: LiveObject,
  expected: LiveObject | undefined,
  environment: Environment,
): Comparison {
  const { apply } = desired.directives;
  if (apply === 'ignore' || apply === 'ifNotPresent') return none;
  const rules = rulesFor(desired.identity, environment);
  const without = <T extends KubernetesObject>(object: T): T => omitAll(object, ignored(object, live, rules));
  const compared =
    rules.length === 0
      ? compare(desired.sent, live, expected)
      : compare(without(desired.sent), without(live), expected && without(expected));
  if (apply !== 'merge') return compared;
  return { ...compared, differences: compared.differences.filter(({ type }) => type !== 'added') };
}

/**
 * What is sent over a live object: without the ignored fields that are somebody else's by now. One that is still ours is sent, or
 * the server would take it away.
 */
export function withoutIgnored(desired: Judged, live: LiveObject | null, environment: Environment): KubernetesObject {
  const rules = live ? rulesFor(desired.identity, environment) : [];
  if (!live || rules.length === 0) return desired.sent;
  const theirs = ignored(desired.sent, live, rules).filter((place) => {
    const there = valueAt(live, keyed(desired.sent, place));
    return there !== undefined && !jsonEqual(there, valueAt(desired.sent, place) ?? null);
  });
  return omitAll(desired.sent, theirs);
}

export function driftMode(identity: ObjectIdentity, { reconcile }: Environment): DriftMode {
  return reconcile?.driftOf?.find((pattern) => fits(identity, pattern))?.mode ?? reconcile?.drift ?? 'correct';
}

function rulesFor(identity: ObjectIdentity, { reconcile }: Environment): IgnoredDifferences[] {
  return (reconcile?.ignoreDifferences ?? []).filter((rule) => fits(identity, rule));
}

export function fits(identity: ObjectIdentity, pattern: ObjectPattern): boolean {
  return (['group', 'kind', 'name', 'namespace'] as const).every((field) => {
    const wanted = pattern[field];
    return (
      wanted === undefined ||
      wanted === identity[field] ||
      (wanted.includes('*') && globMatcher(wanted)(identity[field]))
    );
  });
}

/** Places in this very object that are not looked at. */
function ignored(object: KubernetesObject, live: LiveObject, rules: readonly IgnoredDifferences[]): Place[] {
  return rules.flatMap(({ jsonPointers = [], jqPathExpressions = [], managedFieldsManagers = [] }) => [
    ...jsonPointers.flatMap((pointer) => placeOf(object, pointerSteps(pointer))),
    ...jqPathExpressions.flatMap((expression) => pathsOf(expression)(object)),
    ...managedFieldsOf(live)
      .filter(({ manager, subresource }) => subresource === '' && managedFieldsManagers.includes(manager))
      .flatMap(({ fields }) => leaves(fields))
      .flatMap((path) => placeOf(object, path)),
  ]);
}

const parsed = new Map<string, (value: Json) => Place[]>();

/** Parsed once: an environment has a few, and they are asked for every object. */
function pathsOf(expression: string): (value: Json) => Place[] {
  let known = parsed.get(expression);
  if (!known) {
    known = parseJqPath(expression);
    if (parsed.size > 1_000) parsed.clear();
    parsed.set(expression, known);
  }
  return known;
}

const pointerSteps = (pointer: string): string[] =>
  pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

/** Where a path leads in an object, its list items by index; nowhere if there is no such field. */
function placeOf(object: Json, path: readonly Step[]): Place[] {
  const place: (string | number)[] = [];
  let here: Json | undefined = object;
  for (const step of path) {
    let at: string | number;
    if (Array.isArray(here)) {
      const items = here as readonly Json[];
      if (typeof step === 'string') at = /^\d+$/.test(step) ? Number(step) : -1;
      else if (typeof step === 'number') at = step;
      else at = items.findIndex((item) => ('key' in step ? hasKey(item, step.key) : item === step.value));
      here = items[at];
    } else {
      if (typeof step !== 'string' || !isJsonObject(here) || !Object.hasOwn(here, step)) return [];
      at = step;
      here = here[step];
    }
    if (here === undefined) return [];
    place.push(at);
  }
  return [place];
}

function leaves(tree: FieldTree, path: readonly Step[] = []): Step[][] {
  if (tree.children.size === 0) return path.length > 0 ? [[...path]] : [];
  return [...tree.children].flatMap(([key, child]) => {
    const step = stepOf(key);
    return step === null ? [] : leaves(child, [...path, step]);
  });
}

/** The same place by what identifies list items where they have a name: indexes differ from object to object. */
function keyed(object: Json, place: Place): Step[] {
  let here: Json | undefined = object;
  return place.map((at) => {
    here = Array.isArray(here) ? (here as readonly Json[])[Number(at)] : isJsonObject(here) ? here[at] : undefined;
    return typeof at === 'number' && isJsonObject(here) && typeof here['name'] === 'string'
      ? { key: { name: here['name'] } }
      : at;
  });
}

function omitAll<T extends KubernetesObject>(object: T, places: readonly Place[]): T {
  // From the end, so that taking one item out of a list does not move the next one.
  const inOrder = places.toSorted((a, b) => b.join('/').localeCompare(a.join('/'), 'en', { numeric: true }));
  return inOrder.reduce<Json>((value, place) => omit(value, place), object) as T;
}

function omit(value: Json, [first, ...rest]: Place): Json {
  if (Array.isArray(value)) {
    const items = value as readonly Json[];
    if (rest.length === 0) return items.filter((_, i) => i !== first);
    return items.map((item, i) => (i === first ? omit(item, rest) : item));
  }
  if (!isJsonObject(value) || first === undefined || !Object.hasOwn(value, first)) return value;
  if (rest.length > 0) return { ...value, [first]: omit(value[first], rest) };
  const { [String(first)]: _omitted, ...others } = value;
  return others;
}
