import type { Records } from '../review/records.js';
import type { GovernedObject } from './loop.js';

/**
 * Records how these objects are. As many share their kind, their namespace and how they are, that takes a few statements and not one for each:
 * what comes to life at once is told of at once.
 */
export async function recordHealth(
  records: Pick<Records, 'update'>,
  { repository, environment }: { readonly repository: string; readonly environment: string },
  objects: readonly GovernedObject[],
): Promise<void> {
  const groups = Map.groupBy(objects, ({ entry: { identity }, health: { status, reason } }) =>
    JSON.stringify([identity.group, identity.kind, identity.namespace, status, reason]),
  );
  for (const alike of groups.values()) {
    const [{ entry, health }] = alike;
    const { group, kind, namespace } = entry.identity;
    const name = alike.map((one) => one.entry.identity.name);
    const where = { repository, environment, group, kind, namespace, name };
    await records.update('liveObject', where, { health: health.status, healthReason: health.reason });
  }
}
