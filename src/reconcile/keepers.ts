import type { Lease } from '../audit/lease.js';
import type { Ledger } from '../audit/ledger.js';
import type { Grant } from '../change/grant.js';
import { CountersignError } from '../errors.js';
import { ApprovedRefKeeper } from './approved-ref-keeper.js';
import type { RefHistory } from './approved-ref.js';
import type { Impersonation } from './cluster.js';
import type { ApprovedChange } from './gate.js';
import { Informers } from './informer.js';
import type { Inventory } from './inventory.js';
import type { Keeper } from './keeper.js';
import { EnvironmentReconciler, type ReconcilerParts } from './loop.js';
import { rebuildEntry, requireLost } from './rebuild.js';
import type { RecordedGate, RecordedGateParts } from './recorded-gate.js';
import type { RecordedRuns } from './recorded-runs.js';

export interface KeepersParts extends RecordedGateParts {
  readonly grants: ReadonlyMap<string, readonly Grant[]>;
  /** In whose name an environment's objects are written, where that is not our own. */
  readonly writerOf?: (target: string, repository: string, environment: string) => Impersonation | null;
  /** Why an environment's target is taken for lost and made anew from what is approved; null: it is not. Asked once, at the start. */
  readonly rebuild?: (repository: string, environment: string, target: string) => string | null;
}

/** An environment that this process keeps, and what is recorded of it under its lease. */
export interface Kept {
  readonly repository: string;
  readonly environment: string;
  readonly target: string;
  readonly held: {
    readonly lease: Lease;
    readonly ledger: Ledger;
    readonly runs: RecordedRuns;
    readonly refs: RefHistory;
  };
}

/** Makes what keeps an environment, by its target: a reconciler of a cluster, or the keeper of the ref that others follow. */
export class Keepers {
  /** By target: one informer a kind and cluster, whatever the number of environments. */
  readonly #informers: ReadonlyMap<string, Informers>;

  constructor(
    private readonly parts: KeepersParts,
    private readonly gate: RecordedGate,
  ) {
    this.#informers = new Map([...parts.clusters].map(([target, cluster]) => [target, new Informers(cluster)]));
  }

  /** `change` is what is about to be approved there; `isSuspended`, whether people hold it. Throws what `requireLost` does. */
  async make(
    kept: Kept,
    change: ApprovedChange,
    isSuspended: boolean,
    follow: Pick<ReconcilerParts, 'waitsFor' | 'onState'>,
  ): Promise<Keeper> {
    const { parts } = this;
    const { repository, environment, target, held } = kept;
    const { lease, runs, refs } = held;
    const epoch = (): number => {
      if (lease.held) return lease.epoch;
      throw new CountersignError('lease-lost', `${environment} may be another instance's by now`, { retry: true });
    };
    const common = {
      log: runs,
      grants: parts.grants.get(target) ?? [],
      epoch,
      stillApproved: (waiting: ApprovedChange) => this.gate.requireInForce(waiting),
      ...follow,
    };
    const gated = parts.gateOf?.(target, repository);
    if (gated) return new ApprovedRefKeeper(repository, environment, { ...common, ...gated, history: refs });
    const inventory = await runs.inventory(repository, environment, target);
    const isLost = !isSuspended && (await this.#isRebuilt(kept, change, inventory));
    const informers = this.#informers.get(target)!;
    const { cluster } = informers;
    const as = parts.writerOf?.(target, repository, environment) ?? null;
    return new EnvironmentReconciler(repository, environment, isLost ? [] : inventory.values(), {
      ...common,
      informers,
      // Asked before each batch, and again as each write is sent: a process that wakes up late writes nothing.
      writer: (as ? cluster.actingAs(as) : cluster).guarded(epoch),
      redactor: parts.redactor,
      ...(isLost ? { restores: change.decision } : {}),
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informers) => informers.close()));
  }

  /** True: nothing that our runs made is there any more, and the log says that it is made anew. */
  async #isRebuilt(
    { repository, environment, target, held: { ledger } }: Kept,
    { decision, head }: ApprovedChange,
    inventory: Inventory,
  ): Promise<boolean> {
    const reason = this.parts.rebuild?.(repository, environment, target) ?? null;
    if (reason === null) return false;
    await requireLost(environment, this.#informers.get(target)!.cluster, inventory);
    if (inventory.size === 0) return false;
    const time = new Date().toISOString();
    const said = { repository, environment, target, decision, head, lost: inventory.size, reason, time };
    await ledger.record(async (transaction) => transaction.append(rebuildEntry(said)));
    return true;
  }
}
