import { protectedKinds } from '../change/reconcile-settings.js';
import { describeIdentity, isJsonObject, type Json, type ObjectIdentity } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { LiveObject } from './cluster.js';
import type { ApprovedChange } from './gate.js';
import type { Inventory, InventoryEntry } from './inventory.js';
import { deleteOrder } from './order.js';
import type { PlannedWrite } from './run-log.js';

export interface PruneWrite extends PlannedWrite {
  readonly op: 'prune';
  readonly uid: string;
  readonly last: boolean;
}

/** Fewer than this are never too many: an environment of two objects may lose one. */
const FEW = 5;
const HALF = 0.5;

/**
 * What Git no longer has: deleted in reverse waves if it is still the very object that the inventory names. Pure. Throws
 * `prune-guarded` where a change that nobody approved would delete too much, or what is protected: then nothing is written.
 */
export function prunesOf(
  approved: ApprovedChange,
  desired: ReadonlyMap<string, unknown>,
  { inventory, live }: { readonly inventory: Inventory; readonly live: ReadonlyMap<string, LiveObject | null> },
  mayPrune: (identity: ObjectIdentity) => boolean = () => true,
): { readonly prunes: readonly PruneWrite[]; readonly dropped: readonly InventoryEntry[] } {
  const settings = approved.environment.reconcile?.prune;
  const prunes: (PruneWrite & { readonly entry: InventoryEntry })[] = [];
  const dropped: InventoryEntry[] = [];
  for (const [key, entry] of inventory) {
    const { identity, uid, removal } = entry;
    if (desired.has(key) || !mayPrune(identity)) continue;
    const there = live.get(key) ?? null;
    if (there?.metadata.uid !== uid || removal.prune === 'no' || settings?.enabled === false) dropped.push(entry);
    // On its way out already: it stays in the inventory until its finalizers are through.
    else if (!isLeaving(there)) prunes.push({ op: 'prune', identity, uid, digest: null, last: removal.last, entry });
  }
  guard(approved, prunes, inventory.size);
  return {
    prunes: prunes.toSorted(
      (a, b) =>
        Number(a.last) - Number(b.last) ||
        b.entry.removal.wave - a.entry.removal.wave ||
        deleteOrder(a.identity, b.identity),
    ),
    dropped,
  };
}

export function isLeaving(live: LiveObject | null): boolean {
  return typeof live?.metadata['deletionTimestamp'] === 'string';
}

/** What an object that is being deleted still waits for. */
export function finalizersOf(live: LiveObject): readonly string[] {
  const finalizers: Json | undefined = live.metadata['finalizers'];
  const own = textsIn(finalizers);
  const spec = live['spec'];
  // A namespace has its own, in its spec.
  return live.kind === 'Namespace' && isJsonObject(spec) ? [...own, ...textsIn(spec['finalizers'])] : own;
}

const textsIn = (value: Json | undefined): string[] =>
  Array.isArray(value) ? (value as readonly Json[]).filter((one) => typeof one === 'string') : [];

function guard(
  { approvals, environment }: ApprovedChange,
  prunes: readonly { readonly identity: ObjectIdentity; readonly entry: InventoryEntry }[],
  all: number,
): void {
  if (approvals > 0) return;
  const settings = environment.reconcile?.prune;
  const kinds = settings?.protect ?? protectedKinds;
  const guarded = prunes.find(
    ({ identity, entry }) => kinds.includes(identity.kind) || entry.removal.prune === 'confirm',
  );
  if (guarded) {
    throw refusal(
      `${describeIdentity(guarded.identity)} would be deleted, and is protected`,
      'Have somebody approve the change with countersign approve, annotate the object with kustomize.toolkit.fluxcd.io/prune: disabled before it is taken out, or put it back',
    );
  }
  const share = settings?.atMost ?? HALF;
  if (prunes.length < FEW && settings?.atMost === undefined) return;
  if (prunes.length > all * share) {
    throw refusal(
      `${prunes.length} of ${all} objects would be deleted, more than ${Math.round(share * 100)} %`,
      'Have somebody approve the change with countersign approve, or put the objects back',
    );
  }
}

function refusal(message: string, remedy: string): CountersignError {
  return new CountersignError('prune-guarded', `${message}; nobody approved that`, { remedy });
}
