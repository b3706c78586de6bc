import { setTimeout as sleep } from 'node:timers/promises';
import type { Environment } from '../change/environment.js';
import { healthOf } from '../cluster/health.js';
import { describeIdentity, identityOf, isJsonObject, type Json, type ObjectIdentity } from '../cluster/object.js';
import type { JsonPatchOperation } from '../cluster/diff.js';
import { CountersignError } from '../errors.js';
import type { Cluster, LiveObject } from './cluster.js';
import { owns, removals, sameButStatus } from './drift.js';
import { FIELD_MANAGER } from './cluster.js';
import { withoutIgnored } from './judged.js';
import { formatPath, managedFieldsOf } from './managed-fields.js';
import { definedBy, type ApplyWrite, type DesiredObject } from './plan.js';
import { finalizersOf } from './prune.js';
import type { TakenField } from './run-log.js';

/** How often a write is repeated over an object whose status keeps moving. */
const REPEATS = 5;
/** Milliseconds to wait for a new definition to be served. */
const ESTABLISH = 30_000;
/** Milliseconds to wait for an object to be gone that is to be made again. */
const VANISH = 60_000;
/** Fields of others that one result names. */
const MOST_TAKEN = 50;

/** One write of an object, with the conflicts that it decided. `mayWrite` throws when a later write of it may not be made any more. */
export async function applyObject(
  write: ApplyWrite,
  environment: Environment,
  cluster: Cluster,
  mayWrite: () => void,
): Promise<{ readonly live: LiveObject; readonly taken: readonly TakenField[] }> {
  const { desired, op } = write;
  const before = op === 'replace' ? await remove(write, cluster, mayWrite) : write.live;
  const sent = { ...desired, sent: withoutIgnored(desired, before, environment) };
  const applied = await overwrite(sent, before, cluster);
  const exact = await takeAway(applied, write.differences, cluster);
  const live = op === 'adopt' ? await takeOver(exact, cluster) : exact;
  if (desired.identity.kind === 'CustomResourceDefinition') await established(cluster, desired);
  return { live, taken: takenBy(write) };
}

/** Fields whose values another manager had set otherwise: what kubectl calls conflicts. */
function takenBy({ live, differences }: ApplyWrite): TakenField[] {
  if (!live) return [];
  const others = managedFieldsOf(live).filter(
    ({ manager, operation, subresource }) =>
      subresource === '' && !(manager === FIELD_MANAGER && operation === 'Apply'),
  );
  return differences
    .filter(({ type }) => type !== 'removed')
    .flatMap(({ path }) =>
      others
        .filter(({ fields }) => owns(fields, path))
        .map(({ manager, operation }) => ({ path: formatPath(path), manager, operation })),
    )
    .slice(0, MOST_TAKEN);
}

/**
 * The version that was compared is the one that is overwritten: a change made meanwhile is not lost unseen (invariant 12).
 * Only when nothing but its status has moved on, as in a rollout, it is written over the newer one.
 */
async function overwrite(desired: DesiredObject, compared: LiveObject | null, cluster: Cluster): Promise<LiveObject> {
  let live = compared;
  for (let attempt = 0; ; attempt++) {
    try {
      return await cluster.apply(desired.sent, expecting(live));
    } catch (thrown) {
      if (live === null) throw thrown;
      live = await movedOn(live, thrown, attempt, cluster);
    }
  }
}

/** What others put beside our fields, which an apply leaves where it is. */
async function takeAway(
  applied: LiveObject,
  differences: ApplyWrite['differences'],
  cluster: Cluster,
): Promise<LiveObject> {
  return patched(applied, (live) => removals(live, differences), cluster);
}

/**
 * What applied the object before us is no longer one of its managers: else each field that Git drops later would stay for theirs.
 * Whatever of theirs is not in Git was taken away before.
 */
async function takeOver(exact: LiveObject, cluster: Cluster): Promise<LiveObject> {
  return patched(
    exact,
    (live) => {
      const entries = live.metadata['managedFields'];
      if (!Array.isArray(entries)) return [];
      const operations: JsonPatchOperation[] = [];
      (entries as readonly Json[]).forEach((entry, i) => {
        if (isFormer(entry)) operations.unshift({ op: 'remove', path: `/metadata/managedFields/${i}` });
      });
      return operations;
    },
    cluster,
  );
}

function isFormer(entry: Json): boolean {
  if (!isJsonObject(entry) || (entry['subresource'] ?? '') !== '') return false;
  const { manager } = entry;
  return typeof manager === 'string' && formerManagers.test(manager);
}

/** Names under which kubectl, Argo CD, Flux and Helm apply. A controller's own name is never among them. */
const formerManagers =
  /^(before-first-apply|kubectl|kubectl-[a-z-]+|argocd-controller|argocd-application-controller|kustomize-controller|helm-controller|helm|Helm)$/;

async function patched(
  start: LiveObject,
  change: (live: LiveObject) => readonly JsonPatchOperation[],
  cluster: Cluster,
): Promise<LiveObject> {
  let live = start;
  for (let attempt = 0; ; attempt++) {
    const operations = change(live);
    if (operations.length === 0) return live;
    try {
      return await cluster.patch(live, operations);
    } catch (thrown) {
      live = await movedOn(live, thrown, attempt, cluster);
    }
  }
}

/** The object as it is now, if only its status kept the write from it; else the conflict is thrown again. */
async function movedOn(live: LiveObject, thrown: unknown, attempt: number, cluster: Cluster): Promise<LiveObject> {
  const conflict = thrown instanceof CountersignError && thrown.code === 'cluster-conflict';
  if (!conflict || attempt === REPEATS) throw thrown;
  const now = await cluster.get(identityOf(live));
  if (!now || !sameButStatus(live, now)) throw thrown;
  return now;
}

/** Deletes what cannot be changed, as its manifest allows, so that it can be made anew. */
async function remove({ desired, live }: ApplyWrite, cluster: Cluster, mayWrite: () => void): Promise<null> {
  if (live) await vanish(desired.identity, live.metadata.uid, cluster, mayWrite);
  return null;
}

/** Deletes that very object and waits until it is gone. */
export async function vanish(
  identity: ObjectIdentity,
  uid: string,
  cluster: Cluster,
  mayWrite: () => void,
): Promise<void> {
  await cluster.delete(identity, uid);
  const deadline = Date.now() + VANISH;
  for (let pause = 20; ; pause = Math.min(pause * 2, 500)) {
    const live = await cluster.get(identity);
    if (live?.metadata.uid !== uid) break;
    if (Date.now() > deadline) {
      const waits = finalizersOf(live).join(', ');
      throw new CountersignError(
        'object-unhealthy',
        `${describeIdentity(identity)} is not gone after ${VANISH / 1000} s${waits ? `; it waits for ${waits}` : ''}`,
        { remedy: 'See what holds it: kubectl get it with -o yaml shows its finalizers', retry: true },
      );
    }
    await sleep(pause);
    mayWrite();
  }
  mayWrite();
}

/** A definition is of use only when the server also serves its kinds, which it begins to do a moment after saying so. */
async function established(cluster: Cluster, { identity, sent }: DesiredObject): Promise<void> {
  const deadline = Date.now() + ESTABLISH;
  const ready = async (): Promise<boolean> => {
    if (healthOf(await cluster.get(identity)).status !== 'healthy') return false;
    for (const kind of definedBy(sent)) if (!(await isServed(cluster, kind))) return false;
    return true;
  };
  for (let pause = 20; !(await ready()); pause = Math.min(pause * 2, 250)) {
    if (Date.now() > deadline) {
      throw new CountersignError('cluster-unavailable', `${identity.name} is not served after ${ESTABLISH / 1000} s`, {
        retry: true,
      });
    }
    await sleep(pause);
  }
}

export async function isServed(
  cluster: Cluster,
  identity: Pick<ObjectIdentity, 'group' | 'version' | 'kind'>,
): Promise<boolean> {
  try {
    await cluster.kind(identity);
    return true;
  } catch (error) {
    if (error instanceof CountersignError && error.code === 'kind-unknown') return false;
    throw error;
  }
}

export function expecting(live: LiveObject | null): { expect?: { uid: string; resourceVersion: string } } {
  return live ? { expect: { uid: live.metadata.uid, resourceVersion: live.metadata.resourceVersion } } : {};
}
