import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { KeyRing } from '../../audit/keys.js';
import type { SeenCheckpoint, SequencedEntry } from '../../audit/sequencer.js';
import { Sequencer } from '../../audit/sequencer.js';
import { CountersignError } from '../../errors.js';
import { databaseFault } from './faults.js';
import { Lease } from './lease.js';
import { PostgresLogStorage } from './log-storage.js';

interface Waiter {
  readonly resolve: (index: number) => void;
  readonly reject: (error: CountersignError) => void;
  readonly since: number;
}

interface SequencingOptions {
  readonly dataSource: DataSource;
  readonly keys: KeyRing;
  readonly seen: SeenCheckpoint;
  /** How long an append waits for its checkpoint before it is told that the log is unavailable. */
  readonly patience: number;
}

const followInterval = 20;
const retryInterval = 100;
/** Entries whose process died before it could say so, and notifications that were lost, wait no longer than this. */
const idleInterval = 1_000;

/** Keeps the sequencer running in this process while it holds the lease, and otherwise watches the one who does. */
export class Sequencing {
  readonly #waiting = new Map<string, Waiter>();
  #lease: Lease | undefined;
  #sequencer: Sequencer | undefined;
  /** In the tree, under no released checkpoint yet. */
  #unreleased: SequencedEntry[] = [];
  #publishing: Promise<void> | undefined;
  #publishFault: CountersignError | undefined;
  #wanted = false;
  #running: Promise<void> | undefined;
  #started = false;
  #closed = false;
  #fatal: CountersignError | undefined;
  #trouble: CountersignError | undefined;
  readonly #idle: NodeJS.Timeout;

  constructor(private readonly options: SequencingOptions) {
    this.#idle = setInterval(() => {
      this.#expire(); // a step that hangs must not make its callers hang
      this.wake();
    }, idleInterval);
    this.#idle.unref();
  }

  get leads(): boolean {
    return this.#lease !== undefined && !this.#lease.lost;
  }

  /**
   * Takes the lease if nobody holds it, and finishes what a crash left: entries that were committed with their rows have their
   * place before anybody reads the log. Throws what makes the log unusable.
   */
  async start(): Promise<void> {
    if (await this.#lead()) while ((await this.#sequencer!.sequence()).length > 0);
    // Only now: a notification, or the timer, must not begin a second sequence beside this one.
    this.#started = true;
    this.wake();
  }

  /** The index that a staged entry gets, once a released checkpoint covers it. To be called before the entry is committed. */
  placeOf(id: string): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#fatal) reject(this.#fatal);
      else if (this.#closed) reject(closedFault());
      else this.#waiting.set(id, { resolve, reject, since: Date.now() });
    });
  }

  /** The transaction that staged these did not commit. */
  forget(ids: readonly string[]): void {
    for (const id of ids) this.#waiting.delete(id);
  }

  wake(): void {
    this.#wanted = true;
    if (this.#started && !this.#running && !this.#closed) this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#idle);
    await this.#running;
    await this.#publishing;
    this.#rejectAll(closedFault());
    await this.#lease?.release();
    this.#lease = undefined;
  }

  async #run(): Promise<void> {
    while (this.#wanted && (!this.#closed || this.#waiting.size > 0) && !this.#fatal) {
      this.#wanted = false;
      try {
        if (this.#publishFault) throw this.#publishFault;
        await this.#step();
        this.#trouble = undefined;
      } catch (error) {
        await this.#stumble(databaseFault(error));
      }
      this.#expire();
    }
    this.#running = undefined;
  }

  async #step(): Promise<void> {
    if (!(await this.#lead())) {
      await this.#settle();
      if (this.#waiting.size > 0) {
        await sleep(followInterval);
        this.#wanted = true;
      }
      return;
    }
    const batch = await this.#sequencer!.extend();
    if (batch.length > 0) {
      this.#unreleased.push(...batch);
      this.#publishing ??= this.#publish(this.#sequencer!);
      this.#wanted = true; // more may have come meanwhile
    } else if (this.#waiting.size > 0 && !this.#publishing) {
      await this.#settle(); // whoever waits now was sequenced by a predecessor
    }
  }

  /** One checkpoint for all that was extended while the one before was being made durable. */
  async #publish(sequencer: Sequencer): Promise<void> {
    try {
      while (this.#unreleased.length > 0) {
        const size = await sequencer.publish();
        while (this.#unreleased.length > 0 && this.#unreleased[0].index < size) {
          const { id, index } = this.#unreleased.shift()!;
          this.#resolve(id, index);
        }
      }
    } catch (error) {
      this.#publishFault = databaseFault(error);
      this.wake();
    }
    this.#publishing = undefined;
  }

  async #stumble(error: CountersignError): Promise<void> {
    this.#trouble = error;
    if (['log-behind', 'log-invalid', 'keys-invalid'].includes(error.code)) {
      this.#fatal = error;
      this.#rejectAll(error);
      return;
    }
    // What the other half has under way may still succeed, and be acknowledged.
    await this.#publishing;
    this.#publishFault = undefined;
    this.#unreleased = [];
    // Whether the failed step happened is unknown: a new lease with a new epoch reads everything back, and fences this one off.
    const lease = this.#lease;
    this.#lease = undefined;
    await lease?.release();
    await sleep(retryInterval);
    if (this.#waiting.size > 0) this.#wanted = true;
  }

  async #lead(): Promise<boolean> {
    if (this.leads) return true;
    await this.#lease?.release();
    const { dataSource, keys, seen } = this.options;
    this.#lease = await Lease.tryAcquire(dataSource, () => this.wake());
    if (!this.#lease) return false;
    const storage = new PostgresLogStorage(this.#lease.connection, this.#lease.epoch, dataSource);
    this.#sequencer = new Sequencer(storage, seen, keys);
    return true;
  }

  /** Finds out which of the entries waited for were sequenced by another process, or before a crash was noticed. */
  async #settle(): Promise<void> {
    const ids = [...this.#waiting.keys()];
    if (ids.length === 0) return;
    const rows = await this.options.dataSource.query<{ outbox_id: string; log_index: string; note: string }[]>(
      `SELECT outbox_id, log_index, note FROM log_entry, log_head WHERE outbox_id = ANY($1::bigint[]) AND log_index < released`,
      [ids],
    );
    // Seen is as good as signed: this process, too, must refuse a database that later forgets it.
    if (rows.length > 0) await this.options.seen.save(rows[0].note);
    for (const row of rows) this.#resolve(row.outbox_id, Number(row.log_index));
  }

  #resolve(id: string, index: number): void {
    this.#waiting.get(id)?.resolve(index);
    this.#waiting.delete(id);
  }

  #expire(): void {
    const limit = Date.now() - this.options.patience;
    for (const [id, waiter] of this.#waiting) {
      if (waiter.since > limit) continue;
      this.#waiting.delete(id);
      const cause = this.#trouble;
      waiter.reject(
        new CountersignError(
          cause?.code === 'disk-full' ? 'disk-full' : 'database-unavailable',
          `the log did not confirm an entry within ${this.options.patience} ms${cause ? `: ${cause.message}` : ''}`,
          { retry: true, remedy: 'Try again; the entry may still turn out to be recorded', cause },
        ),
      );
    }
  }

  #rejectAll(error: CountersignError): void {
    for (const waiter of this.#waiting.values()) waiter.reject(error);
    this.#waiting.clear();
  }
}

function closedFault(): CountersignError {
  return new CountersignError('database-unavailable', 'the log is closed: the service is stopping', { retry: true });
}
