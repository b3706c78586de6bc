import { randomUUID } from 'node:crypto';
import { outsideGrants, type Grant } from '../change/grant.js';
import type { ReconcileSettings } from '../change/reconcile-settings.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { refIdentity, type Gate, type Left, type RefHistory } from './approved-ref.js';
import { nothing } from './attribution.js';
import { Damper } from './backoff.js';
import { assertApproved, type ApprovedChange } from './gate.js';
import { Hold, heldTrouble } from './hold.js';
import type { Keeper } from './keeper.js';
import { Passes } from './passes.js';
import { isAt, nameOf, type PeerState } from './peers.js';
import type { Held } from './windows.js';
import type { ReconcilerState, ReconcilerStatus } from './reconciler-state.js';
import type { Drift, RunEnd, RunLog, RunOutcome, RunStart, WriteOperation, WriteResult } from './run-log.js';

interface RefKeeperParts {
  readonly gate: Gate;
  /** The repository's own address: what peers may name it by. */
  readonly url: string;
  readonly log: RunLog;
  readonly history: RefHistory;
  readonly grants: readonly Grant[];
  /** The lease's epoch; throws when it is lost. */
  readonly epoch: () => number;
  readonly stillApproved?: (change: ApprovedChange) => Promise<void>;
  readonly waitsFor?: (change: ApprovedChange) => Promise<Held | null>;
  readonly onState?: (state: ReconcilerState) => void;
  readonly now?: () => Date;
}

interface Seen {
  readonly commit: string | null;
  /** True where somebody else put it there. */
  readonly foreign: boolean;
}

/**
 * Keeps the ref that Argo CD or Flux follow at the approved commit of one environment, and nothing else does: `ApprovedChange` alone
 * says where to (invariant 1), each move is a run in the log before and after it, and a move by anybody else is recorded and taken back.
 */
export class ApprovedRefKeeper implements Keeper {
  readonly ref: string;
  #approved: ApprovedChange | null = null;
  #applied: ApprovedChange | null = null;
  #settings: ReconcileSettings | undefined;
  /** null: not asked yet. */
  #left: Left | null = null;
  #seen: Seen = { commit: null, foreign: false };
  /** Where somebody else put it last, and what is not in the log yet of that. */
  #told: { readonly commit: string | null; readonly drifts: readonly Drift[] } | null = null;
  readonly #hold = new Hold();
  readonly #damper = new Damper();
  readonly #passes: Passes;
  readonly #leave: (() => void)[];
  #recordEnd: (() => Promise<void>) | null = null;
  #trouble: CountersignError | null = null;
  #status: ReconcilerStatus = 'new';
  #shown = '';

  constructor(
    readonly repository: string,
    readonly environment: string,
    private readonly parts: RefKeeperParts,
  ) {
    const { gate } = parts;
    this.ref = gate.refOf(environment);
    this.#passes = new Passes({
      pass: () => this.#pass(),
      failed: (trouble, requested) => this.#failed(trouble, requested),
      dueAt: (failing) =>
        Math.min(this.#hold.until, failing || !this.#seen.foreign ? Infinity : this.#damper.dueAt([this.ref])),
    });
    this.#leave = [
      gate.watch.listen(this.ref, {
        seen: (commit) => {
          if (commit !== this.#seen.commit) this.#passes.request();
        },
        reachable: (trouble) => {
          if (trouble) this.#show('failed', trouble);
          else if (this.#trouble?.code === 'repository-missing') this.#passes.begin();
        },
      }),
      gate.peers?.listen(() => this.#show(this.#status, this.#trouble)) ?? (() => {}),
    ];
  }

  get state(): ReconcilerState {
    const peers = this.#peers();
    const { commit } = this.#seen;
    const { status, trouble } = withPeers(this.#status, this.#trouble, commit, peers);
    const health = { status: 'unknown', reason: '' } as const;
    const unheard = this.parts.gate.peers?.trouble?.message ?? null;
    const gate = { ref: this.ref, where: this.parts.gate.remote.where, commit, peers, unheard };
    return { status, trouble, health, applied: this.#applied?.decision ?? null, gate };
  }

  get approved(): ApprovedChange | null {
    return this.#approved;
  }

  // Its objects are in others' hands.
  objects(): readonly [] {
    return [];
  }
  takeNews(): ReadonlySet<string> {
    return new Set();
  }
  approvedState(): undefined {}
  governs(): undefined {}

  configure(settings: ReconcileSettings | undefined): void {
    this.#settings = settings;
    this.#hold.configure(settings);
    this.#passes.request();
  }

  approve(change: ApprovedChange): void {
    assertApproved(change);
    if (change.repository !== this.repository || change.environment.name !== this.environment) {
      throw new CountersignError('not-approved', `that change is not of ${this.repository} ${this.environment}`);
    }
    if (this.#approved && change.decision < this.#approved.decision) {
      throw new CountersignError('run-superseded', `decision ${change.decision} is older than ${this.#approved.decision}`); // prettier-ignore
    }
    this.#approved = change;
    this.#passes.begin();
  }

  /** Resolves when nothing is left to do right now. */
  settled(): Promise<void> {
    return this.#passes.settled();
  }

  async stop(): Promise<void> {
    for (const leave of this.#leave) leave();
    await this.#passes.stop();
  }

  /** Everything one pass does, in order. */
  async #pass(): Promise<void> {
    const newest = this.#approved;
    if (newest === null) return;
    const { gate, history } = this.parts;

    // 1. A run whose end could not be recorded is closed before another begins.
    await this.#recordEnd?.();
    this.#recordEnd = null;

    // 2. Where it is, and whether that is our own doing.
    const commit = (await gate.remote.read()).get(this.ref) ?? null;
    this.#left ??= await history.left(this.repository, this.environment, this.ref);
    const { at, perhaps } = this.#left;
    const ours = at !== null || (commit !== null && perhaps.has(commit));
    const foreign = at !== null && commit !== at && !(commit !== null && perhaps.has(commit));
    this.#seen = { commit, foreign };
    if (!foreign) this.#told = null;
    if (ours && !foreign && commit === newest.head) this.#applied = newest;

    // 3. People may hold it: what it was moved to last is kept meanwhile, but for when it is suspended.
    const isApplied = this.#applied === newest;
    const waits = isApplied ? null : ((await this.parts.waitsFor?.(newest)) ?? null);
    const { held } = this.#hold.look(isApplied, this.#now().getTime(), waits);
    const approved = held && this.#applied ? this.#applied : newest;
    const holding = held && heldTrouble(this.environment, held);
    if (holding && !this.#applied) return this.#show('suspended', holding);
    const whole = this.#applied !== approved;

    // 4. Outside its grants nothing is let through, nor under another policy than it was judged by.
    const [outside] = outsideGrants(this.repository, gate.target, this.parts.grants, approved.objects);
    if (outside) throw outside;
    if (whole) await this.parts.stillApproved?.(approved);

    // 5. Who moved it is in the log before it is moved back (invariant 12).
    const mode = this.#settings?.drift ?? 'correct';
    if (ours && !foreign && commit === approved.head) {
      return this.#show(holding ? 'suspended' : 'synced', holding);
    }
    const leave = foreign && !whole && (this.#hold.isSuspended || mode !== 'correct');
    const fights = foreign && !whole && !leave && !this.#damper.isDue(this.ref);
    const drifts = foreign && !fights && mode !== 'off' ? await this.#tell(approved, commit) : [];
    if (leave && drifts.length > 0) await this.#run(approved, null, drifts, () => {});
    if (leave && mode === 'off' && !holding) return this.#show('synced', null);
    if (leave || fights) {
      return this.#show(holding ? 'suspended' : 'degraded', holding ?? moved(this.ref, commit, approved, leave));
    }

    // 6. What stands there and was never ours is nobody's to overwrite.
    const forward = commit === null || commit === approved.head || (await gate.remote.isForward(commit, approved.head));
    if (!ours && !forward) {
      throw new CountersignError('object-claimed', `${this.ref} of ${gate.remote.where} is at ${commit?.slice(0, 12)}, where no decision put it`, { remedy: 'Delete that branch, or give the gate another "ref" in service.yaml' }); // prettier-ignore
    }

    // 7. One run: its intent is in the log before the ref moves, its result after.
    const epoch = this.parts.epoch();
    const mayWrite = (): void => {
      if (this.#approved === newest && this.parts.epoch() === epoch && !this.#passes.stopped) return;
      throw new CountersignError('run-superseded', `the run of decision ${approved.decision} is superseded`, {
        retry: true,
      });
    };
    const op = commit === null ? 'create' : ours ? 'update' : 'adopt';
    const trouble = await this.#run(approved, { op, from: commit, forced: !forward }, drifts, mayWrite);
    if (trouble) throw trouble;
    this.#left = { at: approved.head, perhaps: new Set() };
    this.#seen = { commit: approved.head, foreign: false };
    this.#applied = approved;
    if (foreign && !whole) this.#damper.corrected(this.ref);
    this.#show(holding ? 'suspended' : 'synced', holding);
  }

  async #run(
    approved: ApprovedChange,
    write: { readonly op: WriteOperation; readonly from: string | null; readonly forced: boolean } | null,
    drifts: readonly Drift[],
    mayWrite: () => void,
  ): Promise<CountersignError | null> {
    const { gate, log } = this.parts;
    const { head } = approved;
    const identity = refIdentity(this.ref);
    const planned = write ? [{ op: write.op, identity, digest: head }] : [];
    mayWrite();
    const run: RunStart = {
      id: randomUUID(),
      repository: this.repository,
      environment: this.environment,
      target: gate.target,
      decision: approved.decision,
      decisionId: approved.decisionId,
      head,
      reason: this.#applied === approved ? 'repair' : approved.purpose,
      epoch: this.parts.epoch(),
      planned,
      ...(write ? { move: { ref: this.ref, from: write.from, to: head, forced: write.forced } } : {}),
      time: this.#now().toISOString(),
    };
    await log.started(run, drifts);
    if (this.#told) this.#told = { ...this.#told, drifts: [] };
    let trouble: CountersignError | null = null;
    try {
      mayWrite();
      if (write && write.from !== head) {
        // From here on it may be there, whatever we hear of it.
        this.#left = { at: this.#left?.at ?? null, perhaps: new Set([...(this.#left?.perhaps ?? []), head]) };
        await gate.remote.move(this.ref, write.from, approved);
      }
    } catch (thrown) {
      trouble = toCountersignError(thrown);
    }
    const outcome: RunOutcome = !trouble
      ? 'succeeded'
      : ['run-superseded', 'lease-lost'].includes(trouble.code)
        ? 'superseded'
        : 'failed';
    const results = planned.map((one): WriteResult => {
      const came = trouble ? (outcome === 'failed' ? 'failed' : 'skipped') : 'written';
      return { ...one, outcome: came, uid: null, resourceVersion: trouble ? null : head, trouble };
    });
    const end: RunEnd = {
      id: run.id,
      outcome,
      results,
      inventory: new Map(),
      trouble,
      time: this.#now().toISOString(),
    };
    const recordEnd = (): Promise<void> => log.finished(run, end);
    try {
      await recordEnd();
      return trouble;
    } catch (thrown) {
      this.#recordEnd = recordEnd;
      return trouble ?? toCountersignError(thrown);
    }
  }

  /** Once for each place where somebody put it. */
  async #tell(approved: ApprovedChange, commit: string | null): Promise<readonly Drift[]> {
    if (this.#told && this.#told.commit === commit) return this.#told.drifts;
    const { gate, history } = this.parts;
    const old = this.#left?.at ?? null;
    const time = this.#now().toISOString();
    const move = { ref: this.ref, old, new: commit };
    const by = history.pusher(this.repository, move);
    const forward = old !== null && commit !== null && (await gate.remote.isForward(old, commit));
    const kind = commit === null ? 'deleted' : forward ? 'advanced' : 'forced';
    await history.foreign({ ...move, kind, repository: this.repository, by, time });
    const name = by && ('login' in by ? by.login : by.name);
    const drift: Drift = {
      id: randomUUID(),
      repository: this.repository,
      environment: this.environment,
      target: gate.target,
      decision: approved.decision,
      identity: refIdentity(this.ref),
      type: commit === null ? 'deleted' : 'modified',
      fields: [
        { type: commit === null ? 'removed' : 'changed', path: 'commit', desired: approved.head, ...(commit === null ? {} : { live: commit }) }, // prettier-ignore
      ],
      attribution: name ? { ...nothing, strength: 'likely', source: 'forge', user: { name }, time } : nothing,
      uid: null,
      resourceVersion: commit,
      time,
    };
    this.#told = { commit, drifts: [drift] };
    return this.#told.drifts;
  }

  #failed(trouble: CountersignError, requested: boolean): boolean {
    if (trouble.code === 'run-superseded' && requested) return false;
    this.#show(trouble.code === 'environment-not-granted' ? 'refused' : 'failed', trouble);
    return true;
  }

  #peers(): PeerState[] {
    return this.parts.gate.peers?.peers({ ref: this.ref, urls: [this.parts.url] }) ?? [];
  }

  #show(status: ReconcilerStatus, trouble: CountersignError | null): void {
    this.#status = status;
    this.#trouble = trouble;
    const { state } = this;
    const shown = JSON.stringify([state.status, state.trouble?.message, state.applied, state.gate]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.parts.onState?.(state);
  }

  #now(): Date {
    return this.parts.now?.() ?? new Date();
  }
}

/** The ref is where it should be; whether it is live is others' word. Nobody's: then it is done for us. Pure. */
function withPeers(
  status: ReconcilerStatus,
  trouble: CountersignError | null,
  commit: string | null,
  peers: readonly PeerState[],
): { readonly status: ReconcilerStatus; readonly trouble: CountersignError | null } {
  if (status !== 'synced' || trouble || commit === null) return { status, trouble };
  const bad = peers.find(({ health }) => health === 'degraded' || health === 'missing');
  if (bad) {
    const said = new CountersignError(
      'object-unhealthy',
      `${bad.tool} says that ${nameOf(bad)} is ${bad.health}${bad.message ? `: ${bad.message}` : ''}`,
      { remedy: `Look at it there; the approved ref is at ${commit.slice(0, 12)}, as it should be` },
    );
    return { status: 'degraded', trouble: said };
  }
  const settled = peers.every((peer) => isAt(peer, commit) && peer.sync !== 'out_of_sync' && ['healthy', 'suspended', 'unknown'].includes(peer.health)); // prettier-ignore
  return { status: settled ? 'synced' : 'progressing', trouble: null };
}

function moved(ref: string, commit: string | null, approved: ApprovedChange, left: boolean): CountersignError {
  const what = commit === null ? 'was deleted' : `was moved to ${commit.slice(0, 12)}`;
  return new CountersignError(
    'drifted',
    `${ref} ${what} by somebody else${left ? ', which is only reported here' : ' again and again'}; approved is ${approved.head.slice(0, 12)}`,
    { remedy: 'Find who pushes there, and let nobody but Countersign do so: see its drift' },
  );
}
