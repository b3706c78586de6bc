import {
  describeIdentity,
  identityKey,
  isJsonObject,
  type Json,
  type KubernetesObject,
  type ObjectIdentity,
  type Source,
} from '../cluster/object.js';
import { objectDigest } from '../cluster/rendered.js';
import type { Redactor } from '../cluster/secret.js';
import { CountersignError } from '../errors.js';
import { claimOf } from './claims.js';
import type { LiveObject } from './cluster.js';
import { directivesOf, type Directives, type HookPhase } from './directives.js';
import type { FieldDifference } from './drift.js';
import type { ApprovedChange } from './gate.js';
import type { Inventory, InventoryEntry } from './inventory.js';
import { differences } from './judged.js';
import { applyOrder } from './order.js';
import { applySetId, sameApplySet, withOwnMetadata, type Provenance } from './own-metadata.js';
import { prunesOf, type PruneWrite } from './prune.js';
import type { PlannedWrite } from './run-log.js';
import { stagesOf, type Stage, type Staged } from './stages.js';

/** One object as it is to be. */
export interface DesiredObject extends Staged {
  readonly source: Source;
  readonly digest: string;
  readonly provenance: Provenance;
  /** What is sent: the manifest's object and our own metadata. */
  readonly sent: KubernetesObject;
}

export type Desired = ReadonlyMap<string, DesiredObject>;

/** What is known of the target when a run is planned, by identity key. */
export interface Situation {
  readonly inventory: Inventory;
  /** null, or no entry: there is no such object. */
  readonly live: ReadonlyMap<string, LiveObject | null>;
  /** The server's answer to our last apply of exactly this digest. */
  readonly expected: ReadonlyMap<string, LiveObject>;
}

export interface ApplyWrite extends PlannedWrite {
  readonly op: 'create' | 'update' | 'adopt' | 'replace';
  readonly desired: DesiredObject;
  readonly live: LiveObject | null;
  readonly differences: readonly FieldDifference[];
}

export interface HookWrite extends PlannedWrite {
  readonly op: 'hook';
  readonly desired: DesiredObject;
  readonly phase: HookPhase;
}

export interface Plan {
  /** Everything that is written, in order; prunes in between them are not among them. */
  readonly applies: readonly ApplyWrite[];
  readonly hooks: readonly HookWrite[];
  /** In order. */
  readonly prunes: readonly PruneWrite[];
  /** Hooks of the phases, in stages. */
  readonly before: readonly Stage<DesiredObject>[];
  /** All that is to be there, what is as it should be too: each stage is healthy before the next begins. */
  readonly stages: readonly Stage<DesiredObject>[];
  readonly after: readonly Stage<DesiredObject>[];
  readonly onFailure: readonly HookWrite[];
  /** In the inventory, gone from Git, but not ours to delete: absent already, another object by now, or to be kept. */
  readonly dropped: readonly InventoryEntry[];
  /** A hook that failed for this very state: it does not run again until something else is approved. */
  readonly failedHook: { readonly desired: DesiredObject; readonly phase: HookPhase } | null;
}

/** An object that Git did not change keeps the commit and decision it has; it is not rewritten for the sake of an annotation. */
export function desiredOf(approved: ApprovedChange, inventory: Inventory, redactor: Redactor): Desired {
  const desired = new Map<string, DesiredObject>();
  const { repository, environment } = approved;
  const place = { environment: environment.name, applySet: applySetId(repository, environment) };
  for (const manifest of approved.objects) {
    const { identity, object, source } = manifest;
    const key = identityKey(identity);
    const digest = objectDigest(object, redactor);
    const before = inventory.get(key);
    const provenance: Provenance =
      before?.digest === digest
        ? { commit: before.commit, decision: before.decision }
        : { commit: approved.head, decision: approved.decision };
    const sent = withOwnMetadata(object, place, provenance);
    desired.set(key, { identity, source, digest, provenance, sent, directives: directivesOf(manifest) });
  }
  return desired;
}

/** True for what is kept as it is written; hooks come and go, and some objects ask to be left alone. */
export function isKept({ directives }: Pick<DesiredObject, 'directives'>): boolean {
  return directives.hook === null && directives.apply !== 'ignore';
}

export interface PlanLimits {
  /** Some objects only (a repair); prunes and hooks belong to whole runs. */
  readonly only?: ReadonlySet<string>;
  readonly mayPrune?: (identity: ObjectIdentity) => boolean;
  /** What stays as it is found as long as Git does not change it: its drift is only reported. */
  readonly leave?: (identity: ObjectIdentity) => boolean;
}

/** Pure. Throws `object-invalid`, `object-claimed`, `prune-guarded`: then nothing is written. */
export function planRun(
  approved: ApprovedChange,
  desired: Desired,
  situation: Situation,
  { only, mayPrune, leave }: PlanLimits = {},
): Plan {
  const applies: ApplyWrite[] = [];
  const kept: DesiredObject[] = [];
  for (const [key, object] of desired) {
    if (!isKept(object) || (only && !only.has(key))) continue;
    kept.push(object);
    if (leave?.(object.identity) && situation.inventory.get(key)?.digest === object.digest) continue;
    const write = planApply(key, object, situation, approved);
    if (write) applies.push(write);
  }
  const whole = !only;
  const due = whole ? dueHooks(desired, situation.inventory, approved.renderedDigest) : [];
  const inPhase = (phase: HookPhase): DesiredObject[] =>
    due.filter((hook) => hook.directives.hook?.phases.includes(phase));
  // A repair puts back single objects: what they wait for is there.
  const staged = whole ? [...neededFirst(kept), ...inPhase('Sync')] : kept.map(withoutOrder);
  const hooks = (['PreSync', 'Sync', 'PostSync'] as const).flatMap((phase) => inPhase(phase).map(hookWrite(phase)));
  const { prunes, dropped } = whole ? prunesOf(approved, desired, situation, mayPrune) : { prunes: [], dropped: [] };
  const idle = applies.length === 0 && prunes.length === 0 && hooks.length === 0;
  return {
    applies: applies.toSorted(
      (a, b) => a.desired.directives.wave - b.desired.directives.wave || applyOrder(a.identity, b.identity),
    ),
    hooks,
    prunes,
    before: stagesOf(inPhase('PreSync')),
    stages: stagesOf(staged),
    after: stagesOf(inPhase('PostSync')),
    onFailure: whole && !idle ? failureHooks(desired).map(hookWrite('SyncFail')) : [],
    dropped,
    failedHook: whole ? failedHook(desired, situation.inventory, approved.renderedDigest) : null,
  };
}

const withoutOrder = (object: DesiredObject): DesiredObject => ({
  ...object,
  directives: { ...object.directives, wave: 0, dependsOn: [] },
});

/** A namespace, or a definition, is there before anything that lives in it or is of its kind, whatever its own wave. */
function neededFirst(objects: readonly DesiredObject[]): DesiredObject[] {
  const waves = new Map<string, number>();
  const learn = (name: string, wave: number): void => {
    waves.set(name, Math.min(wave, waves.get(name) ?? wave));
  };
  for (const { identity, directives } of objects) {
    learn(`namespace ${identity.namespace}`, directives.wave);
    learn(`kind ${identity.group}/${identity.kind}`, directives.wave);
  }
  return objects.map((object) => {
    const { identity, sent, directives } = object;
    const needed = [
      ...(identity.kind === 'Namespace' && identity.group === '' ? [`namespace ${identity.name}`] : []),
      ...definedBy(sent).map(({ group, kind }) => `kind ${group}/${kind}`),
    ].map((name) => waves.get(name) ?? directives.wave);
    const wave = Math.min(directives.wave, ...needed);
    return wave === directives.wave ? object : { ...object, directives: { ...directives, wave } };
  });
}

const hookWrite =
  (phase: HookPhase) =>
  (desired: DesiredObject): HookWrite => ({
    op: 'hook',
    identity: desired.identity,
    digest: desired.digest,
    desired,
    phase,
  });

/** A hook runs once for each state that goes live, however often a run for it is begun. */
function dueHooks(desired: Desired, inventory: Inventory, state: string): DesiredObject[] {
  return [...desired]
    .filter(([key, object]) => runs(object.directives) && inventory.get(key)?.hook?.ranFor !== state)
    .map(([, object]) => object);
}

const runs = ({ hook }: Directives): boolean =>
  hook !== null && !hook.phases.includes('Skip') && hook.phases.some((phase) => phase !== 'SyncFail');

function failureHooks(desired: Desired): DesiredObject[] {
  return [...desired.values()].filter(({ directives }) => directives.hook?.phases.includes('SyncFail'));
}

function failedHook(desired: Desired, inventory: Inventory, state: string): Plan['failedHook'] {
  for (const phase of ['PreSync', 'Sync', 'PostSync'] as const) {
    for (const [key, object] of desired) {
      const ran = inventory.get(key)?.hook;
      if (ran?.outcome === 'failed' && ran.ranFor === state && object.directives.hook?.phases.includes(phase))
        return { desired: object, phase };
    }
  }
  return null;
}

function planApply(
  key: string,
  desired: DesiredObject,
  { inventory, live: all, expected }: Situation,
  approved: ApprovedChange,
): ApplyWrite | null {
  const { identity, digest } = desired;
  const live = all.get(key) ?? null;
  if (live === null) return { op: 'create', identity, digest, desired, live, differences: [] };
  const entry = inventory.get(key);
  // Git did not change it; but its environment may be known to other tools by another id now.
  const same = entry?.digest === digest && sameApplySet(desired.sent, live);
  const { uid, resourceVersion } = live.metadata;
  if (same && entry.uid === uid && entry.resourceVersion === resourceVersion) return null; // nobody else did, either
  const ours = entry?.uid === uid;
  // Labels are claims, but whoever put them there would fight for the object: a person says whose it is.
  const claim = ours ? null : claimOf(live, approved.repository, approved.environment);
  if (claim !== null) throw claimed(desired, claim);
  const found = differences(desired, live, same ? expected.get(key) : undefined, approved.environment).differences;
  if (found.length === 0) return null;
  return { op: ours ? 'update' : 'adopt', identity, digest, desired, live, differences: found };
}

function claimed({ identity, source }: DesiredObject, claim: string): CountersignError {
  return new CountersignError(
    'object-claimed',
    `${describeIdentity(identity)} belongs to another inventory: ${claim}`,
    {
      place: { file: source.path, line: source.line },
      remedy: 'Take it out of the one or the other; to move it here, remove those marks from the object in the cluster',
      retry: true,
    },
  );
}

/** The kinds that an object defines: those of a CustomResourceDefinition, none of any other. */
export function definedBy(object: KubernetesObject): Pick<ObjectIdentity, 'group' | 'version' | 'kind'>[] {
  const { spec } = object;
  if (object.kind !== 'CustomResourceDefinition' || !isJsonObject(spec)) return [];
  const { group, names, versions } = spec;
  const kind = isJsonObject(names) ? names['kind'] : undefined;
  if (typeof group !== 'string' || typeof kind !== 'string' || !Array.isArray(versions)) return [];
  return (versions as readonly Json[])
    .filter(isJsonObject)
    .filter((version) => version['served'] === true)
    .map((version) => ({ group, version: typeof version['name'] === 'string' ? version['name'] : '', kind }));
}
