import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { openKeys } from '../../src/adapters/keys/file.js';
import { openDatabase } from '../../src/adapters/postgres/connect.js';
import { Lease, lockSpace } from '../../src/adapters/postgres/lease.js';
import { openLedger } from '../../src/adapters/postgres/ledger.js';
import { PostgresLogStorage } from '../../src/adapters/postgres/log-storage.js';
import { CheckpointFile } from '../../src/adapters/postgres/seen-checkpoint.js';
import type { PostgresLedger } from '../../src/adapters/postgres/ledger.js';
import { openCheckpoint } from '../../src/audit/checkpoint.js';
import type { KeyRing } from '../../src/audit/keys.js';
import { equalBytes } from '../../src/audit/crypto.js';
import { Frontier, leafHash } from '../../src/audit/merkle.js';
import { parseVkey } from '../../src/audit/note.js';
import { Sequencer } from '../../src/audit/sequencer.js';
import { sealStatement } from '../../src/audit/statement.js';
import { CountersignError } from '../../src/errors.js';
import { compiled } from '../support/cli.js';
import { openTestLog, pushDraft } from '../support/log.js';
import { startPostgres } from '../support/postgres.js';
import type { TestPostgres } from '../support/postgres.js';
import { randomness } from '../support/randomness.js';

// Invariant 3 on real PostgreSQL, with real kills. KILLS and SEED make it longer, or another one (make soak).

const kills = Number(process.env['KILLS'] ?? 30);
const random = randomness(Number(process.env['SEED'] ?? 20_261_121));

interface Acknowledged {
  readonly index: number;
  readonly hash: string;
  readonly id: string;
}

/** Every leaf hashed again, against every checkpoint that was ever shown. */
async function verifyLog(
  ledger: PostgresLedger,
  keys: KeyRing,
  shown: readonly string[],
): Promise<Map<string, number>> {
  const frontier = new Frontier();
  const roots: Uint8Array[] = [frontier.root()];
  const ids = new Map<string, number>();
  for await (const entry of ledger.entries(0, Number.MAX_SAFE_INTEGER)) {
    frontier.append(leafHash(entry.envelope));
    roots.push(frontier.root());
    const id = entry.predicate['id'];
    if (typeof id !== 'string') continue;
    expect(ids.has(id)).toBe(false); // nothing is given two places
    ids.set(id, entry.index);
  }
  for (const note of [...shown, await ledger.checkpoint()]) {
    const { size, root } = openCheckpoint(note, parseVkey(keys.log.vkey));
    expect(size).toBeLessThan(roots.length);
    expect(equalBytes(roots[size], root)).toBe(true);
  }
  return ids;
}

/** A process that appends until it is killed, with a data folder of its own. */
class Writer {
  #text = '';
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;

  constructor(
    readonly data: string,
    run: string,
    url?: string,
  ) {
    const args = ['test/support/append-until-killed.mjs', data, run, ...(url === undefined ? [] : [url])];
    this.#child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '', NODE_COMPILE_CACHE: compiled() },
    });
    this.#child.stdout!.on('data', (chunk: Buffer) => (this.#text += chunk.toString()));
    this.#gone = once(this.#child, 'close');
  }

  /** Its log is open. */
  async ready(): Promise<void> {
    await this.#said((text) => text.startsWith('ready\n'));
  }

  /** Something more was acknowledged from now on. */
  async goesOn(): Promise<void> {
    const before = this.acknowledged.length;
    await this.#said(() => this.acknowledged.length > before);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#gone;
  }

  /** What was cut off in the middle of its line was not said. */
  get acknowledged(): readonly Acknowledged[] {
    const lines = this.#text.split('\n').slice(0, -1);
    return lines
      .filter((line) => line !== 'ready')
      .map((line) => {
        const [index, hash, id] = line.split(' ');
        return { index: Number(index), hash, id };
      });
  }

  async #said(enough: (text: string) => boolean): Promise<void> {
    while (!enough(this.#text)) {
      if (this.#child.exitCode !== null) throw new Error(`the writer ended by itself: ${this.#child.exitCode}`);
      await sleep(5);
    }
  }
}

interface Witnessed {
  readonly acknowledged: readonly Acknowledged[];
  /** Checkpoints that some process had signed or seen when it died. */
  readonly shown: readonly string[];
}

/** Nothing acknowledged is gone, nothing is there twice, and the log goes on. Resolves to how many entries were acknowledged. */
async function verifySurvival(
  dataSource: DataSource,
  data: string,
  { acknowledged, shown }: Witnessed,
): Promise<number> {
  const keys = await openKeys({ data });
  const ledger = await openLedger({ dataSource, keys, dataDir: data });
  try {
    // It goes on; and so it leads, which it could not while PostgreSQL had not noticed yet that the last holder of the lease was gone.
    const [{ index: last }] = await ledger.append(pushDraft(1));
    const ids = await verifyLog(ledger, keys, shown);
    expect(await ledger.size()).toBe(last + 1);
    const hashes = new Map<number, string>();
    for await (const { index, leafHash: hash } of ledger.entries(0, Number.MAX_SAFE_INTEGER)) hashes.set(index, hash);
    expect(acknowledged.filter(({ index, id, hash }) => ids.get(id) !== index || hashes.get(index) !== hash)).toEqual([]); // prettier-ignore
    // Rows and entries of one transaction: both or none, acknowledged or not.
    const receipts = await dataSource.query<{ id: string }[]>('SELECT id FROM receipt');
    const recorded = [...ids.keys()].filter((id) => id !== 'push-1' && !id.includes('direct'));
    expect(receipts.map((row) => row.id).toSorted()).toEqual(recorded.toSorted());
    expect(recorded.length).toBeLessThan(ids.size);
    return acknowledged.length;
  } finally {
    await ledger.close();
  }
}

it('loses nothing acknowledged and forks nothing when it is killed, and its own PostgreSQL left behind', async () => {
  const data = mkdtempSync(join(tmpdir(), 'countersign-killed-'));
  const acknowledged: Acknowledged[] = [];
  const shown: string[] = [];
  for (const run of ['a', 'b', 'c']) {
    const writer = new Writer(data, run);
    await writer.ready();
    await sleep(random() * 400);
    // A slow machine may have acknowledged nothing until then.
    if (run === 'c') await writer.goesOn();
    await writer.kill();
    acknowledged.push(...writer.acknowledged);
    shown.push((await new CheckpointFile(data).load())!);
  }
  const dataSource = await openDatabase({ data });
  expect(await verifySurvival(dataSource, data, { acknowledged, shown })).toBeGreaterThan(0);
  await dataSource.destroy();
  rmSync(data, { recursive: true });
}, 120_000);

describe('on an installed PostgreSQL', () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.stop());

  /** Two data folders with the same keys, and a database for both. */
  async function twoFolders(): Promise<{ folders: readonly [string, string]; url: string; remove: () => void }> {
    const [first, second] = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'countersign-killed-')));
    await openKeys({ data: first, origin: 'log.example.org/test' });
    cpSync(join(first, 'keys'), join(second, 'keys'), { recursive: true });
    const remove = (): void => [first, second].forEach((folder) => rmSync(folder, { recursive: true }));
    return { folders: [first, second], url: await server.database(), remove };
  }

  it(
    `loses nothing acknowledged and forks nothing in ${kills} kills at random moments, of two processes at one log`,
    async () => {
      const { folders, url, remove } = await twoFolders();
      const acknowledged: Acknowledged[] = [];
      const shown: string[] = [];
      const bury = async (writer: Writer): Promise<void> => {
        await writer.kill();
        acknowledged.push(...writer.acknowledged);
        const note = await new CheckpointFile(writer.data).load();
        if (note !== undefined) shown.push(note);
      };
      // The next one starts while the last one writes: whoever is killed, the other goes on.
      let other = new Writer(folders[0], 'first', url);
      await other.ready();
      for (let killed = 1; killed <= kills; killed += 1) {
        const free = folders.find((folder) => folder !== other.data)!;
        const next = new Writer(free, String(killed), url);
        const kind = random();
        if (kind > 0.2) await next.ready(); // the rest die while they start, or the other while the next one does
        await sleep(random() * (kind > 0.2 ? 150 : 400));
        const leaderDies = random() < 0.7;
        await bury(leaderDies ? other : next);
        if (leaderDies) {
          await next.ready();
          other = next;
        }
      }
      await other.goesOn();
      await bury(other);
      const dataSource = await openDatabase({ url });
      expect(await verifySurvival(dataSource, folders[0], { acknowledged, shown })).toBeGreaterThan(0);
      await dataSource.destroy();
      remove();
    },
    120_000 + kills * 10_000,
  );

  it('takes no write of a process that was asleep while another one took the lease', async () => {
    const { folders, url, remove } = await twoFolders();
    const dataSource = await openDatabase({ url });
    // Each under a name of its own, so that the database can tell who leads.
    await dataSource.query('CREATE ROLE writer_0 SUPERUSER LOGIN; CREATE ROLE writer_1 SUPERUSER LOGIN');
    const writers = folders.map((folder, i) => new Writer(folder, String(i), url.replace('//test@', `//writer_${i}@`)));
    for (const writer of writers) await writer.ready();
    const epochs: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      await Promise.all(writers.map((writer) => writer.goesOn()));
      const [{ pid, name, epoch }] = await dataSource.query<{ pid: number; name: string; epoch: string }[]>(
        `SELECT pid, usename AS name, epoch FROM log_head, pg_locks JOIN pg_stat_activity USING (pid)
         WHERE locktype = 'advisory' AND classid = ${lockSpace} AND granted AND datname = current_database()`,
      );
      epochs.push(epoch);
      const [leader, other] = name === 'writer_0' ? writers : writers.toReversed();
      leader.signal('SIGSTOP');
      await sleep(random() * 20);
      // What a network does that has lost the sleeper: the lock goes with its connection, which alone is cut; its others still work.
      await dataSource.query('SELECT pg_terminate_backend($1)', [pid]);
      await other.goesOn();
      leader.signal('SIGCONT');
      await Promise.all(writers.map((writer) => writer.goesOn()));
    }
    const acknowledged: Acknowledged[] = [];
    const shown: string[] = [];
    for (const writer of writers) {
      await writer.kill();
      acknowledged.push(...writer.acknowledged);
      shown.push((await new CheckpointFile(writer.data).load())!);
    }
    expect(new Set(epochs).size).toBe(3); // each round, the lease went on
    expect(await verifySurvival(dataSource, folders[0], { acknowledged, shown })).toBeGreaterThan(0);
    await dataSource.destroy();
    remove();
  }, 120_000);

  it('takes no write under an epoch that has passed, of a sequencer whose connections still work', async () => {
    const log = await openTestLog(server);
    await log.ledger.append(pushDraft(1));
    await log.ledger.close();
    const lease = (await Lease.tryAcquire(log.dataSource, () => undefined))!;
    const storage = new PostgresLogStorage(lease.connection, lease.epoch, lease.beside);
    const late = new Sequencer(storage, new CheckpointFile(log.data), log.keys);
    const { leaf } = await sealStatement(pushDraft(2), new Date().toISOString(), {}, log.keys.entries);
    expect(await late.extend([{ id: '1001', type: 'push', leaf }])).toHaveLength(1);
    await log.dataSource.query('UPDATE log_head SET epoch = epoch + 1'); // as the next holder of the lease begins
    const stored = (): Promise<unknown> => log.dataSource.query('SELECT * FROM log_head, log_released');
    const before = await stored();
    await expect(late.extend([{ id: '1002', type: 'push', leaf }])).rejects.toMatchObject({ code: 'log-conflict' });
    await late.publish(); // its own file: what it signs is durable, and may be shown
    await expect(late.release()).rejects.toMatchObject({ code: 'log-conflict' });
    expect(await stored()).toEqual(before);
    await lease.release();
    const ledger = await openLedger({ dataSource: log.dataSource, keys: log.keys, dataDir: log.data });
    expect(await ledger.size()).toBe(3);
    await verifyLog(ledger, log.keys, [(await new CheckpointFile(log.data).load())!]);
    await ledger.close();
    await log.dataSource.destroy();
    rmSync(log.data, { recursive: true });
  });

  it('loses nothing acknowledged when connections are cut at random, and goes on by itself', async () => {
    const log = await openTestLog(server);
    const cutter = new Client({ connectionString: log.url });
    await cutter.connect();
    const acknowledged = new Map<string, number>();
    const rejected: unknown[] = [];
    const until = Date.now() + 3_000;
    let n = 0;
    const caller = async (): Promise<void> => {
      while (Date.now() < until) {
        const draft = pushDraft((n += 1));
        const id = `push-${n}`;
        try {
          const [entry] =
            n % 2 === 0
              ? await log.ledger.append(draft)
              : (await log.ledger.record(async (t) => t.append(draft))).entries;
          acknowledged.set(id, entry.index);
        } catch (error) {
          rejected.push(error);
        }
      }
    };
    const cut = async (): Promise<void> => {
      while (Date.now() < until) {
        await sleep(100 + random() * 300);
        await cutter.query(
          'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
        );
      }
    };
    await Promise.all([...Array.from({ length: 8 }, caller), cut()]);
    await cutter.end();
    expect(acknowledged.size).toBeGreaterThan(10);
    for (const error of rejected) expect(error).toMatchObject({ name: 'CountersignError', retry: true });
    expect((await log.ledger.append(pushDraft(0)))[0].index).toBeGreaterThan(0);
    const ids = await verifyLog(log.ledger, log.keys, []);
    for (const [id, index] of acknowledged) expect(ids.get(id)).toBe(index);
    await log.close();
  });

  it('refuses a restored backup, and one of another log, with the way out', async () => {
    const log = await openTestLog(server);
    await log.ledger.append(pushDraft(1));
    await log.ledger.close();
    await log.dataSource.destroy();
    const name = new URL(log.url).pathname.slice(1);
    const admin = new Client({ connectionString: log.url.replace(name, 'postgres') });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${name}_backup TEMPLATE ${name}`);
    const open = async (url: string): Promise<PostgresLedger> => {
      const dataSource = await openDatabase({ url });
      try {
        return await openLedger({ dataSource, keys: log.keys, dataDir: log.data });
      } catch (error) {
        await dataSource.destroy();
        throw error;
      }
    };
    const grown = await openDatabase({ url: log.url });
    const ledger = await openLedger({ dataSource: grown, keys: log.keys, dataDir: log.data });
    await ledger.append(pushDraft(2));
    await ledger.close();
    await grown.destroy();
    await expect(open(`${log.url}_backup`)).rejects.toMatchObject({
      code: 'log-behind',
      remedy: expect.stringContaining('new log') as string,
    });
    await expect(open(await server.database())).rejects.toBeInstanceOf(CountersignError);
    await admin.end();
    rmSync(log.data, { recursive: true });
  });
});
