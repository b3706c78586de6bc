import type { PostgresCursors } from '../adapters/postgres/cursors.js';
import type { Retained } from '../adapters/postgres/retain.js';
import type { EndWork, Lease } from '../audit/lease.js';
import { beginClusterNews } from './cluster-news.js';
import { type Commentary, warn } from '../commentary.js';
import type { Config } from '../config.js';
import type { CountersignError } from '../errors.js';
import { beginNotifying } from './notifying.js';
import type { Cluster } from '../reconcile/cluster.js';
import { Feed } from '../report/feed.js';
import { beginRetaining } from './retaining.js';
import type { Storage } from './storage.js';

export interface DutiesParts extends Pick<
  Storage,
  'dataSource' | 'keys' | 'ledger' | 'records' | 'leases' | 'logDuties'
> {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly cursors: PostgresCursors;
  readonly commentary: Commentary;
}

/** What one of several instances does for all: events in clusters, notifications, retention. It is ended by `opened`. */
export function shareDuties(
  config: Pick<Config, 'targets' | 'notifications' | 'retention'>,
  { clusters, dataSource, keys, ledger, records, leases, logDuties, cursors, commentary }: DutiesParts,
  opened: AsyncDisposableStack,
): void {
  const share = (name: string, begin: (lease: Lease) => Promise<EndWork>): void => {
    const duty = leases.share('duty', name, begin);
    opened.defer(() => duty.withdraw());
  };
  const { origin } = keys;
  const told = new Map([...clusters].filter(([name]) => config.targets.find((one) => one.name === name)?.events));
  if (told.size > 0) {
    const telling = {
      feed: new Feed(ledger),
      records,
      origin,
      onTrouble: (target: string, fault: CountersignError) => warn(commentary, fault, { target }, 'events'),
    };
    share('events', async (lease) => beginClusterNews(told, telling, lease));
  }
  if (config.notifications.length > 0) {
    const notifying = {
      ledger,
      records,
      cursors,
      origin,
      logFaults: () => logDuties.faults(),
      onFault: (destination: string, fault: CountersignError) =>
        warn(commentary, fault, { destination }, 'notifications'),
    };
    share('notifications', (lease) => beginNotifying(config.notifications, notifying, lease));
  }
  const retaining = {
    dataSource,
    ledger,
    retention: config.retention,
    onFault: (fault: CountersignError) => warn(commentary, fault, {}, 'retention'),
    onRemoved: ({ removed, held }: Retained) =>
      commentary.info({ removed, held }, 'contents had been kept long enough'),
  };
  share('retention', (lease) => beginRetaining(retaining, lease));
}
