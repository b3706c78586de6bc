import { identityKey, type ObjectIdentity } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import { type CountersignError, toCountersignError } from '../errors.js';
import type { Cluster, LiveObject } from './cluster.js';
import { concurrently } from './concurrently.js';
import { recordId } from '../review/record-id.js';
import { assertApproved, type ApprovedChange } from './gate.js';
import { failure, runHook, runHooks, type HookParts } from './hooks.js';
import {
  desiredOf,
  isKept,
  planRun,
  type ApplyWrite,
  type DesiredObject,
  type HookWrite,
  type Plan,
  type Situation,
} from './plan.js';
import type { PruneWrite } from './prune.js';
import { Rehearsal } from './rehearsal.js';
import { healthy, type Waiting } from './rollout.js';
import type { Drift, RunEnd, RunLog, RunOutcome, RunStart } from './run-log.js';
import { entryOf, RunState, type RunResult } from './run-state.js';
import { unlessSame } from './inventory.js';
import type { Stage } from './stages.js';
import { applyObject } from './write.js';

export interface RunParts {
  readonly cluster: Cluster;
  readonly log: RunLog;
  readonly redactor: Redactor;
  /**
   * Throws `run-superseded` when this run may write no more: a newer decision, or a lease that is another's by now. Asked
   * before each batch, so that a process that wakes up late writes nothing.
   */
  readonly mayWrite: () => void;
  readonly now: () => Date;
}

/** A failure of the same change that is in the log already. */
export interface ToldFailure {
  readonly trouble: CountersignError;
  /** The drifts that were recorded with it, each with the version that was seen. */
  readonly drifts: ReadonlySet<string>;
}

export interface RunRequest {
  readonly reason: 'deploy' | 'repair';
  readonly epoch: number;
  readonly situation: Situation;
  /** What was found not as approved, and is put right by this run; recorded before anything is written. */
  readonly drifts: readonly Drift[];
  /** False for what must be left where it is, though Git no longer has it. */
  readonly mayPrune?: (identity: ObjectIdentity) => boolean;
  /** True for what stays as it is found as long as Git does not change it: its drift is only reported. */
  readonly leave?: (identity: ObjectIdentity) => boolean;
  /** Limits the run to these objects. */
  readonly only?: ReadonlySet<string>;
  /** Set in a retry: what is refused again in the same words before a first write is not recorded again. */
  readonly told?: ToldFailure | null;
}

/** Milliseconds that a wave, or a hook, may take where the environment says nothing else. */
export const TIMEOUT = 600_000;

/**
 * One run: brings the target to what is approved. Throws `not-approved` for a value that did not pass the gate, what planning
 * refuses (`object-invalid`, `object-claimed`, `prune-guarded`), and what the log throws when it cannot record; in all cases nothing was
 * written. What the cluster refuses is in the result.
 */
export async function reconcile(approved: ApprovedChange, request: RunRequest, parts: RunParts): Promise<RunResult> {
  // 1. Nothing but the gate's own value counts, whatever its type says (invariant 1).
  assertApproved(approved);
  const { situation, told = null } = request;

  // 2. What differs. The plan is made here, from the approved objects, so that nothing else can be slipped in.
  const desired = desiredOf(approved, situation.inventory, parts.redactor);
  const planned = planRun(approved, desired, situation, request);
  const inventory = new Map(situation.inventory);
  for (const { identity } of planned.dropped) inventory.delete(identityKey(identity));
  const changed = new Set(planned.applies.map(({ identity }) => identityKey(identity)));
  for (const [key, object] of desired) {
    const live = situation.live.get(key);
    const entry = situation.inventory.get(key);
    if (entry?.digest === object.digest && request.leave?.(object.identity)) continue;
    // Made once by us, or by somebody else: what was there before is not ours to delete one day.
    if (!isKept(object) || (!entry && object.directives.apply === 'ifNotPresent')) continue;
    // As it should be already, after a run that was interrupted between its write and its end: ours from now on.
    if (live && !changed.has(key)) inventory.set(key, unlessSame(entry, entryOf(object, live, null)));
  }
  const unrecorded = new RunState(startOf(approved, planned, request, parts), inventory);
  const failed =
    planned.failedHook &&
    failure({ ...planned.failedHook.desired, phase: planned.failedHook.phase }, 'it ran for this commit already');
  if (failed && planned.failedHook?.phase !== 'PostSync') return unrecorded.result('failed', failed);
  if (unrecorded.run.planned.length === 0 && request.drifts.length === 0) {
    return unrecorded.result(failed ? 'failed' : 'succeeded', failed);
  }

  // 3. Nothing is written before what comes first is healthy, nor where the server would refuse one of the objects.
  parts.mayWrite();
  const { environment } = approved;
  const timeout = environment.reconcile?.health?.timeout ?? TIMEOUT;
  const waiting: Omit<Waiting, 'known'> = { cluster: parts.cluster, mayWrite: parts.mayWrite, timeout };
  if (planned.before.length === 0) {
    const trouble = await firstWaves(planned, { ...waiting, known: (key) => situation.live.get(key) });
    if (trouble) return unrecorded.result('failed', trouble);
  }
  const rehearsal = new Rehearsal(environment, parts.cluster);
  const asks = request.reason === 'deploy' || told !== null;
  const { plan, refusal } = asks ? await rehearsal.of(planned) : { plan: planned, refusal: null };
  if (refusal && isTold(refusal, request.drifts, told)) return unrecorded.result('failed', refusal);

  // 4. The start, with every write that is planned and every drift that is its reason, is in the log before the first write.
  parts.mayWrite();
  const run = startOf(approved, plan, request, parts);
  const state = new RunState(run, inventory);
  await parts.log.started(run, request.drifts);

  // 5. Hooks before, waves of objects, prunes in reverse, hooks after.
  let trouble: CountersignError | null = refusal;
  let outcome: RunOutcome = refusal ? 'failed' : 'succeeded';
  if (!refusal) {
    const known = (key: string): LiveObject | null | undefined => state.answers.get(key) ?? situation.live.get(key);
    const hookParts: HookParts = { ...waiting, state: approved.renderedDigest };
    const work = new Work(approved, plan, state, { ...waiting, known }, asks ? rehearsal : null, hookParts);
    try {
      await work.all();
    } catch (thrown) {
      trouble = toCountersignError(thrown);
      outcome = ['run-superseded', 'lease-lost'].includes(trouble.code) ? 'superseded' : 'failed';
      // Once for what failed, not once for each retry.
      if (outcome === 'failed' && told === null) await work.tellHooks();
    }
  }
  for (const write of [...plan.applies, ...plan.hooks, ...plan.prunes, ...plan.onFailure]) state.skipped(write);

  // 6. What came of it, with the inventory that the next run starts from.
  const end: RunEnd = {
    id: run.id,
    outcome,
    results: state.results,
    inventory: state.inventory,
    trouble,
    time: parts.now().toISOString(),
  };
  const recordEnd = (): Promise<void> => parts.log.finished(run, end);
  const result = { ...state.result(outcome, trouble), id: run.id };
  try {
    await recordEnd();
    return failed && !trouble ? { ...result, outcome: 'failed', trouble: failed } : result;
  } catch (thrown) {
    return { ...result, outcome: 'failed', trouble: trouble ?? toCountersignError(thrown), recordEnd };
  }
}

export const driftSign = ({ identity, resourceVersion }: Drift): string =>
  `${identityKey(identity)} ${resourceVersion}`;

function isTold(refusal: CountersignError, drifts: readonly Drift[], told: ToldFailure | null): boolean {
  if (told?.trouble.code !== refusal.code || told.trouble.message !== refusal.message) return false;
  return drifts.every((drift) => told.drifts.has(driftSign(drift)));
}

/** Waves before the first that has something to write; what is wrong with them. */
async function firstWaves(plan: Plan, waiting: Waiting): Promise<CountersignError | null> {
  const writes = new Set([...plan.applies, ...plan.hooks].map(({ identity }) => identityKey(identity)));
  const until = plan.stages.findIndex((stage) => hasWrites(stage, writes));
  try {
    for (const stage of plan.stages.slice(0, Math.max(until, 0))) await healthy(stage, waiting);
    return null;
  } catch (thrown) {
    const trouble = toCountersignError(thrown);
    if (trouble.code !== 'object-unhealthy') throw trouble;
    return trouble;
  }
}

function hasWrites(stage: Stage<DesiredObject>, writes: ReadonlySet<string>): boolean {
  return stage.batches.some((batch) => batch.some(({ identity }) => writes.has(identityKey(identity))));
}

/** What a run does between its start and its end. */
class Work {
  readonly #applies: ReadonlyMap<string, ApplyWrite>;

  constructor(
    private readonly approved: ApprovedChange,
    private readonly plan: Plan,
    private readonly state: RunState,
    private readonly waiting: Waiting,
    private readonly rehearsal: Rehearsal | null,
    private readonly hookParts: HookParts,
  ) {
    this.#applies = new Map(plan.applies.map((write) => [identityKey(write.identity), write]));
  }

  async all(): Promise<void> {
    const { before, stages, after, prunes } = this.plan;
    await this.#hooks(before, 'PreSync');
    const last = prunes.filter((prune) => prune.last);
    const writes = new Set([...this.#applies.keys(), ...this.plan.hooks.map(({ identity }) => identityKey(identity))]);
    for (const [i, stage] of stages.entries()) {
      await this.#stage(stage);
      const goesOn = stages.slice(i + 1).some((later) => hasWrites(later, writes));
      if (goesOn || after.length > 0 || last.length > 0) await healthy(stage, this.waiting);
    }
    await this.#prune(prunes.filter((prune) => !prune.last));
    await this.#hooks(after, 'PostSync');
    await this.#prune(last);
  }

  /** Hooks for the case that something failed. They are told, and cannot fail anything more. */
  async tellHooks(): Promise<void> {
    for (const write of this.plan.onFailure) {
      await runHook(write, this.state, this.hookParts).catch((thrown: unknown) => {
        if (!this.state.results.some(({ op, identity }) => op === 'hook' && identity === write.identity))
          this.state.failed(write, toCountersignError(thrown));
      });
    }
  }

  async #stage(stage: Stage<DesiredObject>): Promise<void> {
    for (const batch of stage.batches) {
      const writes = batch.flatMap(({ identity }) => this.#applies.get(identityKey(identity)) ?? []);
      await this.rehearsal?.ofBatch(writes);
      if (writes.length > 0) {
        this.waiting.mayWrite();
        await this.#apply(writes);
      }
      await this.#runDue(batch, 'Sync');
    }
  }

  async #hooks(stages: readonly Stage<DesiredObject>[], phase: HookWrite['phase']): Promise<void> {
    for (const stage of stages) for (const batch of stage.batches) await this.#runDue(batch, phase);
  }

  async #runDue(batch: readonly DesiredObject[], phase: HookWrite['phase']): Promise<void> {
    const due = new Set(batch.map(({ identity }) => identityKey(identity)));
    const hooks = this.plan.hooks.filter((hook) => hook.phase === phase && due.has(identityKey(hook.identity)));
    if (hooks.length === 0) return;
    this.waiting.mayWrite();
    await runHooks(hooks, this.state, this.hookParts);
  }

  async #apply(batch: readonly ApplyWrite[]): Promise<void> {
    let first: CountersignError | null = null;
    await concurrently(batch, async (write) => {
      // Others of the batch that are under way end; none is begun after a failure.
      if (first) return;
      try {
        const { cluster, mayWrite } = this.waiting;
        const { live, taken } = await applyObject(write, this.approved.environment, cluster, mayWrite);
        this.state.written(write, live, taken);
      } catch (thrown) {
        const trouble = toCountersignError(thrown);
        this.state.failed(write, trouble);
        first ??= trouble;
      }
    });
    if (first) throw first as CountersignError;
  }

  async #prune(writes: readonly PruneWrite[]): Promise<void> {
    for (const write of writes) {
      this.waiting.mayWrite();
      try {
        const left = await this.waiting.cluster.delete(write.identity, write.uid);
        this.state.pruned(write, left === null);
      } catch (thrown) {
        const trouble = toCountersignError(thrown);
        this.state.failed(write, trouble);
        throw trouble;
      }
    }
  }
}

function startOf(
  approved: ApprovedChange,
  plan: Plan,
  { reason, epoch }: RunRequest,
  { cluster, now }: RunParts,
): RunStart {
  const planned = [...plan.applies, ...plan.hooks, ...plan.prunes, ...plan.onFailure];
  return {
    id: recordId(),
    repository: approved.repository,
    environment: approved.environment.name,
    target: cluster.name,
    decision: approved.decision,
    decisionId: approved.decisionId,
    head: approved.head,
    reason,
    epoch,
    planned: planned.map(({ op, identity, digest }) => ({ op, identity, digest })),
    time: now().toISOString(),
  };
}
