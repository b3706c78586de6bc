import { setTimeout as sleep } from 'node:timers/promises';
import { healthOf, type Health } from '../cluster/health.js';
import { describeIdentity, identityKey } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { Cluster, LiveObject } from './cluster.js';
import { concurrently } from './concurrently.js';
import { isKept, type DesiredObject } from './plan.js';
import type { Stage } from './stages.js';

export interface Waiting {
  readonly cluster: Cluster;
  /** Throws when there is something better to do than to wait. */
  readonly mayWrite: () => void;
  /** Milliseconds for one wave. */
  readonly timeout: number;
  /** The newest that is known of an object, from our own writes or a look; null or undefined: nothing. */
  readonly known: (key: string) => LiveObject | null | undefined;
}

/**
 * Resolves when everything of a stage is there and healthy; what is suspended is so on purpose. Throws `object-unhealthy` for what
 * is degraded, or not through in time: what comes after it is not written.
 */
export async function healthy(stage: Stage<DesiredObject>, waiting: Waiting): Promise<void> {
  const { cluster, mayWrite, timeout, known } = waiting;
  const state = new Map<DesiredObject, Health>();
  for (const object of stage.batches.flat().filter(isKept)) {
    const health = healthOf(known(identityKey(object.identity)) ?? null);
    if (!isThrough(health)) state.set(object, health);
  }
  const deadline = Date.now() + timeout;
  for (let pause = 50; state.size > 0; pause = Math.min(pause * 2, 1_000)) {
    await concurrently([...state.keys()], async (object) => {
      const health = healthOf(await cluster.get(object.identity));
      if (isThrough(health)) state.delete(object);
      else state.set(object, health);
    });
    const [first] = state;
    if (!first) return;
    for (const [object, health] of state)
      if (health.status === 'degraded') throw unhealthy(stage, object, health.reason);
    if (Date.now() > deadline) {
      throw unhealthy(stage, first[0], `${first[1].reason || first[1].status}, after ${Math.round(timeout / 1_000)} s`);
    }
    await sleep(pause);
    mayWrite();
  }
}

const isThrough = ({ status }: Health): boolean => status === 'healthy' || status === 'suspended';

function unhealthy(
  { wave }: Stage<DesiredObject>,
  { identity, source }: DesiredObject,
  reason: string,
): CountersignError {
  return new CountersignError(
    'object-unhealthy',
    `wave ${wave} is not healthy: ${describeIdentity(identity)}: ${reason}`,
    {
      place: { file: source.path, line: source.line },
      remedy: 'Mend it, in Git or in what it needs: what comes after it waits',
    },
  );
}
