import { isGranted, outsideGrants, type Grant } from '../change/grant.js';
import { healthOf, worst, type Health } from '../cluster/health.js';
import { describeIdentity, identityKey, type ObjectIdentity } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { Backoff, Damper } from './backoff.js';
import type { LiveObject } from './cluster.js';
import type { ApprovedState } from './admission.js';
import { compare } from './drift.js';
import { driftOf, type Finding } from './finding.js';
import { assertApproved, type ApprovedChange } from './gate.js';
import type { Informers } from './informer.js';
import { inventoryOf, type Inventory, type InventoryEntry } from './inventory.js';
import { TargetView } from './look.js';
import { desiredOf, type Desired, type DesiredObject } from './plan.js';
import { reconcile, type RunResult } from './run.js';
import type { RunLog } from './run-log.js';

export type ReconcilerStatus = 'new' | 'synced' | 'progressing' | 'degraded' | 'failed' | 'refused';

export interface ReconcilerState {
  readonly status: ReconcilerStatus;
  readonly trouble: CountersignError | null;
  /** Of the worst object. */
  readonly health: Health;
  /** Log index of the decision whose change is live; null before the first. */
  readonly applied: number | null;
}

export interface ReconcilerParts {
  /** Of the target, shared by all its environments. */
  readonly informers: Informers;
  readonly log: RunLog;
  readonly redactor: Redactor;
  /** Of the target. */
  readonly grants: readonly Grant[];
  /** The lease's epoch; throws when it is lost. A run ends when it is another than at its start. */
  readonly epoch: () => number;
  /** Asked before a change is applied as a whole, which may be long after it was approved; throws when it may not be any more. */
  readonly stillApproved?: (change: ApprovedChange) => Promise<void>;
  /** After every change of state. */
  readonly onState?: (state: ReconcilerState) => void;
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
  readonly #health = new Map<string, Health>();
  readonly #view: TargetView;
  readonly #backoff = new Backoff();
  readonly #damper = new Damper();
  #recordEnd: RunResult['recordEnd'] = null;
  #state: ReconcilerState = { status: 'new', trouble: null, health: { status: 'unknown', reason: '' }, applied: null };
  #requested = false;
  #wake: (() => void) | null = null;
  #idle: (() => void)[] = [];
  #busy = false;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(
    readonly repository: string,
    readonly environment: string,
    inventory: Iterable<InventoryEntry>,
    private readonly parts: ReconcilerParts,
  ) {
    this.#inventory = inventoryOf(inventory);
    this.#view = new TargetView(parts.informers, {
      changed: (key, live) => this.#changed(key, live),
      reachable: (trouble) => this.#reachable(trouble),
    });
    this.#running = this.#loop();
  }

  get state(): ReconcilerState {
    return this.#state;
  }

  get approved(): ApprovedChange | null {
    return this.#approved;
  }

  objects(): GovernedObject[] {
    return [...this.#inventory.values()].map((entry) => {
      const live = this.#view.get(entry.identity) ?? null;
      return { entry, live, health: healthOf(live) };
    });
  }

  /** What an object is approved to be, as soon as it is approved; undefined for what is not governed here. */
  approvedState(key: string): ApprovedState | undefined {
    if (this.#approved && this.#newest?.of !== this.#approved) {
      this.#newest = { of: this.#approved, desired: desiredOf(this.#approved, this.#inventory, this.parts.redactor) };
    }
    const desired = this.#newest?.desired ?? this.#desired;
    const object = desired.get(key);
    if (!object) return this.#inventory.has(key) ? null : undefined;
    const current = this.#inventory.get(key)?.digest === object.digest;
    return { sent: object.sent, expected: current ? this.#expected.get(key) : undefined };
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
    this.#backoff.reset();
    this.#request();
  }

  /** Resolves when nothing is left to do right now; what waits for a retry counts as done. */
  async settled(): Promise<void> {
    while (this.#busy || this.#requested) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#view.close();
    this.#wake?.();
    await this.#running;
  }

  #changed(key: string, live: LiveObject | null): void {
    const entry = this.#inventory.get(key);
    if (!entry && !this.#desired.has(key)) return;
    this.#updateHealth(key, live);
    // Ours, if UID and resource version are those of our own answer; the field manager's name proves nothing (DESIGN 9).
    const own = this.#expected.get(key)?.metadata;
    if (own && live?.metadata.uid === own.uid && live.metadata.resourceVersion === own.resourceVersion) return;
    this.#dirty.add(key);
    this.#request();
  }

  #reachable(trouble: CountersignError | null): void {
    if (trouble) this.#setState({ status: 'failed', trouble });
    else if (this.#state.trouble) {
      this.#backoff.reset();
      this.#request();
    }
  }

  #request(): void {
    this.#requested = true;
    this.#wake?.();
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await this.#sleep();
      if (this.#stopped) break;
      this.#requested = false;
      this.#busy = true;
      try {
        await this.#pass();
        this.#backoff.succeeded();
      } catch (thrown) {
        for (const key of this.#taken) this.#dirty.add(key);
        const trouble = toCountersignError(thrown);
        // A newer decision: the next pass is begun already.
        if (trouble.code !== 'run-superseded' || !this.#requested) this.#failed(trouble);
      }
      this.#taken = new Set();
      this.#busy = false;
      for (const done of this.#idle.splice(0)) done();
    }
    for (const done of this.#idle.splice(0)) done();
  }

  /** Until there is something to do, and not before a failure's pause is over. */
  async #sleep(): Promise<void> {
    for (;;) {
      // After a failure its retry takes up what is left; else what waits to be corrected is due by itself.
      const due = Math.min(
        this.#backoff.retryAt(),
        this.#backoff.isFailing() ? Infinity : this.#damper.dueAt(this.#dirty),
      );
      const notBefore = this.#backoff.notBefore();
      const at = this.#requested ? notBefore : Math.max(due, notBefore);
      const wait = at - Date.now();
      if (this.#stopped || wait <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = wait === Infinity ? null : setTimeout(resolve, Math.min(wait, 2 ** 31 - 1));
        this.#wake = () => {
          if (timer) clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }

  /** Everything one pass does, in order. */
  async #pass(): Promise<void> {
    const approved = this.#approved;
    if (approved === null) return;

    // 1. A run whose end could not be recorded is closed before another begins.
    await this.#recordEnd?.();
    this.#recordEnd = null;

    // 2. Outside its grants nothing is written, and nothing looked at; nor under another policy than it was judged by.
    this.#checkGrants(approved);
    if (this.#applied !== approved) await this.parts.stillApproved?.(approved);

    // 3. What should be, what is there.
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
    for (const [key, object] of live) this.#updateHealth(key, object);

    // 4. What others changed since our last run.
    const findings = await this.#findings(keys, desired, live);
    const drifts = findings.map((finding) =>
      driftOf(finding, approved, parts.informers.cluster.name, parts.redactor, this.#now()),
    );

    // 5. One run puts all of it right; with nothing to do, nothing is written or recorded.
    const mayWrite = (): void => {
      if (this.#approved === approved && parts.epoch() === epoch && !this.#stopped) return;
      throw new CountersignError('run-superseded', `the run of decision ${approved.decision} is superseded`, {
        retry: true,
      });
    };
    const before = this.#inventory;
    const result = await reconcile(
      approved,
      {
        reason: whole ? approved.purpose : 'repair',
        epoch,
        situation: { inventory: before, live, expected: this.#expected },
        drifts,
        // What grants no longer cover is not deleted either: nothing else is ever written there.
        mayPrune: (identity) => isGranted(this.repository, parts.grants, identity),
        ...(whole ? {} : { only: new Set(findings.map(({ key }) => key)) }),
      },
      { cluster: parts.informers.cluster, log: parts.log, redactor: parts.redactor, mayWrite, now: () => this.#now() },
    );

    // 6. What is so now.
    this.#learn(result);
    if (result.outcome !== 'succeeded') {
      throw result.trouble ?? new CountersignError('internal', 'a run failed without saying why', { retry: true });
    }
    for (const { key } of whole ? [] : findings) this.#damper.corrected(key);
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
    this.#setState({ ...this.#fights(), applied: approved.decision });
  }

  /** What is changed back as often as it is corrected waits ever longer, and is told. */
  #fights(): { status?: ReconcilerStatus; trouble: CountersignError | null } {
    const key = [...this.#dirty].find((one) => !this.#damper.isDue(one));
    const identity = key === undefined ? undefined : this.#inventory.get(key)?.identity;
    if (!identity) return { trouble: null };
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

  /** Compares with what the last run applied, so that a change made before a new one is approved is still recorded. */
  async #findings(
    keys: ReadonlySet<string>,
    desired: Desired,
    live: ReadonlyMap<string, LiveObject | null>,
  ): Promise<Finding[]> {
    const findings: Finding[] = [];
    for (const key of keys) {
      const entry = this.#inventory.get(key);
      const now = desired.get(key);
      if (!entry) continue; // not yet ours
      const basis = this.#desired.get(key) ?? (now?.digest === entry.digest ? now : undefined);
      const object = live.get(key) ?? null;
      if (object === null) {
        if (basis ?? now) findings.push({ key, type: 'deleted', basis: (basis ?? now)!, live: null, differences: [] });
        continue;
      }
      if (!basis || (object.metadata.uid === entry.uid && object.metadata.resourceVersion === entry.resourceVersion))
        continue;
      const differences = await this.#differences(key, basis, object);
      if (object.metadata.uid !== entry.uid) findings.push({ key, type: 'replaced', basis, live: object, differences });
      else if (differences.length > 0) findings.push({ key, type: 'modified', basis, live: object, differences });
    }
    return findings;
  }

  async #differences(key: string, basis: DesiredObject, live: LiveObject): Promise<Finding['differences']> {
    const first = compare(basis.sent, live, this.#expected.get(key));
    if (!first.uncertain) return first.differences;
    // Asked at most once for each object after a restart: the answer is remembered.
    const answer = await this.parts.informers.cluster.apply(basis.sent, { dryRun: true });
    this.#expected.set(key, answer);
    return compare(basis.sent, live, answer).differences;
  }

  #learn(result: RunResult): void {
    this.#inventory = result.inventory;
    this.#recordEnd = result.recordEnd;
    for (const [key, answer] of result.answers) {
      this.#expected.set(key, answer);
      this.#view.learn(answer);
      this.#updateHealth(key, answer);
    }
    for (const key of this.#expected.keys()) if (!this.#inventory.has(key)) this.#expected.delete(key);
    for (const key of this.#health.keys()) if (!this.#inventory.has(key)) this.#health.delete(key);
  }

  /** True if the newest version that was seen is another than our own answer. */
  #isForeign(key: string): boolean {
    const entry = this.#inventory.get(key);
    const live = entry && this.#view.get(entry.identity);
    return live?.metadata.resourceVersion !== entry?.resourceVersion;
  }

  #failed(trouble: CountersignError): void {
    this.#backoff.failed(trouble);
    this.#setState({ status: trouble.code === 'environment-not-granted' ? 'refused' : 'failed', trouble });
  }

  #updateHealth(key: string, live: LiveObject | null): void {
    const health = healthOf(live);
    const before = this.#health.get(key);
    if (before?.status === health.status && before.reason === health.reason) return;
    this.#health.set(key, health);
    if (this.#applied && !this.#state.trouble) this.#setState({});
  }

  #setState(change: { status?: ReconcilerStatus; trouble?: CountersignError | null; applied?: number }): void {
    const next = { ...this.#state, ...change, health: worst(this.#health.values()) };
    const status = change.status ?? (next.trouble ? next.status : statusOf(next.health));
    const before = this.#state;
    this.#state = { ...next, status };
    const same =
      before.status === status &&
      before.trouble?.message === next.trouble?.message &&
      before.applied === next.applied &&
      before.health.status === next.health.status &&
      before.health.reason === next.health.reason;
    if (!same) this.parts.onState?.(this.#state);
  }

  #now(): Date {
    return this.parts.now?.() ?? new Date();
  }
}

function statusOf({ status }: Health): ReconcilerStatus {
  if (status === 'degraded') return 'degraded';
  return status === 'progressing' || status === 'missing' ? 'progressing' : 'synced';
}

function identitiesOf(keys: Iterable<string>, desired: Desired, inventory: Inventory): ObjectIdentity[] {
  const identities: ObjectIdentity[] = [];
  for (const key of keys) {
    const identity = desired.get(key)?.identity ?? inventory.get(key)?.identity;
    if (identity && identityKey(identity) === key) identities.push(identity);
  }
  return identities;
}
