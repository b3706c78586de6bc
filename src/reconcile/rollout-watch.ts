import type { Health } from '../cluster/health.js';
import { describeIdentity, identityKey, type ObjectIdentity } from '../cluster/object.js';
import type { CountersignError } from '../errors.js';

/** What became of a rollout. */
export type RolloutEnd = { readonly outcome: 'healthy' } | { readonly outcome: 'unhealthy'; readonly reason: string };

/** How an environment is at one moment. */
export interface RolloutSight {
  /** Log index of the decision whose change is wholly live. */
  readonly applied: number | null;
  readonly trouble: CountersignError | null;
  readonly objects: readonly { readonly identity: ObjectIdentity; readonly health: Health }[];
}

/** Names of so many objects are told. */
const MOST_NAMED = 5;

/**
 * Follows one approved change from its first write until all of it is healthy, or plainly is not. A cluster that is away, or refuses to take
 * it, is no verdict on it. What was degraded before says nothing of this change until the time is over.
 */
export class RolloutWatch {
  readonly #degradedBefore: Set<string>;
  #since: number | null = null;
  #complete = false;

  constructor(
    /** Log index of the decision. */
    readonly decision: number,
    degradedBefore: Iterable<string> = [],
  ) {
    this.#degradedBefore = new Set(degradedBefore);
  }

  /** Its first write is about to be made. */
  begun(now: number): void {
    this.#since ??= now;
  }

  /** When its time is over, in milliseconds since the epoch. */
  dueAt(timeout: number): number {
    return this.#since === null ? Infinity : this.#since + timeout;
  }

  /** Null: it cannot be told yet. `timeout` in milliseconds, for what is written in the end as for any wave before. */
  look({ applied, trouble, objects }: RolloutSight, timeout: number, now: number): RolloutEnd | null {
    if (trouble?.code === 'hook-failed') return { outcome: 'unhealthy', reason: trouble.message };
    const waits = trouble?.code === 'object-unhealthy';
    const complete = applied === this.decision && trouble?.code !== 'cluster-unavailable';
    if (!complete && !waits) return null;
    if (complete && !this.#complete) this.#since = now;
    this.#complete = complete;
    const ill = objects.filter(({ health: { status } }) => ['degraded', 'progressing', 'missing'].includes(status));
    const degraded = new Map(
      ill.flatMap((one) => (one.health.status === 'degraded' ? [[identityKey(one.identity), one] as const] : [])),
    );
    for (const key of this.#degradedBefore) if (!degraded.has(key)) this.#degradedBefore.delete(key);
    if (ill.length === 0) return complete && !waits ? { outcome: 'healthy' } : null;
    const fresh = [...degraded].flatMap(([key, one]) => (this.#degradedBefore.has(key) ? [] : [one]));
    if (fresh.length > 0) return { outcome: 'unhealthy', reason: told(fresh) };
    if (now < this.dueAt(timeout)) return null;
    return { outcome: 'unhealthy', reason: `${told(ill)}, after ${Math.round(timeout / 1_000)} s` };
  }
}

function told(objects: RolloutSight['objects']): string {
  const named = objects
    .slice(0, MOST_NAMED)
    .map(
      ({ identity, health: { status, reason } }) =>
        `${describeIdentity(identity)} is ${status}${reason && `: ${reason}`}`,
    );
  const more = objects.length - named.length;
  return `${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
