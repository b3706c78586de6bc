import { randomUUID } from 'node:crypto';
import type { Lease, Leases, Share } from '../audit/lease.js';
import type { Ledger } from '../audit/ledger.js';
import type { Environment } from '../change/environment.js';
import type { Grant } from '../change/grant.js';
import type { ReconcileSettings } from '../change/reconcile-settings.js';
import { identityKey, type ObjectIdentity } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { Approved } from '../review/followed-repository.js';
import { recordFault } from '../review/record-fault.js';
import type { EnvironmentRecord, FaultRecord, GateState, Records, Trouble } from '../review/records.js';
import type { RolloutNews } from '../review/returns.js';
import { describeTrouble } from '../review/trouble.js';
import type { ApprovedState, ApprovedView } from './admission.js';
import { ApprovedElsewhere } from './approved-elsewhere.js';
import { ApprovedRefKeeper } from './approved-ref-keeper.js';
import type { RefHistory } from './approved-ref.js';
import type { Impersonation } from './cluster.js';
import { waitsFor } from './dependencies.js';
import type { ApprovedChange } from './gate.js';
import { Informers } from './informer.js';
import type { Inventory } from './inventory.js';
import type { Keeper } from './keeper.js';
import { EnvironmentReconciler } from './loop.js';
import { rebuildEntry, requireLost } from './rebuild.js';
import type { ReconcilerState } from './reconciler-state.js';
import { RecordedGate, type RecordedGateParts } from './recorded-gate.js';
import type { RecordedRuns } from './recorded-runs.js';
import { RolloutWatch } from './rollout-watch.js';
import type { RunStart } from './run-log.js';
import { TIMEOUT } from './run.js';
import type { Held as Waiting } from './windows.js';
import { suspension } from './windows.js';

export interface DeploymentsParts extends RecordedGateParts {
  readonly grants: ReadonlyMap<string, readonly Grant[]>;
  /** In whose name an environment's objects are written, where that is not our own. */
  readonly writerOf?: (target: string, repository: string, environment: string) => Impersonation | null;
  /** Each environment is reconciled by whoever has its lease; the others know what is approved, and wait. */
  readonly leases: Leases;
  /** What is written under a lease. */
  readonly under: (lease: Lease) => LeasedRecords;
  /** Where a failure to record goes: the log itself may be what fails. */
  readonly onFault: (trouble: Trouble, repository: string, environment: string) => void;
  /** A rollout got healthy, or did not. */
  readonly onRollout?: (repository: string, news: RolloutNews) => void;
  /** Why an environment's target is taken for lost and made anew from what is approved; null: it is not. Asked once, at the start. */
  readonly rebuild?: (repository: string, environment: string, target: string) => string | null;
  /** After the state of an environment was recorded. */
  readonly onShown?: (repository: string, environment: string) => void;
}

/** Nothing is recorded by these once the lease is another's. */
export interface LeasedRecords {
  readonly ledger: Ledger;
  readonly records: Records;
  readonly runs: RecordedRuns;
  readonly refs: RefHistory;
}

interface Held extends LeasedRecords {
  readonly lease: Lease;
}

/** How an environment is shown: by whoever reconciles it, where nothing else is said. */
interface Shown {
  readonly gate?: GateState | null;
  readonly by?: Pick<LeasedRecords, 'ledger' | 'records'> | null;
}

/** How far an environment is. */
export interface EnvironmentProgress {
  readonly repository: string;
  readonly environment: string;
  readonly target: string | null;
  /** All that is approved is there. */
  readonly isLive: boolean;
  readonly objects: number;
  readonly healthy: number;
  readonly trouble: CountersignError | null;
}

interface Deployment {
  readonly repository: string;
  readonly environment: string;
  readonly target: string | null;
  reconciler: Keeper | null;
  /** What is approved, where another instance reconciles it. */
  elsewhere: ApprovedElsewhere | null;
  /** While this instance reconciles it. */
  held: Held | null;
  /** What was last asked for: whoever comes to reconcile it begins with that. */
  intent: () => Promise<void>;
  /** What was written last about it. */
  trouble: Trouble | null;
  /** Whether what was approved before this process began has been handed over, or found not to be. */
  known: boolean;
  /** What is being rolled out, until it is known to be healthy or not. */
  rollout: {
    readonly watch: RolloutWatch;
    readonly decision: string;
    readonly head: string;
    /** That it was given up is told; it may get healthy yet. */
    failed: boolean;
  } | null;
  timer: NodeJS.Timeout | null;
  /** What kept it from being handed over. */
  failed: CountersignError | null;
  /** Why it stays as it is though its rollout failed. */
  stays: Trouble | null;
  /** One step at a time for one environment; others are not delayed. */
  work: Promise<void>;
}

/** Every environment's reconciler: what review approved goes through the gate to it, what it finds goes into the records. */
export class Deployments {
  readonly #gate: RecordedGate;
  readonly #informers = new Map<string, Informers>();
  readonly #deployments = new Map<string, Deployment>();
  readonly #settings = new Map<string, ReconcileSettings | undefined>();
  readonly #shares = new Map<string, Share>();
  readonly #held = new Map<string, Held>();
  #closing = false;
  /** What each environment waits for, as governance has it now. */
  readonly #dependencies = new Map<string, readonly string[]>();

  constructor(private readonly parts: DeploymentsParts) {
    this.#gate = new RecordedGate(parts);
    for (const [target, cluster] of parts.clusters) this.#informers.set(target, new Informers(cluster));
  }

  approved(approved: Approved): void {
    const { repository, environment } = approved;
    const deployment = this.#deployment(repository, environment.name, environment.target);
    this.#intend(deployment, () => this.#hand(deployment, approved));
  }

  /** No longer defined: its objects are left alone. */
  removed(repository: string, environment: string): void {
    const deployment = this.#deployment(repository, environment, null);
    this.#intend(deployment, async () => {
      await deployment.reconciler?.stop();
      deployment.reconciler = null;
      deployment.elsewhere = null;
      await this.#show(deployment, 'removed', null);
    });
  }

  /** How environments are kept from now on, whatever is approved under it. */
  governed(repository: string, environments: readonly Environment[]): void {
    for (const { name, reconcile, dependsOn = [] } of environments) {
      this.#dependencies.set(`${repository}\0${name}`, dependsOn);
      this.#settings.set(`${repository}\0${name}`, reconcile);
      this.#deployments.get(`${repository}\0${name}`)?.reconciler?.configure(reconcile);
    }
  }

  /** Defined, but there is nothing that could be applied: whoever follows the repository says so, with what it may write. */
  unserved(
    repository: string,
    environment: string,
    trouble: Trouble,
    by: Pick<LeasedRecords, 'ledger' | 'records'>,
  ): void {
    const deployment = this.#deployment(repository, environment, null);
    this.#then(deployment, () => this.#show(deployment, 'refused', trouble, { by }));
  }

  /** Another instance has written there: what its runs left is known here, too, for those who ask what may be written. */
  changedElsewhere(repository: string, environment: string): void {
    const deployment = this.#deployments.get(`${repository}\0${environment}`);
    if (deployment && !deployment.held && deployment.elsewhere) this.#then(deployment, deployment.intent);
  }

  /** A run of it begins: from here on its time counts. */
  runs({ repository, environment, decisionId }: RunStart): void {
    const deployment = this.#deployments.get(`${repository}\0${environment}`);
    if (deployment?.rollout?.decision !== decisionId) return;
    deployment.rollout.watch.begun(Date.now());
    this.#lookAgain(deployment);
  }

  /** Why an environment whose rollout failed stays as it is. */
  stays(repository: string, environment: string, trouble: Trouble | null): void {
    const deployment = this.#deployments.get(`${repository}\0${environment}`);
    if (!deployment || deployment.stays?.message === trouble?.message) return;
    deployment.stays = trouble;
    const state = deployment.reconciler?.state;
    if (state) this.#then(deployment, () => this.#learn(deployment, state));
  }

  /** What is approved in a target, for those who ask before they write there. */
  approvedIn(target: string): ApprovedView {
    const there = (): (Keeper | ApprovedElsewhere)[] =>
      [...this.#deployments.values()].flatMap(({ reconciler, elsewhere, target: of }) => {
        const known = reconciler ?? elsewhere;
        return known && of === target ? [known] : [];
      });
    return {
      complete: async () => {
        const approved = (await this.parts.records.find('environment', { target })).filter(
          ({ approvedDecision }) => approvedDecision !== null,
        );
        return approved.every(({ repository, name }) => this.#deployments.get(`${repository}\0${name}`)?.known);
      },
      approvedState: (identity): ApprovedState | undefined => {
        const states = there().map((one) => one.approvedState(identityKey(identity)));
        return (
          states.find((state) => state !== undefined && state !== null) ?? states.find((state) => state !== undefined)
        );
      },
      scaled: ({ group, kind: plural, namespace, name }) => {
        const isIt = (one: ObjectIdentity): boolean =>
          one.group === group &&
          one.namespace === namespace &&
          one.name === name &&
          `${one.kind.toLowerCase()}s` === plural;
        return there()
          .map((one) => one.governs(isIt))
          .find((found) => found !== undefined);
      },
    };
  }

  /** Targets that cannot be reached right now. */
  troubles(): { readonly target: string; readonly trouble: Trouble }[] {
    const found = new Map<string, Trouble>();
    for (const { target, reconciler } of this.#deployments.values()) {
      const trouble = reconciler?.state.trouble;
      if (target && trouble?.code === 'cluster-unavailable') found.set(target, describeTrouble(trouble));
    }
    return [...found].map(([target, trouble]) => ({ target, trouble }));
  }

  async close(): Promise<void> {
    this.#closing = true;
    // Whoever takes an environment over begins when its lease is free.
    await Promise.all([...this.#shares.values()].map((share) => share.withdraw()));
    const all = [...this.#deployments.values()];
    for (const { timer } of all) if (timer) clearTimeout(timer);
    // What was handed over last may still make a reconciler, and a reconciler that stops may still have something to show.
    await Promise.all(all.map(({ work }) => work));
    await Promise.all(all.map(async ({ reconciler }) => reconciler?.stop()));
    await Promise.all(all.map(({ work }) => work));
    await Promise.all([...this.#informers.values()].map((informers) => informers.close()));
  }

  #deployment(repository: string, environment: string, target: string | null): Deployment {
    const key = `${repository}\0${environment}`;
    let deployment = this.#deployments.get(key);
    if (!deployment || (target !== null && deployment.target !== target)) {
      const before = deployment;
      deployment = {
        repository,
        environment,
        target,
        reconciler: null,
        elsewhere: null,
        held: this.#held.get(key) ?? null,
        intent: () => Promise.resolve(),
        trouble: null,
        known: false,
        rollout: null,
        timer: null,
        stays: null,
        failed: null,
        work: Promise.resolve(),
      };
      // The same environment on another target: what holds it to the old one ends first.
      if (before) deployment.work = before.work.then(async () => before.reconciler?.stop());
      this.#deployments.set(key, deployment);
      if (!this.#shares.has(key)) this.#shares.set(key, this.#share(key, repository, environment));
    }
    return deployment;
  }

  #share(key: string, repository: string, environment: string): Share {
    return this.parts.leases.share('environment', `${repository} ${environment}`, async (lease) => {
      const held: Held = { lease, ...this.parts.under(lease) };
      // Nobody else writes there from here on; what the one before had begun is not going on.
      await held.runs.closeOpenRuns(repository, environment, new Date());
      this.#held.set(key, held);
      const deployment = this.#deployments.get(key)!;
      deployment.held = held;
      this.#then(deployment, () => deployment.intent());
      return () => this.#leave(key);
    });
  }

  /** Another instance goes on with it: nothing is written here any more when this resolves. */
  async #leave(key: string): Promise<void> {
    this.#held.delete(key);
    const deployment = this.#deployments.get(key)!;
    // Not after what waits: that would be done for nothing.
    await deployment.reconciler?.stop();
    deployment.held = null;
    await deployment.work;
    await deployment.reconciler?.stop();
    deployment.reconciler = null;
    deployment.rollout = null;
    if (deployment.timer) clearTimeout(deployment.timer);
    if (!this.#closing) this.#then(deployment, () => deployment.intent());
  }

  #intend(deployment: Deployment, work: () => Promise<void>): void {
    deployment.intent = work;
    this.#then(deployment, work);
  }

  #then(deployment: Deployment, work: () => Promise<void>): void {
    const { repository, environment } = deployment;
    const step = async () => {
      await work();
      deployment.known = true;
    };
    deployment.work = deployment.work.then(step).catch(async (thrown: unknown) => {
      deployment.failed = toCountersignError(thrown);
      const trouble = describeTrouble(deployment.failed);
      if (!deployment.held || trouble.code === 'lease-lost') return; // whoever reconciles it says what is wrong
      this.parts.onFault(trouble, repository, environment);
      // The environment stays as it is and says why (invariant 7).
      await this.#show(deployment, 'failed', trouble).catch(() => {});
    });
  }

  async #hand(deployment: Deployment, approved: Approved): Promise<void> {
    const { parts } = this;
    const { repository, environment } = approved;
    const change = await this.#gate.pass(approved);
    if (!change) return;
    const { held } = deployment;
    const target = change.environment.target ?? '';
    const gated = parts.gateOf?.(target, repository);
    const inventory = (): Promise<Inventory> => parts.runs.inventory(repository, environment.name, target);
    deployment.elsewhere = held || gated ? null : new ApprovedElsewhere(change, await inventory(), parts.redactor);
    if (!held) return;
    if (!deployment.reconciler) {
      const left = await inventory();
      const isLost = !gated && (await this.#rebuild(deployment, held, change, left));
      deployment.reconciler = isLost
        ? this.#keeper(deployment, held, new Map(), change.decision)
        : this.#keeper(deployment, held, left);
    }
    const key = `${repository}\0${environment.name}`;
    deployment.reconciler.configure(this.#settings.has(key) ? this.#settings.get(key) : environment.reconcile);
    if (change.purpose === 'deploy' && !gated) await this.#beginRollout(deployment, change);
    deployment.reconciler.approve(change);
  }

  #keeper(deployment: Deployment, { lease, runs, refs }: Held, inventory: Inventory, restores?: number): Keeper {
    const { parts } = this;
    const { repository, environment, target } = deployment;
    const epoch = (): number => {
      if (lease.held) return lease.epoch;
      throw new CountersignError('lease-lost', `${environment} may be another instance's by now`, { retry: true });
    };
    const common = {
      log: runs,
      grants: parts.grants.get(target ?? '') ?? [],
      epoch,
      stillApproved: (waiting: ApprovedChange) => this.#gate.requireInForce(waiting),
      waitsFor: (waiting: ApprovedChange) => this.#waitsFor(waiting),
      onState: (state: ReconcilerState) => this.#then(deployment, () => this.#learn(deployment, state)),
    };
    const gated = parts.gateOf?.(target ?? '', repository);
    if (gated) return new ApprovedRefKeeper(repository, environment, { ...common, ...gated, history: refs });
    const informers = this.#informers.get(target ?? '')!;
    const { cluster } = informers;
    const as = parts.writerOf?.(target ?? '', repository, environment) ?? null;
    return new EnvironmentReconciler(repository, environment, inventory.values(), {
      ...common,
      informers,
      // Asked before each batch, and again as each write is sent: a process that wakes up late writes nothing.
      writer: (as ? cluster.actingAs(as) : cluster).guarded(epoch),
      redactor: parts.redactor,
      ...(restores === undefined ? {} : { restores }),
    });
  }

  /** True: nothing that our runs made is there any more, and the log says that it is made anew. */
  async #rebuild(
    deployment: Deployment,
    { ledger }: Held,
    approved: ApprovedChange,
    inventory: Inventory,
  ): Promise<boolean> {
    const { repository, environment, target } = deployment;
    const cluster = this.#informers.get(target ?? '')?.cluster;
    const reason = this.parts.rebuild?.(repository, environment, target ?? '') ?? null;
    const settings = this.#settings.get(`${repository}\0${environment}`) ?? approved.environment.reconcile;
    if (!cluster || target === null || reason === null || suspension(settings, Date.now())) return false;
    await requireLost(environment, cluster, inventory);
    if (inventory.size === 0) return false;
    const { decision, head } = approved;
    const time = new Date().toISOString();
    const said = { repository, environment, target, decision, head, lost: inventory.size, reason, time };
    await ledger.record(async (transaction) => transaction.append(rebuildEntry(said)));
    return true;
  }

  /** How far each environment is that goes to a target. */
  async progress(): Promise<readonly EnvironmentProgress[]> {
    const approved = (await this.parts.records.find('environment')).filter(
      ({ target, approvedDecision, status }) => target !== null && approvedDecision !== null && status !== 'removed',
    );
    return approved.map(({ repository, name: environment, target }) => {
      const deployment = this.#deployments.get(`${repository}\0${environment}`);
      const state = deployment?.reconciler?.state;
      const change = deployment?.reconciler?.approved;
      const found = deployment?.reconciler?.objects() ?? [];
      const isLive = change !== undefined && change !== null && state?.applied === change.decision && !state.trouble;
      const elsewhere = deployment?.elsewhere ? heldElsewhere(environment) : null;
      const trouble = state?.trouble ?? deployment?.failed ?? elsewhere;
      const healthy = found.filter(({ health: { status } }) => status === 'healthy').length;
      return {
        repository,
        environment,
        target,
        isLive,
        objects: found.length,
        healthy,
        trouble: isLive ? null : trouble,
      };
    });
  }

  /** Follows what is about to be rolled out, unless it is known to be healthy from before. */
  async #beginRollout(
    deployment: Deployment,
    { decision, decisionId, head }: Pick<ApprovedChange, 'decision' | 'decisionId' | 'head'>,
  ): Promise<void> {
    const { repository, environment } = deployment;
    if (deployment.rollout?.decision === decisionId) return;
    const { records } = this.parts;
    const [record] = await records.find('environment', { repository, name: environment });
    deployment.rollout = null;
    if (record?.healthyDecision === decisionId) return;
    const ill = await records.find('liveObject', { repository, environment, health: 'degraded' });
    const watch = new RolloutWatch(decision, ill.map(identityKey));
    deployment.rollout = { watch, decision: decisionId, head, failed: false };
  }

  #timeout({ repository, environment, reconciler }: Deployment): number {
    const settings = this.#settings.get(`${repository}\0${environment}`) ?? reconciler?.approved?.environment.reconcile;
    return settings?.health?.timeout ?? TIMEOUT;
  }

  async #followRollout(deployment: Deployment): Promise<void> {
    const { repository, environment, reconciler, rollout, held } = deployment;
    if (!reconciler || !rollout || !held) return;
    const { applied, trouble } = reconciler.state;
    const objects = reconciler.objects().map(({ entry, health }) => ({ identity: entry.identity, health }));
    const end = rollout.watch.look({ applied, trouble, objects }, this.#timeout(deployment), Date.now());
    if (!end) return this.#lookAgain(deployment);
    const { decision, head } = rollout;
    if (end.outcome === 'unhealthy') {
      if (rollout.failed) return;
      rollout.failed = true;
    } else {
      deployment.rollout = null;
      const where = { repository, name: environment, approvedDecision: decision };
      await held.records.update('environment', where, { healthy: head, healthyDecision: decision });
    }
    const unhealthy = end.outcome === 'healthy' ? null : end.reason;
    this.parts.onRollout?.(repository, { environment, decision, unhealthy });
  }

  /** When its time is over, if nothing happens until then. */
  #lookAgain(deployment: Deployment): void {
    if (deployment.timer) clearTimeout(deployment.timer);
    const due = deployment.rollout?.watch.dueAt(this.#timeout(deployment)) ?? Infinity;
    // What is under way past its time is looked at again when it says something.
    if (due === Infinity || due <= Date.now()) return;
    const look = (): void => this.#then(deployment, () => this.#followRollout(deployment));
    deployment.timer = setTimeout(look, Math.min(due - Date.now() + 1, 2 ** 31 - 1)).unref();
  }

  /** What was live before it waits for nobody: it is kept. */
  async #waitsFor(change: ApprovedChange): Promise<Waiting | null> {
    const { repository, environment } = change;
    const names = this.#dependencies.get(`${repository}\0${environment.name}`) ?? environment.dependsOn ?? [];
    if (names.length === 0 || change.purpose === 'repair' || (await this.#gate.isLive(change))) return null;
    return waitsFor(names, await this.parts.records.find('environment', { repository, name: names }), Date.now());
  }

  /** Whoever may have waited for this one looks again. */
  #tellDependents(repository: string, environment: string): void {
    for (const [key, names] of this.#dependencies) {
      if (!names.includes(environment) || !key.startsWith(`${repository}\0`)) continue;
      const reconciler = this.#deployments.get(key)?.reconciler;
      if (reconciler?.state.status === 'suspended') reconciler.configure(this.#settings.get(key));
    }
  }

  async #learn(deployment: Deployment, state: ReconcilerState): Promise<void> {
    const { repository, environment, reconciler, held } = deployment;
    if (!held || state.trouble?.code === 'lease-lost') return;
    const news = reconciler?.takeNews() ?? new Set<string>();
    for (const { entry, health } of news.size > 0 ? (reconciler?.objects() ?? []) : []) {
      if (!news.has(identityKey(entry.identity))) continue;
      const { group, kind, namespace, name } = entry.identity;
      const where = { repository, environment, group, kind, namespace, name };
      await held.records.update('liveObject', where, { health: health.status, healthReason: health.reason });
    }
    const { stays } = deployment;
    const isIll = state.status === 'degraded' || state.status === 'failed' || state.status === 'progressing';
    const trouble = state.trouble && describeTrouble(state.trouble);
    const isOther = trouble !== null && !['object-unhealthy', 'hook-failed'].includes(trouble.code);
    await this.#show(deployment, state.status, stays && isIll && !isOther ? stays : trouble, {
      gate: state.gate ?? null,
    });
    await this.#followRollout(deployment);
    this.#tellDependents(repository, environment);
  }

  /** What is wrong with an environment is in its record while it lasts, and in the log when it begins. */
  async #show(
    deployment: Deployment,
    status: EnvironmentRecord['status'],
    trouble: Trouble | null,
    { gate = null, by = deployment.held }: Shown = {},
  ): Promise<void> {
    if (!by) return; // it is another instance's to say
    const { repository, environment } = deployment;
    const { records, ledger } = by;
    const time = new Date().toISOString();
    await records.update('environment', { repository, name: environment }, { status, trouble, gate, updatedAt: time });
    this.parts.onShown?.(repository, environment);
    const before = deployment.trouble;
    deployment.trouble = trouble;
    if (!trouble || (before?.code === trouble.code && before.message === trouble.message)) return;
    this.parts.onFault(trouble, repository, environment);
    const fault: FaultRecord = { id: randomUUID(), repository, environment, trouble, time, index: null };
    await recordFault(ledger, records, fault);
  }
}

function heldElsewhere(environment: string): CountersignError {
  return new CountersignError('lease-lost', `${environment} is reconciled by another instance of the service`, {
    remedy: 'Stop all of them first',
    retry: true,
  });
}
