import { randomUUID } from 'node:crypto';
import type { EntryDraft } from '../audit/entry.js';
import { canonicalJson } from '../cluster/canonical.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { Cluster } from './cluster.js';
import { concurrently } from './concurrently.js';
import type { Inventory } from './inventory.js';

/**
 * Whether nothing of an environment is left in its target, as after the loss of a cluster: no object that our runs made is there with its UID. Throws
 * `cluster-conflict` where something is: then what is missing is drift, which is found, traced and put right as any other. Nothing of another
 * UID is ours, and it is adopted as anything that was there before.
 */
export async function requireLost(environment: string, cluster: Cluster, inventory: Inventory): Promise<void> {
  let there = 0;
  await concurrently([...inventory.values()], async ({ identity, uid }) => {
    // A kind whose definition is lost, too, has no objects.
    const live = await cluster.get(identity).catch((thrown: unknown) => {
      if (toCountersignError(thrown).code === 'kind-unknown') return null;
      throw thrown;
    });
    if (live?.metadata.uid === uid) there += 1;
  });
  if (there === 0) return;
  throw new CountersignError(
    'cluster-conflict',
    `${there} of the ${inventory.size} objects of ${environment} are in ${cluster.name} as they were left: this is no empty cluster`,
    { remedy: 'Start the service: what is missing is drift, which it puts right as countersign.yaml says' },
  );
}

/** `action/v1`: what is there in the records is taken for lost, and why. */
export function rebuildEntry(rebuild: {
  readonly repository: string;
  readonly environment: string;
  readonly target: string;
  /** Log index of the decision whose change is made again, and its head. */
  readonly decision: number;
  readonly head: string;
  readonly lost: number;
  readonly reason: string;
  readonly time: string;
}): EntryDraft {
  const { reason, ...rest } = rebuild;
  return {
    type: 'action',
    subjects: [{ name: `git:${rebuild.repository}`, digest: { gitCommit: rebuild.head } }],
    predicate: { id: randomUUID(), action: 'rebuild', ...rest },
    contents: { said: { mediaType: 'application/json', bytes: Buffer.from(canonicalJson({ reason })), salted: true } },
  };
}
