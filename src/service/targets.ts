import { openCluster } from '../adapters/kubernetes/cluster.js';
import { Attributing } from './attributing.js';
import type { Config } from '../config.js';
import type { ApiWrite } from '../reconcile/audit-trail.js';
import type { Cluster } from '../reconcile/cluster.js';
import { WatchedInventory } from '../reconcile/live-inventory.js';
import type { Trouble } from '../review/records.js';
import type { Storage } from './storage.js';

/** The clusters of the configuration, what is in them, and who writes there. */
export interface Targets {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly live: WatchedInventory;
  readonly attributing: Attributing;
}

/** What it opens is closed by `opened`. Throws `config-invalid` for a kubeconfig that cannot be used; a cluster that is away is waited for. */
export async function openTargets(
  config: Pick<Config, 'targets' | 'instance'>,
  { ledger, records, channel, leases }: Pick<Storage, 'ledger' | 'records' | 'channel' | 'leases'>,
  onFault: (trouble: Trouble, target: string) => void,
  opened: AsyncDisposableStack,
): Promise<Targets> {
  const clusters = new Map<string, Cluster>();
  const agent = `countersign (${config.instance})`;
  for (const { name, kubeconfig, context, allowExec } of config.targets) {
    const cluster = await openCluster({ name, kubeconfig, context, allowExec, agent });
    opened.defer(() => cluster.close());
    clusters.set(name, cluster);
  }
  const live = new WatchedInventory(clusters);
  opened.defer(() => live.close());
  /** In halves, as far as the channel has a limit. */
  const tell = async (target: string, writes: readonly ApiWrite[]): Promise<void> => {
    if (leases.isAlone || (await channel.tell('writes', { target, writes })) || writes.length < 2) return;
    const half = writes.length >> 1;
    await tell(target, writes.slice(0, half));
    await tell(target, writes.slice(half));
  };
  const attributing = new Attributing({
    tell: (target, writes) => void tell(target, writes),
    clusters,
    targets: config.targets,
    ledger,
    records,
    onFault,
  });
  opened.defer(() => attributing.close());
  channel.hear('writes', (body) => {
    const { target, writes } = body as { readonly target: string; readonly writes: readonly ApiWrite[] };
    attributing.heardElsewhere(target, writes);
  });
  await attributing.start();
  return { clusters, live, attributing };
}
