import { healthOf, worst, type Health } from '../cluster/health.js';
import type { CountersignError } from '../errors.js';
import type { GateState } from '../review/records.js';
import type { LiveObject } from './cluster.js';

export type ReconcilerStatus = 'new' | 'synced' | 'progressing' | 'degraded' | 'failed' | 'refused' | 'suspended';

export interface ReconcilerState {
  readonly status: ReconcilerStatus;
  readonly trouble: CountersignError | null;
  /** Of the worst object. */
  readonly health: Health;
  /** Log index of the decision whose change is live; null before the first. */
  readonly applied: number | null;
  /** Where others apply it: the ref that they follow, and what they say. */
  readonly gate?: GateState;
}

interface StateChange {
  readonly status?: ReconcilerStatus;
  readonly trouble?: CountersignError | null;
  readonly applied?: number;
}

/** How one environment does, told whenever it changes. */
export class StateKeeper {
  readonly #health = new Map<string, Health>();
  /** Objects whose health changed since it was last asked. */
  readonly #news = new Set<string>();
  #owed = false;
  #now: ReconcilerState = { status: 'new', trouble: null, health: { status: 'unknown', reason: '' }, applied: null };

  constructor(private readonly told: (state: ReconcilerState) => void) {}

  get now(): ReconcilerState {
    return this.#now;
  }

  health(key: string): Health | undefined {
    return this.#health.get(key);
  }

  /** Keys of objects whose health is another than when this was last asked. */
  takeNews(): ReadonlySet<string> {
    const news = new Set(this.#news);
    this.#news.clear();
    return news;
  }

  /** True if it changed what is known. */
  see(key: string, live: LiveObject | null): boolean {
    const health = healthOf(live);
    const before = this.#health.get(key);
    if (before?.status === health.status && before.reason === health.reason) return false;
    this.#health.set(key, health);
    this.#news.add(key);
    return true;
  }

  /**
   * A run's end was recorded with what it knew of these when it began to be: what was told of their health meanwhile is overwritten, and
   * told again.
   */
  recorded(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#news.add(key);
      this.#owed = true;
    }
  }

  forget(isKnown: (key: string) => boolean): void {
    for (const key of this.#health.keys()) if (!isKnown(key)) this.#health.delete(key);
  }

  change(change: StateChange): void {
    const next = { ...this.#now, ...change, health: worst(this.#health.values()) };
    const status = change.status ?? (next.trouble ? next.status : statusOf(next.health));
    const before = this.#now;
    this.#now = { ...next, status };
    const same =
      before.status === status &&
      before.trouble?.message === next.trouble?.message &&
      before.applied === next.applied &&
      before.health.status === next.health.status &&
      before.health.reason === next.health.reason;
    if (same && !this.#owed) return;
    this.#owed = false;
    this.told(this.#now);
  }
}

function statusOf({ status }: Health): ReconcilerStatus {
  if (status === 'degraded') return 'degraded';
  return status === 'progressing' || status === 'missing' ? 'progressing' : 'synced';
}
