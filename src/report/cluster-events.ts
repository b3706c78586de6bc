import { createHash } from 'node:crypto';
import type { JsonObject, KubernetesObject } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { Cluster } from '../reconcile/cluster.js';
import { sentenceOf, type News } from './news.js';

/** Another one than that of what is governed. */
export const EVENT_MANAGER = 'countersign-events';
/** Events a second, and at once; what is more is not told here, but in the log it is. */
const PER_SECOND = 5;
const AT_ONCE = 25;
/** The API server's own limit of a note, in characters. */
const LONGEST_NOTE = 1_000;

/** What people of a cluster are told of, and under which reason. */
const reasons: Readonly<
  Partial<Record<News['type'], (news: News) => readonly [type: 'Normal' | 'Warning', reason: string] | null>>
> = {
  'decision.recorded': ({ outcome }) =>
    outcome === 'allow' ? ['Normal', 'Approved'] : ['Warning', outcome === 'pending' ? 'WaitsForApproval' : 'Denied'],
  'run.finished': ({ outcome }) =>
    outcome === 'succeeded' ? ['Normal', 'Applied'] : outcome === 'failed' ? ['Warning', 'NotApplied'] : null,
  'drift.found': () => ['Warning', 'Drifted'],
  'environment.returned': ({ outcome }) => ['Warning', outcome === 'refused' ? 'ReturnRefused' : 'Returned'],
};

export interface ClusterEventsParts {
  readonly cluster: Pick<Cluster, 'get' | 'apply'>;
  /** Of the log. */
  readonly origin: string;
  /** The namespace of an environment that goes to this cluster; null for any other. */
  readonly namespaceOf: (repository: string, environment: string) => Promise<string | null>;
  readonly onTrouble: (trouble: CountersignError) => void;
  readonly now?: () => Date;
}

/**
 * Tells those who look into a cluster what happened to what is governed there, as Kubernetes Events (`kubectl events`, `kubectl describe`): of the object
 * that drifted, else of the environment's namespace. The same again is one event with a count. Events stand in nobody's way: where they are
 * refused that is told once, and nothing else happens.
 */
export class ClusterEvents {
  #left = AT_ONCE;
  #at = 0;
  #trouble: string | null = null;

  constructor(private readonly parts: ClusterEventsParts) {}

  async tell(news: News): Promise<void> {
    const { repository, environment } = news;
    const [type, reason] = reasons[news.type]?.(news) ?? [];
    if (!type || !reason || repository === null || environment === null || !this.#take()) return;
    try {
      const namespace = await this.parts.namespaceOf(repository, environment);
      if (namespace === null) return;
      await this.#write(eventOf(news, { type, reason, namespace, origin: this.parts.origin, now: this.#now() }));
      this.#trouble = null;
    } catch (thrown) {
      const trouble = toCountersignError(thrown);
      if (trouble.code !== this.#trouble) this.parts.onTrouble(trouble);
      this.#trouble = trouble.code;
    }
  }

  async #write(event: KubernetesObject): Promise<void> {
    const { cluster } = this.parts;
    const { name, namespace = '' } = event.metadata as { name: string; namespace?: string };
    const identity = { group: 'events.k8s.io', version: 'v1', kind: 'Event', namespace, name };
    const before = (await cluster.get(identity)) as (KubernetesObject & { series?: { count: number } }) | null;
    // Nothing but the series of an event may ever change.
    const again = before && {
      eventTime: before['eventTime'],
      series: { count: (before.series?.count ?? 1) + 1, lastObservedTime: event['eventTime'] },
    };
    await cluster.apply({ ...event, ...again }, { manager: EVENT_MANAGER });
  }

  #take(): boolean {
    const now = this.#now().getTime();
    this.#left = Math.min(AT_ONCE, this.#left + ((now - this.#at) / 1_000) * PER_SECOND);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  #now(): Date {
    return this.parts.now?.() ?? new Date();
  }
}

interface Told {
  readonly type: string;
  readonly reason: string;
  readonly namespace: string;
  readonly origin: string;
  readonly now: Date;
}

/** Of one name for what is the same but for its time. Pure. */
export function eventOf(news: News, { type, reason, namespace, origin, now }: Told): KubernetesObject {
  const object = news.type === 'drift.found' ? (news.data['object'] as JsonObject | undefined) : undefined;
  const place = { repository: news.repository, environment: news.environment };
  const note = sentenceOf({ ...news, repository: null, environment: news.environment }).slice(0, LONGEST_NOTE);
  // The API server wants an event where what it is about is; for a namespace that is itself.
  const regarding = object?.['namespace']
    ? {
        apiVersion: object['group'] ? `${object['group'] as string}/${object['version'] as string}` : object['version'],
        kind: object['kind'],
        namespace: object['namespace'],
        name: object['name'],
        ...(news.data['uid'] ? { uid: news.data['uid'] } : {}),
      }
    : { apiVersion: 'v1', kind: 'Namespace', namespace, name: namespace };
  const sign = createHash('sha256')
    .update(JSON.stringify([origin, place, regarding, reason, note]))
    .digest('hex');
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: `countersign.${sign.slice(0, 24)}`, namespace: regarding.namespace as string },
    // Six digits of seconds, as the API server has them.
    eventTime: now.toISOString().replace('Z', '000Z'),
    reportingController: 'countersign.dev/countersign',
    reportingInstance: origin.slice(0, 128),
    action: reason,
    reason,
    type,
    note,
    regarding,
  };
}
