import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { openKeys } from '../../src/adapters/keys/file.js';
import { openDatabase } from '../../src/adapters/postgres/connect.js';
import { openLedger } from '../../src/adapters/postgres/ledger.js';
import { CheckpointFile } from '../../src/adapters/postgres/seen-checkpoint.js';
import type { PostgresLedger } from '../../src/adapters/postgres/ledger.js';
import { openCheckpoint } from '../../src/audit/checkpoint.js';
import type { KeyRing } from '../../src/audit/keys.js';
import { equalBytes } from '../../src/audit/crypto.js';
import { leafHash, rootOf } from '../../src/audit/merkle.js';
import { parseVkey } from '../../src/audit/note.js';
import { CountersignError } from '../../src/errors.js';
import { openTestLog, pushDraft } from '../support/log.js';
import { startPostgres } from '../support/postgres.js';
import type { TestPostgres } from '../support/postgres.js';

// Invariant 3 on real PostgreSQL, with real kills. KILLS and SEED make it longer, or another one (make soak).

const kills = Number(process.env['KILLS'] ?? 6);
let seed = Number(process.env['SEED'] ?? 20_261_121);
const random = (): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;

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
  const hashes: Uint8Array[] = [];
  const ids = new Map<string, number>();
  for await (const entry of ledger.entries(0, Number.MAX_SAFE_INTEGER)) {
    hashes.push(leafHash(entry.envelope));
    const id = entry.predicate['id'];
    if (typeof id !== 'string') continue;
    expect(ids.has(id)).toBe(false); // nothing is given two places
    ids.set(id, entry.index);
  }
  for (const note of [...shown, await ledger.checkpoint()]) {
    const { size, root } = openCheckpoint(note, parseVkey(keys.log.vkey));
    expect(size).toBeLessThanOrEqual(hashes.length);
    expect(equalBytes(rootOf(hashes.slice(0, size)), root)).toBe(true);
  }
  return ids;
}

it(
  `loses nothing acknowledged and forks nothing in ${kills} kills at random moments, PostgreSQL left behind each time`,
  async () => {
    const data = mkdtempSync(join(tmpdir(), 'countersign-killed-'));
    const acknowledged: Acknowledged[] = [];
    const shown: string[] = [];
    for (let run = 0; run < kills; run += 1) {
      const child = spawn(process.execPath, ['test/support/append-until-killed.mjs', data, String(run)], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, NODE_OPTIONS: '' },
      });
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
      const gone = new Promise((resolve) => child.once('exit', resolve));
      while (!text.includes('ready\n') && child.exitCode === null) await sleep(5);
      expect(child.exitCode).toBeNull();
      await sleep(random() * 400);
      child.kill('SIGKILL');
      await gone;
      // What was cut off in the middle of its line was not said.
      for (const line of text.split('\n').slice(0, -1)) {
        const [index, hash, id] = line.split(' ');
        if (line !== 'ready') acknowledged.push({ index: Number(index), hash, id });
      }
      shown.push((await new CheckpointFile(data).load())!);
    }
    const dataSource = await openDatabase({ data });
    const keys = await openKeys({ data });
    const ledger = await openLedger({ dataSource, keys, dataDir: data });
    try {
      const ids = await verifyLog(ledger, keys, shown);
      expect(acknowledged.length).toBeGreaterThan(0);
      for (const { index, hash, id } of acknowledged) {
        expect(ids.get(id)).toBe(index);
        expect((await ledger.entry(index)).leafHash).toBe(hash);
      }
      // Rows and entries of one transaction: both or none, acknowledged or not.
      const receipts = await dataSource.query<{ id: string }[]>('SELECT id FROM receipt');
      const recorded = [...ids.keys()].filter((id) => !id.includes('direct'));
      expect(receipts.map((row) => row.id).toSorted()).toEqual(recorded.toSorted());
      expect(recorded.length).toBeLessThan(ids.size);
      expect((await ledger.append(pushDraft(1)))[0].index).toBe(ids.size + 1);
    } finally {
      await ledger.close();
      await dataSource.destroy();
      rmSync(data, { recursive: true });
    }
  },
  120_000 + kills * 10_000,
);

describe('on an installed PostgreSQL', () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.stop());

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
