import { setTimeout as sleep } from 'node:timers/promises';
import type { EndWork, Lease } from '../audit/lease.js';
import { type CountersignError, toCountersignError } from '../errors.js';
import type { Cluster } from '../reconcile/cluster.js';
import { ClusterEvents } from '../report/cluster-events.js';
import type { Feed } from '../report/feed.js';
import type { Records } from '../review/records.js';

export interface ClusterNewsParts {
  readonly feed: Feed;
  readonly records: Records;
  /** Of the log. */
  readonly origin: string;
  readonly onTrouble: (target: string, trouble: CountersignError) => void;
}

/** Milliseconds after which a log that could not be read is asked again. */
const AGAIN = 5_000;

/** What one of several instances does: tells each of these clusters, as events, what happens in it from now on. */
export function beginClusterNews(
  clusters: ReadonlyMap<string, Cluster>,
  parts: ClusterNewsParts,
  lease: Lease,
): EndWork {
  const ended = new AbortController();
  const telling = [...clusters].map(async ([target, cluster]) => {
    const events = new ClusterEvents({
      cluster,
      origin: parts.origin,
      namespaceOf: (repository, environment) => namespaceOf(parts.records, target, repository, environment),
      onTrouble: (trouble) => parts.onTrouble(target, trouble),
    });
    while (!ended.signal.aborted) {
      try {
        for await (const news of parts.feed.from(null, ended.signal)) if (lease.held) await events.tell(news);
      } catch (thrown) {
        parts.onTrouble(target, toCountersignError(thrown));
        await sleep(AGAIN, undefined, { signal: ended.signal }).catch(() => undefined);
      }
    }
  });
  return async () => {
    ended.abort();
    await Promise.all(telling);
  };
}

/** Of its definition, else of what it has there. */
async function namespaceOf(records: Records, target: string, repository: string, name: string): Promise<string | null> {
  const [environment] = await records.find('environment', { repository, name });
  if (environment?.target !== target) return null;
  if (environment.namespace !== null) return environment.namespace;
  const live = await records.newest('liveObject', { repository, environment: name }, 'updatedAt', 20);
  return live.find(({ namespace }) => namespace !== '')?.namespace ?? null;
}
