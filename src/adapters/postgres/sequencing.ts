import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { KeyRing } from '../../audit/keys.js';
import type { Hash } from '../../audit/crypto.js';
import type { SavedCheckpoint, SeenCheckpoint, SequencedEntry } from '../../audit/sequencer.js';
import { batchSize, Sequencer } from '../../audit/sequencer.js';
import { CountersignError } from '../../errors.js';
import { databaseFault } from './faults.js';
import { Lease, stagedChannel } from './lease.js';
import { PostgresLogStorage } from './log-storage.js';

/** Of an entry in the log. */
export type Place = Pick<SequencedEntry, 'index' | 'leafHash'>;

interface Waiter {
  readonly resolve: (place: Place) => void;
  readonly reject: (error: CountersignError) => void;
  readonly since: number;
}

/** An entry with no rows beside it. */
export interface DirectEntry {
  readonly type: string;
  readonly leaf: Uint8Array;
}

interface QueuedEntry extends DirectEntry, Waiter {}

/** Handed to a sequencer that failed: they are in the log, or never will be by its lease. */
interface DoubtfulEntry extends DirectEntry {
  readonly id: string;
  /** Of that lease; undefined if none was asked yet. */
  readonly epoch: string | undefined;
}

interface SequencingOptions {
  readonly dataSource: DataSource;
  readonly keys: KeyRing;
  readonly seen: SeenCheckpoint;
  /** How long an append waits for its checkpoint before it is told that the log is unavailable. */
  readonly patience: number;
}

/** How often one process tells the others of a new checkpoint, and these look for it. */
const followInterval = 20;
const retryInterval = 100;
/** Entries whose process died before it could say so, and notifications that were lost, wait no longer than this. */
const idleInterval = 1_000;

/** Keeps the sequencer running in this process while it holds the lease, and otherwise watches the one who does. */
export class Sequencing {
  readonly #waiting = new Map<string, Waiter>();
  #lease: Lease | undefined;
  #sequencer: Sequencer | undefined;
  /** Whether the outbox may hold entries. */
  #outbox = true;
  #direct: QueuedEntry[] = [];
  #doubtful: DoubtfulEntry[] = [];
  /** From the sequence of the outbox, for entries that are not staged. */
  #ids: string[] = [];
  /** In the tree, under no checkpoint yet. */
  #unpublished: SequencedEntry[] = [];
  #publishing: Promise<void> | undefined;
  #releasing: Promise<void> | undefined;
  #newest: SavedCheckpoint | undefined;
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

  /** The newest checkpoint of this process's own: the database may lag behind it. */
  get newest(): SavedCheckpoint | undefined {
    return this.#newest;
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

  /** The place that a staged entry gets, once a checkpoint covers it. To be called before the entry is committed. */
  placeOf(id: string): Promise<Place> {
    return new Promise((resolve, reject) => {
      if (this.#fatal) reject(this.#fatal);
      else if (this.#closed) reject(closedFault());
      else this.#waiting.set(id, { resolve, reject, since: Date.now() });
    });
  }

  /**
   * Gives entries with nothing beside them their places without staging them first, which is twice as fast. Undefined where another process
   * leads: then they are staged for that one.
   */
  place(entries: readonly DirectEntry[]): readonly Promise<Place>[] | undefined {
    if (!this.leads || !this.#started || this.#closed || this.#fatal) return undefined;
    const places = entries.map(
      ({ type, leaf }) =>
        new Promise<Place>((resolve, reject) => {
          this.#direct.push({ type, leaf, resolve, reject, since: Date.now() });
        }),
    );
    this.#wakeUp();
    return places;
  }

  /** The transaction that staged these did not commit. */
  forget(ids: readonly string[]): void {
    for (const id of ids) this.#waiting.delete(id);
  }

  /** The outbox may hold something. */
  wake(): void {
    this.#outbox = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wanted = true;
    if (this.#started && !this.#running && !this.#closed) this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#idle);
    await this.#running;
    await this.#publishing;
    await this.#releasing;
    this.#rejectAll(closedFault());
    await this.#lease?.release();
    this.#lease = undefined;
  }

  async #run(): Promise<void> {
    while (this.#wanted && (!this.#closed || this.#waiting.size > 0 || this.#direct.length > 0) && !this.#fatal) {
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
    const leads = await this.#lead();
    if (!leads) this.#doubtful.push(...(await this.#takeDirect()).map((entry) => ({ ...entry, epoch: undefined })));
    if (this.#doubtful.length > 0) await this.#stageDoubtful();
    if (!leads) {
      await this.#settle();
      if (this.#waiting.size > 0) {
        await sleep(followInterval);
        this.#wanted = true;
      }
      return;
    }
    const batch = await this.#extend(this.#sequencer!);
    if (batch.length > 0) {
      this.#unpublished.push(...batch);
      this.#publishing ??= this.#publish(this.#sequencer!);
      this.#wanted = true; // more may have come meanwhile
    } else if (this.#waiting.size > 0 && !this.#publishing) {
      await this.#settle(); // whoever waits now was sequenced by a predecessor
    }
  }

  async #extend(sequencer: Sequencer): Promise<readonly SequencedEntry[]> {
    const direct = await this.#takeDirect();
    if (this.#direct.length > 0) this.#wanted = true;
    const outbox = this.#outbox;
    this.#outbox = false; // set again by whoever stages from now on
    const { epoch } = this.#lease!;
    try {
      const batch = await sequencer.extend(direct, outbox);
      if (batch.length > direct.length) this.#outbox = true;
      return batch;
    } catch (error) {
      this.#outbox = true;
      this.#doubtful.push(...direct.map((entry) => ({ ...entry, epoch })));
      throw error;
    }
  }

  /** The next of them, each with an id that tells later whether it is in the log. */
  async #takeDirect(): Promise<readonly (DirectEntry & { readonly id: string })[]> {
    const count = Math.min(this.#direct.length, batchSize);
    if (count === 0) return [];
    if (this.#ids.length < count) {
      const rows = await this.options.dataSource.query<{ id: string }[]>(
        `SELECT nextval(pg_get_serial_sequence('log_outbox', 'id')) AS id FROM generate_series(1, $1::integer)`,
        [2 * batchSize],
      );
      this.#ids.push(...rows.map(({ id }) => id));
    }
    return this.#direct.splice(0, count).map(({ type, leaf, ...waiter }) => {
      const id = this.#ids.shift()!;
      this.#waiting.set(id, waiter);
      return { id, type, leaf };
    });
  }

  /**
   * Stages what may be in the log or not, if it is not. The lock on the head keeps every sequencer from extending meanwhile, and an epoch that
   * has moved keeps the one that failed from doing so later: no entry gets two places.
   */
  async #stageDoubtful(): Promise<void> {
    const doubtful = this.#doubtful;
    const done = await this.options.dataSource.transaction(async (manager) => {
      const [{ epoch }] = await manager.query<{ epoch: string }[]>('SELECT epoch FROM log_head FOR SHARE');
      if (doubtful.some((entry) => entry.epoch === epoch)) return false;
      await manager.query(
        `INSERT INTO log_outbox (id, type, leaf) OVERRIDING SYSTEM VALUE
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS entry (id, type, leaf)
         WHERE NOT EXISTS (SELECT 1 FROM log_entry WHERE outbox_id = entry.id)
         ON CONFLICT (id) DO NOTHING`,
        [doubtful.map(({ id }) => id), doubtful.map(({ type }) => type), doubtful.map(({ leaf }) => leaf)],
      );
      await manager.query(`NOTIFY ${stagedChannel}`);
      return true;
    });
    this.#outbox = true;
    if (done) this.#doubtful = [];
  }

  /** One checkpoint for all that was extended while the one before was being made durable. */
  async #publish(sequencer: Sequencer): Promise<void> {
    try {
      while (this.#unpublished.length > 0) {
        const newest = (this.#newest = await sequencer.publish());
        const covered = this.#unpublished.findIndex(({ index }) => index >= newest.size);
        const entries = this.#unpublished.splice(0, covered < 0 ? this.#unpublished.length : covered);
        for (const { id, index, leafHash } of entries) this.#resolve(id, { index, leafHash });
        this.#releasing ??= this.#release(sequencer);
      }
    } catch (error) {
      this.#publishFault = databaseFault(error);
      this.wake();
    }
    this.#publishing = undefined;
  }

  /** One for all that was published since the one before. */
  async #release(sequencer: Sequencer): Promise<void> {
    try {
      while (!sequencer.released) {
        await sequencer.release();
        if (!this.#closed) await sleep(followInterval);
      }
    } catch (error) {
      this.#publishFault = databaseFault(error);
      this.wake();
    }
    this.#releasing = undefined;
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
    await this.#releasing;
    this.#publishFault = undefined;
    this.#unpublished = [];
    // Whether the failed step happened is unknown: a new lease with a new epoch reads everything back, and fences this one off.
    const lease = this.#lease;
    this.#lease = undefined;
    await lease?.release();
    await sleep(retryInterval);
    if (this.#waiting.size > 0 || this.#direct.length > 0) this.#wanted = true;
  }

  async #lead(): Promise<boolean> {
    if (this.leads) return true;
    await this.#lease?.release();
    const { dataSource, keys, seen } = this.options;
    this.#lease = await Lease.tryAcquire(dataSource, () => this.wake());
    if (!this.#lease) return false;
    const storage = new PostgresLogStorage(this.#lease.connection, this.#lease.epoch, this.#lease.beside);
    this.#sequencer = new Sequencer(storage, seen, keys);
    return true;
  }

  /** Finds out which of the entries waited for were sequenced by another process, or before a crash was noticed. */
  async #settle(): Promise<void> {
    const ids = [...this.#waiting.keys()];
    if (ids.length === 0) return;
    const rows = await this.options.dataSource.query<
      { outbox_id: string; log_index: string; leaf_hash: Hash; note: string }[]
    >(
      `SELECT outbox_id, log_index, leaf_hash, note FROM log_entry, log_released
       WHERE outbox_id = ANY($1::bigint[]) AND log_index < log_released.size`,
      [ids],
    );
    // Seen is as good as signed: this process, too, must refuse a database that later forgets it.
    if (rows.length > 0) await this.options.seen.save(rows[0].note);
    for (const row of rows) this.#resolve(row.outbox_id, { index: Number(row.log_index), leafHash: row.leaf_hash });
  }

  #resolve(id: string, place: Place): void {
    this.#waiting.get(id)?.resolve(place);
    this.#waiting.delete(id);
  }

  #expire(): void {
    const limit = Date.now() - this.options.patience;
    for (const [id, waiter] of this.#waiting) {
      if (waiter.since > limit) continue;
      this.#waiting.delete(id);
      waiter.reject(this.#unconfirmed());
    }
    while (this.#direct.length > 0 && this.#direct[0].since <= limit) this.#direct.shift()!.reject(this.#unconfirmed());
  }

  #unconfirmed(): CountersignError {
    const cause = this.#trouble;
    return new CountersignError(
      cause?.code === 'disk-full' ? 'disk-full' : 'database-unavailable',
      `the log did not confirm an entry within ${this.options.patience} ms${cause ? `: ${cause.message}` : ''}`,
      { retry: true, remedy: 'Try again; the entry may still turn out to be recorded', cause },
    );
  }

  #rejectAll(error: CountersignError): void {
    for (const waiter of [...this.#waiting.values(), ...this.#direct]) waiter.reject(error);
    this.#waiting.clear();
    this.#direct = [];
  }
}

function closedFault(): CountersignError {
  return new CountersignError('database-unavailable', 'the log is closed: the service is stopping', { retry: true });
}
