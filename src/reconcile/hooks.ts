import { setTimeout as sleep } from 'node:timers/promises';
import { healthOf } from '../cluster/health.js';
import { describeIdentity, identityKey, isJsonObject, type Json } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { Cluster, LiveObject } from './cluster.js';
import type { HookDeletePolicy } from './directives.js';
import type { HookRun } from './inventory.js';
import type { HookWrite } from './plan.js';
import type { RunState } from './run-state.js';
import { vanish } from './write.js';

/** Whether what a hook started is through, and how it ended. */
export interface Completion {
  readonly state: 'running' | 'succeeded' | 'failed';
  readonly reason: string;
}

/** A Job that runs is healthy, but not through: hooks ask another question than health does. */
export function completionOf(live: LiveObject | null): Completion {
  if (live === null) return { state: 'failed', reason: 'it was deleted while it ran' };
  const { status } = live;
  if (live.kind === 'Job' && live.apiVersion.startsWith('batch/')) {
    const failed = conditionOf(status, 'Failed');
    if (failed !== null) return { state: 'failed', reason: failed || 'the job failed' };
    return { state: conditionOf(status, 'Complete') === null ? 'running' : 'succeeded', reason: '' };
  }
  const phase = isJsonObject(status) ? status['phase'] : undefined;
  if (live.kind === 'Pod' || (live.kind === 'Workflow' && live.apiVersion.startsWith('argoproj.io/'))) {
    const message = isJsonObject(status) && typeof status['message'] === 'string' ? status['message'] : '';
    if (phase === 'Succeeded') return { state: 'succeeded', reason: '' };
    if (phase === 'Failed' || phase === 'Error') return { state: 'failed', reason: message || `its phase is ${phase}` };
    return { state: 'running', reason: message };
  }
  const health = healthOf(live);
  if (health.status === 'degraded') return { state: 'failed', reason: health.reason };
  return { state: health.status === 'healthy' ? 'succeeded' : 'running', reason: health.reason };
}

/** The message of a condition that is true; null where it is not. */
function conditionOf(status: Json | undefined, type: string): string | null {
  const conditions = isJsonObject(status) ? status['conditions'] : undefined;
  if (!Array.isArray(conditions)) return null;
  const found = (conditions as readonly Json[]).find(
    (one) => isJsonObject(one) && one['type'] === type && one['status'] === 'True',
  );
  if (!isJsonObject(found)) return null;
  return typeof found['message'] === 'string' ? found['message'] : '';
}

export interface HookParts {
  readonly cluster: Cluster;
  readonly mayWrite: () => void;
  /** Milliseconds that it may take. */
  readonly timeout: number;
  /** Digest of the state that it runs for. */
  readonly state: string;
}

/**
 * Makes a hook's object anew, waits until it is through, and deletes it as its policy says. Throws `hook-failed`. A process
 * that dies meanwhile runs it again: at least once, as in Argo CD.
 */
export async function runHook(write: HookWrite, done: RunState, parts: HookParts): Promise<void> {
  const { desired, identity } = write;
  const { cluster, mayWrite } = parts;
  const policies = desired.directives.hook?.deletion ?? [];
  const before = await cluster.get(identity);
  if (before && policies.includes('BeforeHookCreation')) {
    await vanish(identity, before.metadata.uid, cluster, mayWrite);
  }
  const made = await cluster.apply(desired.sent);
  const { live, completion } = await through(write, made, parts);
  const failed = completion.state === 'failed';
  const trouble = failed ? failure(write, completion.reason) : null;
  const ran: HookRun = { ranFor: parts.state, outcome: failed ? 'failed' : 'succeeded' };
  const leaves: HookDeletePolicy = failed ? 'HookFailed' : 'HookSucceeded';
  if (live && policies.includes(leaves)) await cluster.delete(identity, live.metadata.uid);
  done.ran(write, live ?? made, ran, trouble);
  if (trouble) throw trouble;
}

async function through(
  write: HookWrite,
  made: LiveObject,
  { cluster, mayWrite, timeout }: HookParts,
): Promise<{ readonly live: LiveObject | null; readonly completion: Completion }> {
  const deadline = Date.now() + timeout;
  let live: LiveObject | null = made;
  for (let pause = 50; ; pause = Math.min(pause * 2, 1_000)) {
    const completion = completionOf(live);
    if (completion.state !== 'running') return { live, completion };
    if (Date.now() > deadline) {
      return {
        live,
        completion: { state: 'failed', reason: `it is not through after ${Math.round(timeout / 1000)} s` },
      };
    }
    await sleep(pause);
    mayWrite();
    const now = await cluster.get(write.identity);
    live = now?.metadata.uid === made.metadata.uid ? now : null;
  }
}

export function failure({ identity, phase }: Pick<HookWrite, 'identity' | 'phase'>, reason: string): CountersignError {
  return new CountersignError('hook-failed', `${phase} hook ${describeIdentity(identity)} failed: ${reason}`, {
    remedy: 'Look at it in the cluster; it runs again when another commit is approved',
  });
}

/** Hooks of one batch, all begun; the first failure when all are through. */
export async function runHooks(writes: readonly HookWrite[], done: RunState, parts: HookParts): Promise<void> {
  const ends = await Promise.allSettled(
    writes.map((write) =>
      runHook(write, done, parts).catch((thrown: unknown) => {
        const known = done.results.some(
          (result) => result.op === 'hook' && identityKey(result.identity) === identityKey(write.identity),
        );
        if (!known && thrown instanceof CountersignError) done.failed(write, thrown);
        throw thrown;
      }),
    ),
  );
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed) throw failed.reason;
}
