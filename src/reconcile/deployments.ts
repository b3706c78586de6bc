import { randomUUID } from 'node:crypto';
import type { Lease, Leases, Share } from '../audit/lease.js';
import type { Ledger } from '../audit/ledger.js';
import type { Environment } from '../change/environment.js';
import type { ReconcileSettings } from '../change/reconcile-settings.js';
import { identityKey } from '../cluster/object.js';
import { type CountersignError, toCountersignError } from '../errors.js';
import type { Approved } from '../review/followed-repository.js';
import { recordFault } from '../review/record-fault.js';
import type { EnvironmentRecord, FaultRecord, GateState, Records, Trouble } from '../review/records.js';
import type { RolloutNews } from '../review/returns.js';
import { describeTrouble } from '../review/trouble.js';
import type { ApprovedView } from './admission.js';
import { ApprovedElsewhere } from './approved-elsewhere.js';
import type { RefHistory } from './approved-ref.js';
import { approvedView } from './approved-view.js';
import { waitsFor } from './dependencies.js';
import { EnvironmentRollout } from './environment-rollout.js';
import type { ApprovedChange } from './gate.js';
import type { Keeper } from './keeper.js';
import { Keepers, type KeepersParts } from './keepers.js';
import { type EnvironmentProgress, progressOf } from './progress.js';
import type { ReconcilerState } from './reconciler-state.js';
import { RecordedGate } from './recorded-gate.js';
import { recordHealth } from './recorded-health.js';
import type { RecordedRuns } from './recorded-runs.js';
import type { RunStart } from './run-log.js';
import { TIMEOUT } from './run.js';
import { type Held as Waiting, suspension } from './windows.js';

export interface DeploymentsParts extends KeepersParts {
  /** Each environment is reconciled by whoever has its lease; the others know what is approved, and wait. */
  readonly leases: Leases;
  /** What is written under a lease. */
  readonly under: (lease: Lease) => LeasedRecords;
  /** Where a failure to record goes: the log itself may be what fails. */
  readonly onFault: (trouble: Trouble, repository: string, environment: string) => void;
  /** A rollout got healthy, or did not. */
  readonly onRollout?: (repository: string, news: RolloutNews) => void;
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
  readonly rollout: EnvironmentRollout;
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
  readonly #keepers: Keepers;
  readonly #deployments = new Map<string, Deployment>();
  readonly #settings = new Map<string, ReconcileSettings | undefined>();
  readonly #shares = new Map<string, Share>();
  readonly #held = new Map<string, Held>();
  #closing = false;
  /** What each environment waits for, as governance has it now. */
  readonly #dependencies = new Map<string, readonly string[]>();

  constructor(private readonly parts: DeploymentsParts) {
    this.#gate = new RecordedGate(parts);
    this.#keepers = new Keepers(parts, this.#gate);
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
    this.#deployments.get(`${repository}\0${environment}`)?.rollout.runs(decisionId);
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
    const isKnown = (repository: string, environment: string): boolean =>
      this.#deployments.get(`${repository}\0${environment}`)?.known ?? false;
    return approvedView(target, this.parts.records, there, isKnown);
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
    for (const { rollout } of all) rollout.stop();
    // What was handed over last may still make a reconciler, and a reconciler that stops may still have something to show.
    await Promise.all(all.map(({ work }) => work));
    await Promise.all(all.map(async ({ reconciler }) => reconciler?.stop()));
    await Promise.all(all.map(({ work }) => work));
    await this.#keepers.close();
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
        rollout: this.#rollout(repository, environment),
        stays: null,
        failed: null,
        work: Promise.resolve(),
      };
      // The same environment on another target: what holds it to the old one ends first.
      if (before) {
        before.rollout.stop();
        deployment.work = before.work.then(async () => before.reconciler?.stop());
      }
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
    deployment.rollout.forget();
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
    const isGated = parts.gateOf?.(target, repository) !== undefined;
    deployment.elsewhere =
      held || isGated
        ? null
        : new ApprovedElsewhere(change, await parts.runs.inventory(repository, environment.name, target), parts.redactor); // prettier-ignore
    if (!held) return;
    const settings = this.#settingsOf(repository, environment);
    deployment.reconciler ??= await this.#keepers.make(
      { repository, environment: environment.name, target, held },
      change,
      suspension(settings, Date.now()) !== null,
      {
        waitsFor: (waiting) => this.#waitsFor(waiting),
        onState: (state) => this.#then(deployment, () => this.#learn(deployment, state)),
      },
    );
    deployment.reconciler.configure(settings);
    if (change.purpose === 'deploy' && !isGated) await deployment.rollout.begin(change);
    deployment.reconciler.approve(change);
  }

  /** As governance has it now; as it was approved, where that says nothing yet. */
  #settingsOf(
    repository: string,
    { name, reconcile }: Pick<Environment, 'name' | 'reconcile'>,
  ): ReconcileSettings | undefined {
    const key = `${repository}\0${name}`;
    return this.#settings.has(key) ? this.#settings.get(key) : reconcile;
  }

  #rollout(repository: string, environment: string): EnvironmentRollout {
    const key = `${repository}\0${environment}`;
    return new EnvironmentRollout({
      repository,
      environment,
      records: this.parts.records,
      timeout: () => {
        const approved = this.#deployments.get(key)?.reconciler?.approved?.environment;
        return (this.#settings.get(key) ?? approved?.reconcile)?.health?.timeout ?? TIMEOUT;
      },
      due: () => {
        const deployment = this.#deployments.get(key);
        if (deployment) this.#then(deployment, () => this.#followRollout(deployment));
      },
      told: (news) => this.parts.onRollout?.(repository, news),
    });
  }

  async #followRollout({ reconciler, rollout, held }: Deployment): Promise<void> {
    if (reconciler && held) await rollout.look(reconciler, held.records);
  }

  /** How far each environment is that goes to a target. */
  async progress(): Promise<readonly EnvironmentProgress[]> {
    const approved = (await this.parts.records.find('environment')).filter(
      ({ target, approvedDecision, status }) => target !== null && approvedDecision !== null && status !== 'removed',
    );
    return approved.map((one) => progressOf(one, this.#deployments.get(`${one.repository}\0${one.name}`)));
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
    const changed = news.size === 0 ? [] : (reconciler?.objects() ?? []);
    await recordHealth(
      held.records,
      deployment,
      changed.filter(({ entry }) => news.has(identityKey(entry.identity))),
    );
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
