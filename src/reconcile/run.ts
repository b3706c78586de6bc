import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { identityKey, identityOf, type ObjectIdentity } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { healthOf } from '../cluster/health.js';
import type { Cluster, LiveObject } from './cluster.js';
import { removals, sameButStatus } from './drift.js';
import { assertApproved, type ApprovedChange } from './gate.js';
import type { Inventory, InventoryEntry } from './inventory.js';
import { rank, waveOf } from './order.js';
import {
  definedBy,
  desiredOf,
  planRun,
  type ApplyWrite,
  type DesiredObject,
  type Plan,
  type PruneWrite,
  type Situation,
} from './plan.js';
import type { Drift, PlannedWrite, RunEnd, RunLog, RunOutcome, RunStart, WriteResult } from './run-log.js';

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

export interface RunRequest {
  readonly reason: 'deploy' | 'repair';
  readonly epoch: number;
  readonly situation: Situation;
  /** What was found not as approved, and is put right by this run; recorded before anything is written. */
  readonly drifts: readonly Drift[];
  /** False for what must be left where it is, though Git no longer has it. */
  readonly mayPrune?: (identity: ObjectIdentity) => boolean;
  /** Limits the run to these objects. */
  readonly only?: ReadonlySet<string>;
}

export interface RunResult {
  /** null: there was nothing to write, and nothing was recorded. */
  readonly id: string | null;
  readonly outcome: RunOutcome;
  readonly results: readonly WriteResult[];
  readonly inventory: Inventory;
  /** The server's answers to this run's applies, by identity key. */
  readonly answers: ReadonlyMap<string, LiveObject>;
  /** The first thing that went wrong. */
  readonly trouble: CountersignError | null;
  /** Records the end again where the log could not: the run is open until that resolves. */
  readonly recordEnd: (() => Promise<void>) | null;
}

/** Writes of one rank that are under way at once. */
const CONCURRENCY = 8;
/** How often a write is repeated over an object whose status keeps moving. */
const REPEATS = 5;
/** Milliseconds to wait for a new definition to be served. */
const ESTABLISH = 30_000;

/**
 * One run: brings the target to what is approved. Throws `not-approved` for a value that did not pass the gate, and what the log throws
 * when it cannot record; in both cases nothing was written. What the cluster refuses is in the result.
 */
export async function reconcile(approved: ApprovedChange, request: RunRequest, parts: RunParts): Promise<RunResult> {
  // 1. Nothing but the gate's own value counts, whatever its type says (invariant 1).
  assertApproved(approved);
  const { situation } = request;

  // 2. What differs. The plan is made here, from the approved objects, so that nothing else can be slipped in.
  const desired = desiredOf(approved, situation.inventory, parts.redactor);
  const plan = planRun(desired, situation, request);
  const inventory = new Map(situation.inventory);
  for (const { identity } of plan.dropped) inventory.delete(identityKey(identity));
  for (const [key, { identity, source, digest, provenance }] of desired) {
    const live = situation.live.get(key);
    // As it should be already, after a run that was interrupted between its write and its end: ours from now on.
    if (live && !plan.applies.some((write) => identityKey(write.identity) === key)) {
      const { uid, resourceVersion } = live.metadata;
      inventory.set(key, { identity, uid, resourceVersion, digest, source, ...provenance });
    }
  }
  const run = startOf(approved, plan, request, parts);
  const state = new RunState(run, inventory);
  if (run.planned.length === 0 && request.drifts.length === 0) return state.result('succeeded', null);

  // 3. A server that would refuse one of the objects is asked before any of them is written.
  parts.mayWrite();
  const refusal = request.reason === 'deploy' ? await rehearse(plan.applies, parts) : null;

  // 4. The start, with every write that is planned and every drift that is its reason, is in the log before the first write.
  await parts.log.started(run, request.drifts);

  // 5. Apply in order, then prune in reverse.
  let trouble: CountersignError | null = refusal;
  let outcome: RunOutcome = refusal ? 'failed' : 'succeeded';
  if (!refusal) {
    try {
      for (const batch of batches(plan.applies)) {
        parts.mayWrite();
        await applyBatch(batch, state, parts);
      }
      for (const write of plan.prunes) {
        parts.mayWrite();
        await prune(write, state, parts);
      }
    } catch (thrown) {
      trouble = toCountersignError(thrown);
      outcome = trouble.code === 'run-superseded' ? 'superseded' : 'failed';
    }
  }
  for (const write of [...plan.applies, ...plan.prunes]) state.skipped(write);

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
    return result;
  } catch (thrown) {
    return { ...result, outcome: 'failed', trouble: trouble ?? toCountersignError(thrown), recordEnd };
  }
}

class RunState {
  readonly results: WriteResult[] = [];
  readonly answers = new Map<string, LiveObject>();

  constructor(
    readonly run: RunStart,
    readonly inventory: Map<string, InventoryEntry>,
  ) {}

  written({ op, identity, digest, desired }: ApplyWrite, live: LiveObject): void {
    const { uid, resourceVersion } = live.metadata;
    const key = identityKey(identity);
    this.answers.set(key, live);
    this.inventory.set(key, {
      identity,
      uid,
      resourceVersion,
      digest: desired.digest,
      source: desired.source,
      ...desired.provenance,
    });
    this.results.push({ op, identity, digest, outcome: 'written', uid, resourceVersion, trouble: null });
  }

  pruned({ op, identity, uid }: PruneWrite): void {
    this.inventory.delete(identityKey(identity));
    this.results.push({ op, identity, digest: null, outcome: 'written', uid, resourceVersion: null, trouble: null });
  }

  failed({ op, identity, digest }: PlannedWrite, trouble: CountersignError): void {
    this.results.push({ op, identity, digest, outcome: 'failed', uid: null, resourceVersion: null, trouble });
  }

  skipped({ op, identity, digest }: PlannedWrite): void {
    const key = identityKey(identity);
    if (this.results.some((result) => result.op === op && identityKey(result.identity) === key)) return;
    this.results.push({ op, identity, digest, outcome: 'skipped', uid: null, resourceVersion: null, trouble: null });
  }

  result(outcome: RunOutcome, trouble: CountersignError | null): RunResult {
    return {
      id: null,
      outcome,
      results: this.results,
      inventory: this.inventory,
      answers: this.answers,
      trouble,
      recordEnd: null,
    };
  }
}

function startOf(
  approved: ApprovedChange,
  plan: Plan,
  { reason, epoch }: RunRequest,
  { cluster, now }: RunParts,
): RunStart {
  return {
    id: randomUUID(),
    repository: approved.repository,
    environment: approved.environment.name,
    target: cluster.name,
    decision: approved.decision,
    decisionId: approved.decisionId,
    head: approved.head,
    reason,
    epoch,
    planned: [...plan.applies, ...plan.prunes].map(({ op, identity, digest }) => ({ op, identity, digest })),
    time: now().toISOString(),
  };
}

/** The first refusal, or null. Objects that need another one of this run first cannot be asked about. */
async function rehearse(applies: readonly ApplyWrite[], { cluster }: RunParts): Promise<CountersignError | null> {
  const makes = applies.filter(({ op, identity }) => op === 'create' && waveOf(identity) < 2);
  const namespaces = new Set(
    makes.filter(({ identity }) => identity.kind === 'Namespace').map(({ identity }) => identity.name),
  );
  const definitions = makes.some(({ identity }) => identity.kind === 'CustomResourceDefinition');
  const askable: ApplyWrite[] = [];
  for (const write of applies) {
    if (namespaces.has(write.identity.namespace)) continue;
    if (definitions && !(await served(cluster, write.identity))) continue;
    askable.push(write);
  }
  let refusal: CountersignError | null = null;
  await concurrently(askable, async ({ desired }) => {
    if (refusal) return;
    try {
      await cluster.apply(desired.sent, { dryRun: true });
    } catch (thrown) {
      refusal ??= toCountersignError(thrown);
    }
  });
  return refusal;
}

async function served(
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

/** Writes of one rank may go together. */
function batches(applies: readonly ApplyWrite[]): ApplyWrite[][] {
  const groups = new Map<number, ApplyWrite[]>();
  for (const write of applies) {
    const at = rank(write.identity);
    const group = groups.get(at);
    if (group) group.push(write);
    else groups.set(at, [write]);
  }
  return [...groups.values()];
}

async function applyBatch(batch: readonly ApplyWrite[], state: RunState, parts: RunParts): Promise<void> {
  let first: CountersignError | null = null;
  await concurrently(batch, async (write) => {
    // Others of the batch that are under way end; none is begun after a failure.
    if (first) return;
    try {
      state.written(write, await apply(write, parts));
    } catch (thrown) {
      const trouble = toCountersignError(thrown);
      state.failed(write, trouble);
      first ??= trouble;
    }
  });
  if (first) throw first as CountersignError;
}

async function apply({ desired, live, differences }: ApplyWrite, { cluster }: RunParts): Promise<LiveObject> {
  const applied = await overwrite(desired, live, cluster);
  const result = await takeAway(applied, differences, cluster);
  if (desired.identity.kind === 'CustomResourceDefinition') await established(cluster, desired);
  return result;
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
  let live = applied;
  for (let attempt = 0; ; attempt++) {
    const operations = removals(live, differences);
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

/** A definition is of use only when the server also serves its kinds, which it begins to do a moment after saying so. */
async function established(cluster: Cluster, { identity, sent }: DesiredObject): Promise<void> {
  const deadline = Date.now() + ESTABLISH;
  const ready = async (): Promise<boolean> => {
    if (healthOf(await cluster.get(identity)).status !== 'healthy') return false;
    for (const kind of definedBy(sent)) if (!(await served(cluster, kind))) return false;
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

async function prune(write: PruneWrite, state: RunState, { cluster }: RunParts): Promise<void> {
  try {
    await cluster.delete(write.identity, write.uid);
    state.pruned(write);
  } catch (thrown) {
    const trouble = toCountersignError(thrown);
    state.failed(write, trouble);
    throw trouble;
  }
}

function expecting(live: LiveObject | null): { expect?: { uid: string; resourceVersion: string } } {
  return live ? { expect: { uid: live.metadata.uid, resourceVersion: live.metadata.resourceVersion } } : {};
}

async function concurrently<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: Math.min(CONCURRENCY, items.length) }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
