import { isGranted, outsideGrants, type Grant } from '../change/grant.js';
import type { ReconcileSettings } from '../change/reconcile-settings.js';
import { healthOf, type Health } from '../cluster/health.js';
import { describeIdentity, identityKey, type ObjectIdentity } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import { CountersignError } from '../errors.js';
import { Damper } from './backoff.js';
import type { Cluster, LiveObject } from './cluster.js';
import type { ApprovedState } from './admission.js';
import { driftOf } from './finding.js';
import { findDrift } from './find-drift.js';
import { assertApproved, type ApprovedChange } from './gate.js';
import { heldTrouble, Hold } from './hold.js';
import type { Informers } from './informer.js';
import { inventoryOf, type Inventory, type InventoryEntry } from './inventory.js';
import { TargetView } from './look.js';
import { Passes } from './passes.js';
import { desiredOf, isKept, type Desired } from './plan.js';
import { StateKeeper, type ReconcilerState, type ReconcilerStatus } from './reconciler-state.js';
import { driftSign, reconcile, type ToldFailure } from './run.js';
import type { Drift, RunLog } from './run-log.js';
import type { RunResult } from './run-state.js';
import type { Held } from './windows.js';
import { StandingDrift } from './standing-drift.js';

export interface ReconcilerParts {
  /** Of the target, shared by all its environments. */
  readonly informers: Informers;
  /** In whose name it writes, and asks what a write would do; that of the informers if it is not given. */
  readonly writer?: Cluster;
  readonly log: RunLog;
  readonly redactor: Redactor;
  /** Of the target. */
  readonly grants: readonly Grant[];
  /** The lease's epoch; throws when it is lost. A run ends when it is another than at its start. */
  readonly epoch: () => number;
  /** Asked before a change is applied as a whole, which may be long after it was approved; throws when it may not be any more. */
  readonly stillApproved?: (change: ApprovedChange) => Promise<void>;
  /** What else has to be live before a change goes live. Asked before, and again when that may have changed. */
  readonly waitsFor?: (change: ApprovedChange) => Promise<Held | null>;
  /** After every change of state. */
  readonly onState?: (state: ReconcilerState) => void;
  /** Log index of the decision whose change was live before its target was lost: that comes back without waiting for a window. */
  readonly restores?: number;
  readonly now?: () => Date;
}

/** One object that is governed here, as it is now. */
export interface GovernedObject {
  readonly entry: InventoryEntry;
  readonly live: LiveObject | null;
  readonly health: Health;
}

/**
 * Keeps one environment as its approved change says: applies it, watches it, and records and corrects what others change.
 * One pass at a time. At rest it writes nothing and asks nothing: passes are begun by approvals, watch events and retries.
 */
export class EnvironmentReconciler {
  #approved: ApprovedChange | null = null;
  #applied: ApprovedChange | null = null;
  /** What the last complete run applied: what a live object is compared with when it is found changed. */
  #desired: Desired = new Map();
  #inventory: Inventory;
  /** Of what is approved, whether or not it is live: for those who ask what may be written. */
  #newest: { readonly of: ApprovedChange; readonly desired: Desired } | null = null;
  #expected = new Map<string, LiveObject>();
  #dirty = new Set<string>();
  /** What the pass under way looks at: dirty again if it fails. */
  #taken: ReadonlySet<string> = new Set();
  readonly #standing = new StandingDrift();
  /** What the last run failed with, if the log has it. */
  #told: ToldFailure | null = null;
  readonly #states: StateKeeper;
  readonly #view: TargetView;
  readonly #hold = new Hold();
  readonly #damper = new Damper();
  #recordEnd: RunResult['recordEnd'] = null;
  readonly #passes: Passes;

  constructor(
    readonly repository: string,
    readonly environment: string,
    inventory: Iterable<InventoryEntry>,
    private readonly parts: ReconcilerParts,
  ) {
    this.#inventory = inventoryOf(inventory);
    this.#states = new StateKeeper((state) => parts.onState?.(state));
    this.#view = new TargetView(parts.informers, {
      changed: (key, live) => this.#changed(key, live),
      reachable: (trouble) => this.#reachable(trouble),
    });
    this.#passes = new Passes({
      pass: () => this.#pass(),
      failed: (trouble, requested) => this.#passFailed(trouble, requested),
      // After a failure its retry takes up what is left; else what waits to be corrected is due by itself.
      dueAt: (failing) => Math.min(this.#hold.until, failing ? Infinity : this.#damper.dueAt(this.#dirty)),
    });
  }

  get state(): ReconcilerState {
    return this.#states.now;
  }

  get approved(): ApprovedChange | null {
    return this.#approved;
  }

  objects(): GovernedObject[] {
    return [...this.#inventory.values()]
      .filter(({ hook }) => hook === null)
      .map((entry) => {
        const live = this.#view.get(entry.identity) ?? null;
        return { entry, live, health: healthOf(live) };
      });
  }

  /** Keys of objects whose health is another than when this was last asked. */
  takeNews(): ReadonlySet<string> {
    return this.#states.takeNews();
  }

  /** What an object is approved to be, as soon as it is approved; undefined for what is not governed here. */
  approvedState(key: string): ApprovedState | undefined {
    if (this.#approved && this.#newest?.of !== this.#approved) {
      this.#newest = { of: this.#approved, desired: this.#readable(this.#approved) };
    }
    const desired = this.#newest?.desired ?? this.#desired;
    const object = desired.get(key);
    if (object && !isKept(object)) return undefined;
    if (!object) return this.#inventory.get(key)?.hook === null ? null : undefined;
    const current = this.#inventory.get(key)?.digest === object.digest;
    return { sent: object.sent, expected: current ? this.#expected.get(key) : undefined };
  }

  /** What is approved; what was before, where its annotations cannot be understood and it will not be applied. */
  #readable(approved: ApprovedChange): Desired {
    try {
      return desiredOf(approved, this.#inventory, this.parts.redactor);
    } catch {
      return this.#desired;
    }
  }

  /** The governed objects of that kind's plural name. */
  governs(test: (identity: ObjectIdentity) => boolean): ObjectIdentity | undefined {
    for (const { identity } of this.#inventory.values()) if (test(identity)) return identity;
    return undefined;
  }

  /** From now on this is what the environment should be. Throws `not-approved`; `run-superseded` for an older one than it has. */
  approve(change: ApprovedChange): void {
    assertApproved(change);
    if (change.repository !== this.repository || change.environment.name !== this.environment) {
      throw new CountersignError('not-approved', `that change is not of ${this.repository} ${this.environment}`);
    }
    if (this.#approved && change.decision < this.#approved.decision) {
      throw new CountersignError(
        'run-superseded',
        `decision ${change.decision} is older than ${this.#approved.decision}`,
      );
    }
    this.#approved = change;
    this.#told = null;
    this.#passes.begin();
  }

  /** Whether, and when, it may write: this counts at once, before anything is decided under it. */
  configure(settings: ReconcileSettings | undefined): void {
    this.#hold.configure(settings);
    this.#passes.request();
  }

  /** Resolves when nothing is left to do right now; what waits for a retry counts as done. */
  settled(): Promise<void> {
    return this.#passes.settled();
  }

  async stop(): Promise<void> {
    const stopping = this.#passes.stop();
    this.#view.close();
    await stopping;
  }

  #changed(key: string, live: LiveObject | null): void {
    const entry = this.#inventory.get(key);
    if (!entry && !this.#desired.has(key)) return;
    if (entry && entry.hook !== null) return;
    this.#see(key, live);
    // Ours, if UID and resource version are those of our own answer; the field manager's name proves nothing (DESIGN 9).
    const own = this.#expected.get(key)?.metadata;
    if (own && live?.metadata.uid === own.uid && live.metadata.resourceVersion === own.resourceVersion) return;
    this.#dirty.add(key);
    this.#passes.request();
  }

  #reachable(trouble: CountersignError | null): void {
    if (trouble) this.#states.change({ status: 'failed', trouble });
    else if (this.state.trouble) {
      this.#passes.begin();
    }
  }

  #passFailed(trouble: CountersignError, requested: boolean): boolean {
    for (const key of this.#taken) this.#dirty.add(key);
    // A newer decision: the next pass is begun already.
    if (trouble.code === 'run-superseded' && requested) return false;
    this.#states.change({ status: trouble.code === 'environment-not-granted' ? 'refused' : 'failed', trouble });
    return true;
  }

  /** Everything one pass does, in order. */
  async #pass(): Promise<void> {
    this.#taken = new Set();
    const newest = this.#approved;
    if (newest === null) return;

    // 1. A run whose end could not be recorded is closed before another begins.
    await this.#recordEnd?.();
    this.#recordEnd = null;

    // 2. People may hold it. What is live is kept meanwhile, but for when it is suspended.
    const wasLive = this.#applied === newest || this.parts.restores === newest.decision;
    const waits = wasLive ? null : ((await this.parts.waitsFor?.(newest)) ?? null);
    const { held, resumed } = this.#hold.look(wasLive, this.#now().getTime(), waits);
    // What was only recorded meanwhile is put right from here on.
    if (resumed) for (const key of this.#standing.keys) this.#dirty.add(key);
    const approved = held && this.#applied ? this.#applied : newest;
    const holding = held && ({ status: 'suspended', trouble: heldTrouble(this.environment, held) } as const);
    if (holding && !this.#hold.isSuspended && !this.#applied) return this.#states.change(holding);

    // 3. Outside its grants nothing is written, and nothing looked at; nor under another policy than it was judged by.
    this.#checkGrants(approved);
    if (this.#applied !== approved) await this.parts.stillApproved?.(approved);

    // 4. What should be, what is there.
    const { parts } = this;
    const epoch = parts.epoch();
    const whole = this.#applied !== approved;
    const desired = desiredOf(approved, this.#inventory, parts.redactor);
    await this.#view.watch(
      desired,
      [...this.#inventory.values()].map(({ identity }) => identity),
    );
    const keys = whole ? new Set([...desired.keys(), ...this.#inventory.keys()]) : this.#takeDirty();
    this.#taken = keys;
    const live = await this.#view.look(identitiesOf(keys, desired, this.#inventory));
    for (const [key, object] of live) if (this.#inventory.get(key)?.hook === null) this.#see(key, object);

    if (!whole) this.#forgetGone(keys, desired, live);

    // 5. What others changed since our last run.
    const { environment } = approved;
    const cluster = parts.writer ?? parts.informers.cluster;
    const findings = await findDrift({
      keys,
      inventory: this.#inventory,
      desired,
      before: this.#desired,
      live,
      expected: this.#expected,
      environment,
      cluster,
    });
    if (this.#applied === null) this.#standing.foundAtStart(environment, findings);
    const correct = findings.filter(({ key, basis }) => !this.#isLeft(key, basis.identity));
    const left = findings.filter((finding) => !correct.includes(finding));
    const drifts = [...correct, ...this.#standing.untold(keys, left)].map((finding) =>
      driftOf(finding, approved, cluster.name, parts.redactor, this.#now()),
    );

    // 6. One run puts all of it right; with nothing to do, nothing is written or recorded.
    const mayWrite = (): void => {
      if (this.#approved === newest && parts.epoch() === epoch && !this.#passes.stopped) return;
      throw new CountersignError('run-superseded', `the run of decision ${approved.decision} is superseded`, {
        retry: true,
      });
    };
    const result = await reconcile(
      approved,
      {
        reason: whole ? approved.purpose : 'repair',
        epoch,
        situation: { inventory: this.#inventory, live, expected: this.#expected },
        drifts,
        // What grants no longer cover is not deleted either: nothing else is ever written there.
        mayPrune: (identity) => isGranted(this.repository, parts.grants, identity),
        leave: (identity) => this.#isLeft(identityKey(identity), identity),
        told: this.#told,
        ...(whole && !this.#hold.isSuspended ? {} : { only: new Set(correct.map(({ key }) => key)) }),
      },
      { cluster, log: parts.log, redactor: parts.redactor, mayWrite, now: () => this.#now() },
    );

    // 7. What is so now.
    this.#learn(result, drifts);
    if (result.outcome !== 'succeeded') {
      throw result.trouble ?? new CountersignError('internal', 'a run failed without saying why', { retry: true });
    }
    for (const { key } of whole ? [] : correct) this.#damper.corrected(key);
    this.#standing.told(left);
    this.#standing.written(result.answers.keys());
    if (holding) return this.#states.change(holding);
    if (whole) {
      this.#applied = approved;
      this.#dirty = new Set([...this.#dirty].filter((key) => !keys.has(key) || this.#isForeign(key)));
      // Kinds that this run has defined are watched from here on.
      this.#desired = desiredOf(approved, this.#inventory, parts.redactor);
      await this.#view.watch(this.#desired, []);
      this.#view.keep(
        identitiesOf([...this.#desired.keys(), ...this.#inventory.keys()], this.#desired, this.#inventory),
      );
    }
    this.#states.change({ ...this.#fights(), applied: approved.decision });
  }

  /** What is changed back as often as it is corrected waits ever longer, and is told. */
  #fights(): { status?: ReconcilerStatus; trouble: CountersignError | null } {
    const key = [...this.#dirty].find((one) => !this.#damper.isDue(one));
    const identity = key === undefined ? undefined : this.#inventory.get(key)?.identity;
    if (!identity) return this.#stays();
    const trouble = new CountersignError(
      'cluster-conflict',
      `${describeIdentity(identity)} is changed again and again after it was corrected`,
      {
        remedy: 'See who does it in its drift, then stop that controller or take the field out of the manifest',
        retry: true,
      },
    );
    return { status: 'degraded', trouble };
  }

  #checkGrants(approved: ApprovedChange): void {
    const [first] = outsideGrants(
      this.repository,
      this.parts.informers.cluster.name,
      this.parts.grants,
      approved.objects,
    );
    if (first) throw first;
  }

  /** Objects that changed and are not being fought over. */
  #takeDirty(): Set<string> {
    const due = new Set([...this.#dirty].filter((key) => this.#damper.isDue(key)));
    for (const key of due) this.#dirty.delete(key);
    return due;
  }

  /** What was to be deleted, and is, now that its finalizers are through. */
  #forgetGone(keys: ReadonlySet<string>, desired: Desired, live: ReadonlyMap<string, LiveObject | null>): void {
    const gone = [...keys].filter((key) => !desired.has(key) && (live.get(key) ?? null) === null);
    if (gone.length === 0) return;
    this.#inventory = new Map([...this.#inventory].filter(([key]) => !gone.includes(key)));
    this.#states.forget((key) => this.#inventory.has(key));
  }

  /** Drift that is only reported here. */
  #stays(): { status?: ReconcilerStatus; trouble: CountersignError | null } {
    const found = [...this.#standing.keys].flatMap((key) => this.#inventory.get(key)?.identity ?? []);
    if (found.length === 0) return { trouble: null };
    const more = found.length > 1 ? ` and ${found.length - 1} more` : '';
    const trouble = new CountersignError(
      'drifted',
      `${describeIdentity(found[0])}${more} differs from what is approved, which is only reported here`,
      { remedy: 'Put it back, change it in Git, or set drift: correct for it in countersign.yaml' },
    );
    return { status: 'degraded', trouble };
  }

  #isLeft(key: string, identity: ObjectIdentity): boolean {
    return this.#hold.isSuspended || this.#standing.isLeft(key, identity, this.#approved?.environment);
  }

  #learn(result: RunResult, drifts: readonly Drift[]): void {
    const { trouble } = result;
    if (result.outcome === 'succeeded') this.#told = null;
    else if (result.id !== null && trouble) this.#told = { trouble, drifts: new Set(drifts.map(driftSign)) };
    this.#inventory = result.inventory;
    this.#recordEnd = result.recordEnd;
    for (const [key, answer] of result.answers) {
      this.#expected.set(key, answer);
      this.#view.learn(answer);
      this.#see(key, answer);
    }
    this.#states.recorded(result.answers.keys());
    for (const key of this.#expected.keys()) if (!this.#inventory.has(key)) this.#expected.delete(key);
    this.#states.forget((key) => this.#inventory.get(key)?.hook === null);
  }

  /** True if the newest version that was seen is another than our own answer. */
  #isForeign(key: string): boolean {
    const entry = this.#inventory.get(key);
    const live = entry && this.#view.get(entry.identity);
    return live?.metadata.resourceVersion !== entry?.resourceVersion;
  }

  #see(key: string, live: LiveObject | null): void {
    if (this.#states.see(key, live) && this.#applied && !this.state.trouble) this.#states.change({});
  }

  #now(): Date {
    return this.parts.now?.() ?? new Date();
  }
}

function identitiesOf(keys: Iterable<string>, desired: Desired, inventory: Inventory): ObjectIdentity[] {
  const identities: ObjectIdentity[] = [];
  for (const key of keys) {
    const identity = desired.get(key)?.identity ?? inventory.get(key)?.identity;
    if (identity && identityKey(identity) === key) identities.push(identity);
  }
  return identities;
}
