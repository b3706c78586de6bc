import type { EntityManager } from 'typeorm';
import { type EndWork, type Lease, type LeaseKind, leaseLost, type Leases, type Share } from '../../audit/lease.js';
import { CountersignError, toCountersignError } from '../../errors.js';
import type { Channel } from './channel.js';
import { type LeaseRow, shareOut } from './share-out.js';

export interface LeasesOptions {
  readonly channel: Channel;
  /** Of the data folder: the same again after a restart. The connections of this process are named `applicationOf(id)`. */
  readonly id: string;
  /** For people. */
  readonly name: string;
  readonly version: string;
  readonly onFault: (fault: CountersignError) => void;
  readonly times?: LeaseTimes;
}

/** In milliseconds. */
export interface LeaseTimes {
  /** After its last renewal, an instance counts as alive for so long by the database's clock. */
  readonly life: number;
  /** It believes so itself for so much less. */
  readonly margin: number;
  readonly renewal: number;
}

/** Work is taken over `life` and `renewal` after the last sign of life, at the latest, and a little for taking it up. */
const TIMES: LeaseTimes = { life: 6_000, margin: 1_000, renewal: 1_500 };
/** How soon it is looked again at what nobody took, in milliseconds. */
const SOON = 200;
/** For which work that could not be begun is left to others, in milliseconds. */
const COOLING = 5_000;

/** What PostgreSQL calls the connections of an instance. */
export const applicationOf = (id: string): string => `countersign ${id}`;

/**
 * The leases in PostgreSQL. One row says that an instance is alive, and is renewed; leases name their holder, and count its
 * predecessors (their epoch). Whoever finds that another's row has run out buries it: first its connections are ended, as those of
 * a process that is paused stay open, and with them whatever it had begun in the database, the lock on the log, too; then its leases
 * are free.
 */
export class PostgresLeases implements Leases {
  readonly #shares = new Map<string, SharedWork>();
  readonly #times: LeaseTimes;
  /** Until then it is alive, by the monotonic clock and by the other: a machine that slept may have stopped the one. */
  #until = { monotonic: 0, wall: 0 };
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #again = false;
  #closed = false;
  #isAlone = true;

  private constructor(private readonly options: LeasesOptions) {
    this.#times = options.times ?? TIMES;
    options.channel.hear('lease', () => this.#wake());
  }

  /** Registers this instance. What it held before, in a process that has ended, is free. Throws `database-unavailable`. */
  static async open(options: LeasesOptions): Promise<PostgresLeases> {
    const leases = new PostgresLeases(options);
    await options.channel.query('DELETE FROM instance WHERE id = $1', [options.id]);
    await leases.#renew();
    leases.#schedule(leases.#times.renewal);
    return leases;
  }

  share(kind: LeaseKind, name: string, begin: (lease: Lease) => Promise<EndWork>): Share {
    const key = `${kind} ${name}`;
    const before = this.#shares.get(key);
    if (before && !before.withdrawn) throw new CountersignError('internal', `${key} is shared twice`);
    const work = new SharedWork(kind, name, begin, this.options.onFault, before?.settled() ?? Promise.resolve());
    this.#shares.set(key, work);
    this.#wake();
    return {
      get lease() {
        return work.lease;
      },
      withdraw: async () => {
        work.withdrawn = true;
        await this.#leave(work);
        if (this.#shares.get(key) === work) this.#shares.delete(key);
      },
    };
  }

  /** Whether there was no other instance when this one last looked. */
  get isAlone(): boolean {
    return this.#isAlone;
  }

  /** Ends all work that is left, and takes leave of the others, who take it over at once. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#looking;
    await Promise.all([...this.#shares.values()].map((work) => this.#leave(work)));
    await this.options.channel.query('DELETE FROM instance WHERE id = $1', [this.options.id]).catch(() => undefined);
    await this.options.channel.tell('lease', null);
  }

  readonly #isAlive = (): boolean => performance.now() < this.#until.monotonic && Date.now() < this.#until.wall;

  #schedule(milliseconds: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#wake(), milliseconds);
    this.#timer.unref();
  }

  #wake(): void {
    this.#again = true;
    if (!this.#closed) this.#looking ??= this.#look();
  }

  async #look(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      let next = this.#times.renewal;
      try {
        await this.#renew();
        if (await this.#share()) next = SOON;
      } catch (error) {
        this.options.onFault(toCountersignError(error));
      }
      this.#schedule(next);
    }
    this.#looking = null;
  }

  async #renew(): Promise<void> {
    const { channel, id, name, version } = this.options;
    const { life, margin } = this.#times;
    const [monotonic, wall] = [performance.now(), Date.now()];
    const [row] = await channel.query<{ is_new: boolean }>(
      `INSERT INTO instance (id, name, version, until) VALUES ($1, $2, $3, now() + make_interval(secs => $4))
       ON CONFLICT (id) DO UPDATE SET until = excluded.until, seen_at = now() RETURNING xmax = 0 AS is_new`,
      [id, name, version, life / 1_000],
    );
    if (row.is_new) {
      // Buried, and risen: whatever it held may have been another's meanwhile.
      for (const work of this.#shares.values()) work.lose();
      await channel.query('UPDATE lease SET instance = NULL, wanted_by = NULL WHERE instance = $1', [id]);
    }
    this.#until = { monotonic: monotonic + life - margin, wall: wall + life - margin };
  }

  /** Takes, gives and asks. True: something is left that somebody should take soon. */
  async #share(): Promise<boolean> {
    const { channel, id } = this.options;
    await this.#bury();
    await this.#nameNew();
    const instances = await channel.query<{ id: string }>('SELECT id FROM instance WHERE until > now()');
    const rows =
      await channel.query<Omit<LeaseRow, 'epoch' | 'wantedBy'> & { epoch: string; wanted_by: string | null }>( // prettier-ignore
        'SELECT kind, name, epoch, instance, wanted_by FROM lease ORDER BY kind, name',
      );
    const leases = rows.map(({ wanted_by: wantedBy, epoch, ...row }) => ({ ...row, epoch: Number(epoch), wantedBy }));
    for (const { kind, name, epoch, instance } of leases) {
      const work = this.#shares.get(`${kind} ${name}`);
      if (work?.lease && (instance !== id || work.lease.epoch !== epoch)) work.lose();
    }
    this.#isAlone = instances.length < 2;
    const now = performance.now();
    const candidate = ({ kind, name }: LeaseRow): boolean => this.#shares.get(`${kind} ${name}`)?.isFree(now) ?? false;
    const { take, ask, give } = shareOut({ me: id, instances: instances.map((one) => one.id), leases, candidate });
    await this.#take(take);
    if (ask.length > 0) await this.#ask(ask);
    for (const { kind, name } of give) {
      const work = this.#shares.get(`${kind} ${name}`);
      if (work) void this.#leave(work);
    }
    const mine = new Set(take);
    return leases.some((lease) => lease.instance === null && candidate(lease) && !mine.has(lease));
  }

  async #bury(): Promise<void> {
    const { channel } = this.options;
    const dead = await channel.query<{ id: string }>('SELECT id FROM instance WHERE until < now()');
    if (dead.length === 0) return;
    await channel.query(
      `SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = ANY($1) AND pid <> pg_backend_pid()`,
      [dead.map((one) => applicationOf(one.id))],
    );
    // It may have given a sign of life just now: then it is not buried, and only has lost its connections.
    await channel.query(
      `WITH dead AS (DELETE FROM instance WHERE id = ANY($1) AND until < now() RETURNING id)
       UPDATE lease SET instance = NULL, wanted_by = NULL FROM dead WHERE lease.instance = dead.id`,
      [dead.map((one) => one.id)],
    );
  }

  /** Work that the database does not know yet. */
  async #nameNew(): Promise<void> {
    const fresh = [...this.#shares.values()].filter((work) => !work.named);
    if (fresh.length === 0) return;
    await this.options.channel.query(
      `INSERT INTO lease (kind, name) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING`,
      [fresh.map(({ kind }) => kind), fresh.map(({ name }) => name)],
    );
    for (const work of fresh) work.named = true;
  }

  async #take(free: readonly LeaseRow[]): Promise<void> {
    if (free.length === 0 || this.#closed) return;
    const { channel, id } = this.options;
    // Rows that somebody else is taking right now are theirs.
    const taken = await channel.query<{ kind: LeaseKind; name: string; epoch: string }>(
      `WITH free AS (
         SELECT kind, name FROM lease JOIN unnest($2::text[], $3::text[]) AS one (kind, name) USING (kind, name)
         WHERE (instance IS NULL OR NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = lease.instance))
           AND EXISTS (SELECT 1 FROM instance i WHERE i.id = $1 AND i.until > now())
         FOR UPDATE OF lease SKIP LOCKED
       ), taken AS (
         UPDATE lease SET instance = $1, epoch = epoch + 1, since = now(), wanted_by = NULL FROM free
         WHERE lease.kind = free.kind AND lease.name = free.name RETURNING lease.kind, lease.name, lease.epoch
       ) SELECT * FROM taken`,
      [id, free.map(({ kind }) => kind), free.map(({ name }) => name)],
    );
    for (const { kind, name, epoch } of taken) {
      const work = this.#shares.get(`${kind} ${name}`);
      if (!work || work.withdrawn) await this.#free(kind, name, Number(epoch));
      else void this.#begin(work, new HeldLease(kind, name, Number(epoch), id, this.#isAlive));
    }
  }

  async #begin(work: SharedWork, lease: HeldLease): Promise<void> {
    const fault = await work.begin(lease);
    if (!fault) return;
    this.options.onFault(fault);
    await this.#free(work.kind, work.name, lease.epoch);
  }

  async #ask(wanted: readonly LeaseRow[]): Promise<void> {
    const { channel, id } = this.options;
    await channel.query(
      `UPDATE lease SET wanted_by = $1 FROM unnest($2::text[], $3::text[]) AS one (kind, name)
       WHERE lease.kind = one.kind AND lease.name = one.name AND wanted_by IS NULL`,
      [id, wanted.map(({ kind }) => kind), wanted.map(({ name }) => name)],
    );
    await channel.tell('lease', null);
  }

  /** Ends work that is done here; whoever waits for it hears at once. */
  async #leave(work: SharedWork): Promise<void> {
    const lease = await work.end();
    if (lease) await this.#free(work.kind, work.name, lease.epoch);
  }

  async #free(kind: LeaseKind, name: string, epoch: number): Promise<void> {
    const { channel, id } = this.options;
    await channel
      .query(
        'UPDATE lease SET instance = NULL, wanted_by = NULL WHERE kind = $1 AND name = $2 AND epoch = $3 AND instance = $4',
        [kind, name, epoch, id],
      ) // prettier-ignore
      .catch(() => undefined); // it runs out with the rest of this instance's
    await channel.tell('lease', null);
  }
}

class HeldLease implements Lease {
  #lost = false;

  constructor(
    readonly kind: LeaseKind,
    readonly name: string,
    readonly epoch: number,
    private readonly instance: string,
    private readonly isAlive: () => boolean,
  ) {}

  get held(): boolean {
    return !this.#lost && this.isAlive();
  }

  lose(): void {
    this.#lost = true;
  }

  async fence(handle: unknown): Promise<void> {
    const { kind, name, epoch, instance } = this;
    // Asked of the database, whose word counts. The lock keeps anybody from taking it before this transaction ends.
    const found = await (handle as EntityManager).query<unknown[]>(
      'SELECT 1 FROM lease WHERE kind = $1 AND name = $2 AND epoch = $3 AND instance = $4 FOR SHARE',
      [kind, name, epoch, instance],
    );
    if (found.length === 0) throw leaseLost(this);
  }
}

/** One piece of work, as it is done here or not. */
class SharedWork {
  named = false;
  withdrawn = false;
  #lease: HeldLease | null = null;
  #end: EndWork | null = null;
  #cooling = 0;
  /** Its beginnings and ends, one after the other. */
  #steps: Promise<unknown>;

  constructor(
    readonly kind: LeaseKind,
    readonly name: string,
    private readonly work: (lease: Lease) => Promise<EndWork>,
    private readonly onFault: (fault: CountersignError) => void,
    after: Promise<unknown>,
  ) {
    this.#steps = after;
  }

  get lease(): Lease | null {
    return this.#lease;
  }

  settled(): Promise<unknown> {
    return this.#steps;
  }

  isFree(now: number): boolean {
    return !this.withdrawn && this.#lease === null && now >= this.#cooling;
  }

  /** Resolves to what stood in its way; then it is not held. */
  begin(lease: HeldLease): Promise<CountersignError | null> {
    this.#lease = lease;
    return this.#step(async () => {
      if (this.#lease !== lease) return null;
      try {
        this.#end = await this.work(lease);
        return null;
      } catch (thrown) {
        lease.lose();
        this.#lease = null;
        this.#cooling = performance.now() + COOLING;
        return toCountersignError(thrown);
      }
    });
  }

  /** It is another's, or may be: nothing more may come of it, and then it ends. */
  lose(): void {
    this.#lease?.lose();
    void this.end();
  }

  /** Resolves to what may be freed. */
  end(): Promise<HeldLease | null> {
    return this.#step(async () => {
      const lease = this.#lease;
      await this.#end?.().catch((thrown: unknown) => this.onFault(toCountersignError(thrown)));
      this.#end = null;
      lease?.lose();
      this.#lease = null;
      return lease;
    });
  }

  #step<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#steps.then(step);
    this.#steps = done.catch(() => undefined);
    return done;
  }
}
