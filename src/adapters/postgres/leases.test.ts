import type { DataSource } from 'typeorm';
import { startPostgres, type TestPostgres } from '../../../test/support/postgres.js';
import { until } from '../../../test/support/cluster.js';
import type { Lease, LeaseKind } from '../../audit/lease.js';
import { Channel } from './channel.js';
import { openDatabase } from './connect.js';
import { applicationOf, PostgresLeases } from './leases.js';

const times = { life: 1_200, margin: 200, renewal: 250 };

/** An instance that only notes what it does. */
class Instance {
  readonly held = new Map<string, Lease>();
  readonly log: string[] = [];
  leases!: PostgresLeases;
  channel!: Channel;

  private constructor(
    readonly name: string,
    readonly id: string,
    readonly dataSource: DataSource,
  ) {}

  static async open(url: string, name: string, id = crypto.randomUUID() as string): Promise<Instance> {
    const dataSource = await openDatabase({ url }, { application: applicationOf(id) });
    const instance = new Instance(name, id, dataSource);
    const channel = (instance.channel = new Channel(dataSource, id));
    instance.leases = await PostgresLeases.open({ channel, id, name, version: '1', onFault: () => {}, times });
    return instance;
  }

  share(kind: LeaseKind, ...names: readonly string[]): void {
    for (const one of names) {
      this.leases.share(kind, one, async (lease) => {
        if (this.held.has(one)) throw new Error(`${one} was begun twice`);
        this.held.set(one, lease);
        this.log.push(`+${one}`);
        return async () => {
          this.log.push(`-${one}`);
          this.held.delete(one);
        };
      });
    }
  }

  /** As a paused process does: it renews nothing, and hears nothing. */
  stall(): () => void {
    const { channel } = this;
    const query = channel.query.bind(channel);
    const { promise, resolve } = Promise.withResolvers<void>();
    channel.query = async <T>(text: string, values?: unknown[]) => {
      await promise;
      return query<T>(text, values);
    };
    return () => {
      channel.query = query;
      resolve();
    };
  }

  /** As the kernel ends one. */
  async die(): Promise<void> {
    this.channel.query = () => Promise.reject(new Error('dead'));
    await this.channel.close();
    await this.dataSource.destroy();
    await this.leases.close();
  }

  async close(): Promise<void> {
    await this.leases.close();
    await this.channel.close();
    await this.dataSource.destroy();
  }
}

describe('leases', () => {
  let server: TestPostgres;
  let url: string;
  const opened: Instance[] = [];
  const open = async (name: string, id?: string): Promise<Instance> => {
    const instance = await Instance.open(url, name, id);
    opened.push(instance);
    return instance;
  };

  beforeAll(async () => {
    server = await startPostgres();
  });
  beforeEach(async () => {
    url = await server.database();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((instance) => instance.close()));
  });
  afterAll(() => server?.stop());

  const write = (instance: Instance, lease: Lease): Promise<void> =>
    instance.dataSource.transaction(async (manager) => {
      await lease.fence(manager);
      await manager.query('UPDATE note SET text = $1', [instance.name]);
    });

  it('spread over those who come, and go to those who stay', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const first = await open('first');
    first.share('environment', ...names);
    await until('all are the first one’s', () => first.held.size === 4);
    const second = await open('second');
    second.share('environment', ...names);
    await until('each has two', () => first.held.size === 2 && second.held.size === 2);
    expect([...first.held.keys(), ...second.held.keys()].toSorted()).toEqual(names);
    await first.close();
    opened.shift();
    await until('all are the second one’s', () => second.held.size === 4);
    expect(Math.max(...[...second.held.values()].map(({ epoch }) => epoch))).toBeGreaterThan(1);
  });

  it('are taken from one that gives no sign of life, whose transactions and connections end, and who writes nothing when it wakes up', async () => {
    const [first, second] = [await open('first'), await open('second')];
    await first.dataSource.query(`CREATE TABLE note (text text)`);
    await first.dataSource.query(`INSERT INTO note VALUES ('')`);
    first.share('repository', 'shop');
    await until('the first has it', () => first.held.size === 1);
    second.share('repository', 'shop');
    const lease = first.held.get('shop')!;
    await write(first, lease);
    // Asleep with the lock on its lease, and the log's.
    const inTheMiddle = first.dataSource.createQueryRunner();
    await inTheMiddle.startTransaction();
    await lease.fence(inTheMiddle.manager);
    await inTheMiddle.query('SELECT pg_advisory_lock(1, 1)');
    const wake = first.stall();
    await until('the second has taken it over', () => second.held.size === 1);
    expect(lease.held).toBe(false);
    expect(second.held.get('shop')!.epoch).toBeGreaterThan(lease.epoch);
    const [{ free }] = await second.dataSource.query<{ free: boolean }[]>('SELECT pg_try_advisory_lock(1, 1) AS free');
    expect(free).toBe(true);
    await expect(inTheMiddle.query(`UPDATE note SET text = 'late'`)).rejects.toThrow(/terminat|connection|released/i);
    await inTheMiddle.release().catch(() => undefined);
    await write(second, second.held.get('shop')!);
    await expect(write(first, lease)).rejects.toMatchObject({ code: 'lease-lost', retry: true });
    wake();
    await until('the first one has ended its work', () => first.log.join() === '+shop,-shop');
    await expect(write(first, lease)).rejects.toMatchObject({ code: 'lease-lost' });
    expect(await second.dataSource.query('SELECT text FROM note')).toEqual([{ text: 'second' }]);
    expect([second.held.get('shop')!.held, lease.held]).toEqual([true, false]);
  });

  it('are free at once for whoever comes after a process that died in the same data folder', async () => {
    const id = crypto.randomUUID();
    const before = await open('before', id);
    before.share('duty', 'mirror');
    await until('it is held', () => before.held.size === 1);
    opened.shift();
    await before.die();
    const after = await open('after', id);
    after.share('duty', 'mirror');
    const started = performance.now();
    await until('its successor holds it', () => after.held.size === 1);
    expect(performance.now() - started).toBeLessThan(times.life);
    expect(after.held.get('mirror')!.epoch).toBe(2);
  });

  it('keep everybody out while the work of a holder that gives them up ends', async () => {
    const [first, second] = [await open('first'), await open('second')];
    const { promise, resolve } = Promise.withResolvers<void>();
    const share = first.leases.share('duty', 'tell', async () => () => promise);
    await until('it is held', () => share.lease !== null);
    second.share('duty', 'tell');
    const withdrawn = share.withdraw();
    await second.leases['options'].channel.query('SELECT pg_sleep(0.5)');
    expect(second.held.size).toBe(0);
    resolve();
    await withdrawn;
    await until('the second has it', () => second.held.size === 1);
  });

  it('go to another where the work cannot be begun', async () => {
    const [first, second] = [await open('first'), await open('second')];
    const tried = first.leases.share('duty', 'tell', () => Promise.reject(new Error('not here')));
    await until('the first has tried', async () => {
      const rows = await first.dataSource.query<{ epoch: string }[]>(`SELECT epoch FROM lease WHERE name = 'tell'`);
      return rows[0]?.epoch === '1' && tried.lease === null;
    });
    second.share('duty', 'tell');
    await until('the second has it', () => second.held.size === 1);
    expect(second.held.get('tell')!.epoch).toBeGreaterThan(1);
  });
});
