import { identityKey } from '../cluster/object.js';
import type { Records } from '../review/records.js';
import type { RolloutNews } from '../review/returns.js';
import type { ApprovedChange } from './gate.js';
import type { Keeper } from './keeper.js';
import { RolloutWatch } from './rollout-watch.js';

export interface RolloutParts {
  readonly repository: string;
  readonly environment: string;
  /** For reading. */
  readonly records: Records;
  /** Milliseconds that a wave, and what is written in the end, may take; as it is configured now. */
  readonly timeout: () => number;
  /** Its time is over: to be looked at again. */
  readonly due: () => void;
  /** It got healthy, or did not. */
  readonly told: (news: RolloutNews) => void;
}

interface Current {
  readonly watch: RolloutWatch;
  /** Its id. */
  readonly decision: string;
  readonly head: string;
  /** That it was given up is told; it may get healthy yet. */
  failed: boolean;
}

/** What is being rolled out in one environment, until it is known to be healthy or not. */
export class EnvironmentRollout {
  #current: Current | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(private readonly parts: RolloutParts) {}

  /** Follows what is about to be rolled out, unless it is known to be healthy from before. */
  async begin({ decision, decisionId, head }: ApprovedChange): Promise<void> {
    if (this.#current?.decision === decisionId) return;
    const { records, repository, environment } = this.parts;
    const [record] = await records.find('environment', { repository, name: environment });
    this.#current = null;
    if (record?.healthyDecision === decisionId) return;
    const ill = await records.find('liveObject', { repository, environment, health: 'degraded' });
    const watch = new RolloutWatch(decision, ill.map(identityKey));
    this.#current = { watch, decision: decisionId, head, failed: false };
  }

  /** A run under that decision begins: from here on its time counts. */
  runs(decision: string): void {
    if (this.#current?.decision !== decision) return;
    this.#current.watch.begun(Date.now());
    this.#lookAgain();
  }

  /** Looks how far it is; what is found healthy is recorded in `records`. */
  async look(keeper: Pick<Keeper, 'state' | 'objects'>, records: Pick<Records, 'update'>): Promise<void> {
    const current = this.#current;
    if (!current) return;
    const { repository, environment, timeout, told } = this.parts;
    const { applied, trouble } = keeper.state;
    const objects = keeper.objects().map(({ entry, health }) => ({ identity: entry.identity, health }));
    const end = current.watch.look({ applied, trouble, objects }, timeout(), Date.now());
    if (!end) return this.#lookAgain();
    const { decision, head } = current;
    if (end.outcome === 'unhealthy') {
      if (current.failed) return;
      current.failed = true;
    } else {
      this.#current = null;
      const where = { repository, name: environment, approvedDecision: decision };
      await records.update('environment', where, { healthy: head, healthyDecision: decision });
    }
    told({ environment, decision, unhealthy: end.outcome === 'healthy' ? null : end.reason });
  }

  /** Somebody else's from here on. */
  forget(): void {
    this.#current = null;
    this.stop();
  }

  stop(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }

  /** When its time is over, if nothing happens until then. */
  #lookAgain(): void {
    this.stop();
    const due = this.#current?.watch.dueAt(this.parts.timeout()) ?? Infinity;
    // What is under way past its time is looked at again when it says something.
    if (due === Infinity || due <= Date.now()) return;
    this.#timer = setTimeout(this.parts.due, Math.min(due - Date.now() + 1, 2 ** 31 - 1)).unref();
  }
}
