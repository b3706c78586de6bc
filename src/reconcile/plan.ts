import {
  identityKey,
  isJsonObject,
  type Json,
  type KubernetesObject,
  type ObjectIdentity,
  type Source,
} from '../cluster/object.js';
import { objectDigest } from '../cluster/rendered.js';
import type { Redactor } from '../cluster/secret.js';
import type { LiveObject } from './cluster.js';
import { compare, type FieldDifference } from './drift.js';
import type { ApprovedChange } from './gate.js';
import type { Inventory, InventoryEntry } from './inventory.js';
import { applyOrder, deleteOrder } from './order.js';
import { withOwnMetadata, type Provenance } from './own-metadata.js';
import type { PlannedWrite } from './run-log.js';

/** One object as it is to be. */
export interface DesiredObject {
  readonly identity: ObjectIdentity;
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
  readonly op: 'create' | 'update' | 'adopt';
  readonly desired: DesiredObject;
  readonly live: LiveObject | null;
  readonly differences: readonly FieldDifference[];
}

export interface PruneWrite extends PlannedWrite {
  readonly op: 'prune';
  readonly uid: string;
}

export interface Plan {
  /** In order. */
  readonly applies: readonly ApplyWrite[];
  /** In order, after all applies. */
  readonly prunes: readonly PruneWrite[];
  /** In the inventory, gone from Git, but not ours to delete: absent already, or another object by now. */
  readonly dropped: readonly InventoryEntry[];
}

/** An object that Git did not change keeps the commit and decision it has; it is not rewritten for the sake of an annotation. */
export function desiredOf(approved: ApprovedChange, inventory: Inventory, redactor: Redactor): Desired {
  const desired = new Map<string, DesiredObject>();
  for (const { identity, object, source } of approved.objects) {
    const key = identityKey(identity);
    const digest = objectDigest(object, redactor);
    const before = inventory.get(key);
    const provenance: Provenance =
      before?.digest === digest
        ? { commit: before.commit, decision: before.decision }
        : { commit: approved.head, decision: approved.decision };
    const sent = withOwnMetadata(object, approved.repository, approved.environment.name, provenance);
    desired.set(key, { identity, source, digest, provenance, sent });
  }
  return desired;
}

export interface PlanLimits {
  /** Some objects only (a repair); prunes belong to whole runs. */
  readonly only?: ReadonlySet<string>;
  readonly mayPrune?: (identity: ObjectIdentity) => boolean;
}

/** Pure. */
export function planRun(desired: Desired, situation: Situation, { only, mayPrune }: PlanLimits = {}): Plan {
  const applies: ApplyWrite[] = [];
  for (const [key, object] of desired) {
    if (only && !only.has(key)) continue;
    const write = planApply(key, object, situation);
    if (write) applies.push(write);
  }
  const prunes: PruneWrite[] = [];
  const dropped: InventoryEntry[] = [];
  for (const [key, entry] of only ? [] : situation.inventory) {
    if (desired.has(key)) continue;
    const { identity, uid } = entry;
    if (mayPrune && !mayPrune(identity)) continue;
    if (situation.live.get(key)?.metadata.uid === uid) prunes.push({ op: 'prune', identity, uid, digest: null });
    else dropped.push(entry);
  }
  return {
    applies: applies.toSorted((a, b) => applyOrder(a.identity, b.identity)),
    prunes: prunes.toSorted((a, b) => deleteOrder(a.identity, b.identity)),
    dropped,
  };
}

function planApply(
  key: string,
  desired: DesiredObject,
  { inventory, live: all, expected }: Situation,
): ApplyWrite | null {
  const { identity, digest, sent } = desired;
  const live = all.get(key) ?? null;
  if (live === null) return { op: 'create', identity, digest, desired, live, differences: [] };
  const entry = inventory.get(key);
  const same = entry?.digest === digest; // Git did not change it
  const { uid, resourceVersion } = live.metadata;
  if (same && entry.uid === uid && entry.resourceVersion === resourceVersion) return null; // nobody else did, either
  const { differences } = compare(sent, live, same ? expected.get(key) : undefined);
  if (differences.length === 0) return null;
  const op = entry?.uid === uid ? 'update' : 'adopt';
  return { op, identity, digest, desired, live, differences };
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
