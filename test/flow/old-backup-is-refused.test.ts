import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import { exportBundle, exportTiles } from '../../src/adapters/evidence/export.js';
import { openZip } from '../../src/adapters/evidence/zip.js';
import { openKeys, readKeys } from '../../src/adapters/keys/file.js';
import { folderFiles } from '../../src/adapters/log-files/folder.js';
import { openLogFiles } from '../../src/adapters/log-files/open.js';
import { openDatabase } from '../../src/adapters/postgres/connect.js';
import { openLedger } from '../../src/adapters/postgres/ledger.js';
import { recoverLog } from '../../src/adapters/postgres/recovery.js';
import { CheckpointFile } from '../../src/adapters/postgres/seen-checkpoint.js';
import { continueLog } from '../../src/adapters/postgres/successor.js';
import { Mirroring } from '../../src/audit/mirroring.js';
import { parseVkey } from '../../src/audit/note.js';
import { trustIn } from '../../src/audit/policy-file.js';
import { contentsOf } from '../../src/audit/statement.js';
import { verifyEvidence } from '../../src/audit/verify.js';
import { runCli } from '../support/cli.js';
import { pushDraft } from '../support/log.js';
import type { TestPostgres } from '../support/postgres.js';
import { startPostgres } from '../support/postgres.js';

// Invariant 3: a database older than what its log has signed does not start; it gets its entries back, or another log follows it.

const cli = async (...args: string[]): Promise<{ code: number | null; out: string; err: string }> => {
  const { code, stdout, stderr } = await runCli(args);
  return { code, out: stdout, err: stderr };
};
const nothing = (): void => {};
const origin = 'log.example.org/backup';
const backed = 150;
const total = 700;
const body = Buffer.from('the result of a decision made after the backup');

let server: TestPostgres;
let folder: string;
let data: string;
let backup: string;
let newest: string;
let full: string;
let short: string;
let bundle: string;

/** A data folder and a database as they are when the backup has been restored beside the newer files of the service. */
async function restored(): Promise<{ readonly data: string; readonly url: string; readonly dataSource: DataSource }> {
  const url = await copyDatabase(backup);
  const own = mkdtempSync(join(folder, 'restored-'));
  cpSync(data, own, { recursive: true });
  const dataSource = await openDatabase({ url });
  return { data: own, url, dataSource };
}

async function copyDatabase(url: string): Promise<string> {
  const copy = await server.database();
  const client = new Client({ connectionString: url.replace(/\/[^/]*$/, '/postgres') });
  await client.connect();
  await client.query(`DROP DATABASE ${nameOf(copy)}`);
  await client.query(`CREATE DATABASE ${nameOf(copy)} TEMPLATE ${nameOf(url)}`);
  await client.end();
  return copy;
}

const nameOf = (url: string): string => url.slice(url.lastIndexOf('/') + 1);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-backup-'));
  data = join(folder, 'data');
  [full, short, bundle] = ['full', 'short', 'bundle.zip'].map((name) => join(folder, name));
  server = await startPostgres();
  const url = await server.database();
  let dataSource = await openDatabase({ url });
  const keys = await openKeys({ data, origin });
  let ledger = await openLedger({ dataSource, keys, dataDir: data });
  await dataSource.query(
    `INSERT INTO environment (repository, name, path, ref, labels, ignore, approved, approved_decision, head, no_longer_compliant, status, updated_at)
     VALUES ('shop', 'shop/production', '.', 'refs/heads/main', '{}', '[]', 'c0', 'd0', 'c0', false, 'current', now())`,
  );
  await dataSource.query(
    `INSERT INTO live_object VALUES ('shop', 'shop/production', 'apps', 'v1', 'Deployment', 'shop', 'cart', 'prod', 'uid', '7', 'c0', 12, 'a.yaml', 1, 'd1', 'healthy', '', now())`,
  );
  await ledger.append(...Array.from({ length: backed - 1 }, (_, n) => pushDraft(n)));
  await ledger.close();
  await dataSource.destroy();
  backup = await copyDatabase(url);

  dataSource = await openDatabase({ url });
  ledger = await openLedger({ dataSource, keys, dataDir: data });
  const contents = { result: { mediaType: 'text/plain', bytes: body, salted: true } };
  const allow = { outcome: 'allow', repository: 'shop', environment: 'shop/production' };
  await ledger.append({ type: 'decision', subjects: [], predicate: allow, contents });
  await ledger.append(...Array.from({ length: 300 }, (_, n) => pushDraft(1_000 + n)));
  await exportTiles(ledger, keys, short, nothing);
  await ledger.append(...Array.from({ length: total - backed - 301 }, (_, n) => pushDraft(2_000 + n)));
  await exportTiles(ledger, keys, full, nothing);
  await exportBundle(ledger, keys, bundle, nothing);
  await ledger.close();
  await dataSource.destroy();
  newest = url;
});

afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true });
});

it('is refused at start, with what to do', async () => {
  const world = await restored();
  const keys = await readKeys(world.data);
  await expect(openLedger({ dataSource: world.dataSource, keys, dataDir: world.data })).rejects.toMatchObject({
    code: 'log-behind',
    message: `the database holds ${backed} entries, but a checkpoint of ${total} was signed: an older copy was restored`,
    remedy: expect.stringMatching(/countersign log recover .*countersign log continue/) as string,
  });
  await world.dataSource.destroy();
});

it('gets its entries and contents back from a bundle, and goes on as the same log', async () => {
  const world = await restored();
  const keys = await readKeys(world.data);
  const late = await openZip(bundle);
  await world.dataSource.destroy();

  const { code, out, err } = await cli(
    'log',
    'recover',
    '--data',
    world.data,
    '--database',
    world.url,
    '--from',
    bundle,
  );
  expect([code, err]).toEqual([0, '']);
  expect(out).toContain(`recovered entries ${backed} … ${total - 1} of ${origin} and 1 contents`);
  expect(out).toContain('to be judged again: shop shop/production');
  expect(out).toContain('nothing that was promised is missing');

  const again = await openDatabase({ url: world.url });
  const ledger = await openLedger({ dataSource: again, keys, dataDir: world.data });
  expect(await ledger.size()).toBe(total + 1);
  expect(await ledger.entry(total)).toMatchObject({
    type: 'action',
    predicate: { action: 'log-recovered', from: backed, to: total },
  });
  const decision = await ledger.entry(backed);
  const result = contentsOf(decision.predicate).get('result')!;
  expect((await ledger.content(result)).equals(body)).toBe(true);
  await ledger.append(pushDraft(9_999));
  // The auditor who holds the bundle of before finds this to be the same log, grown.
  const after = join(folder, 'after.zip');
  await exportBundle(ledger, keys, after, nothing);
  const earlier = Buffer.from(await late.read('checkpoint', 10_000)).toString();
  const evidence = await openZip(after);
  const { fault, size } = await verifyEvidence(evidence, { trust: trustIn(parseVkey(keys.log.vkey)), earlier });
  expect([fault, size]).toEqual([undefined, total + 2]);
  await evidence.close();
  await late.close();
  // Held to the approval of before the backup, the cluster would be set back.
  expect(await again.query('SELECT approved, approved_decision, head FROM environment')).toEqual([
    { approved: 'c0', approved_decision: null, head: null },
  ]);
  await ledger.close();
  await again.destroy();
});

it('gives an entry that was committed before the backup and sequenced after it no second place', async () => {
  const world = await restored();
  const keys = await readKeys(world.data);
  const tiles = await openLogFiles(full);
  const { leavesOf } = await import('../../src/audit/log-files.js');
  const later: Buffer[] = [];
  for await (const leaf of leavesOf(tiles, total, 400)) if (later.length < 2) later.push(Buffer.from(leaf));
  await world.dataSource.query(
    `INSERT INTO log_outbox (type, leaf) SELECT 'push', leaf FROM unnest($1::bytea[]) AS leaf`,
    [later],
  );
  await recoverLog({ ...world, keys, seen: new CheckpointFile(world.data), copy: tiles });
  const ledger = await openLedger({ dataSource: world.dataSource, keys, dataDir: world.data });
  expect(await ledger.size()).toBe(total);
  await ledger.close();
  await world.dataSource.destroy();
});

it('takes nothing from a copy that is too short, of another log, or damaged at any place', async () => {
  const world = await restored();
  const { dataSource } = world;
  const keys = await readKeys(world.data);
  const recover = async (place: string): Promise<unknown> =>
    recoverLog({ dataSource, keys, seen: new CheckpointFile(world.data), copy: await openLogFiles(place) });
  await expect(recover(short)).rejects.toMatchObject({ code: 'log-behind', message: expect.stringContaining(`a checkpoint of ${total} was signed`) as string }); // prettier-ignore
  for (const [name, at] of [
    ['tile/entries/000', 60_000],
    ['tile/entries/001', 40],
    ['tile/entries/002.p/188', 90_000],
  ] as const) {
    // prettier-ignore
    const copy = mkdtempSync(join(folder, 'damaged-'));
    cpSync(full, copy, { recursive: true });
    const bytes = readFileSync(join(copy, name));
    bytes[Math.min(at, bytes.length - 30)] ^= 1;
    writeFileSync(join(copy, name), bytes);
    const outcome = await recover(copy).then(
      () => 'taken',
      (error: { code?: string }) => error.code,
    );
    // What is before the backup's end is not read from the copy at all.
    expect(`${name}: ${outcome}`).toMatch(/bundle-invalid|log-invalid|entries\/000: taken/);
    if (outcome === 'taken') return;
    expect(await dataSource.query('SELECT size FROM log_head')).toEqual([{ size: String(backed) }]);
  }
  await dataSource.destroy();
});

describe('when no copy holds what is missing', () => {
  it('takes what there is, and a new log follows that names the old one', async () => {
    const world = await restored();
    const keys = await readKeys(world.data);
    await world.dataSource.destroy();
    const base = ['--data', world.data, '--database', world.url];
    const early = await cli('log', 'recover', ...base, '--from', short);
    expect([early.code, early.err]).toEqual([2, expect.stringContaining('--partial')]);
    const taken = await cli('log', 'recover', ...base, '--from', short, '--partial', '--output', 'json');
    expect(JSON.parse(taken.out)).toMatchObject({ from: backed, to: 451, promised: total, contents: 0, missing: 1 });

    const { code, out, err } = await cli('log', 'continue', ...base);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain(
      `the log ${origin}/2 follows ${origin}, which ended with ${total} entries; 451 of them are left`,
    );
    const now = await readKeys(world.data);
    expect(now.origin).toBe(`${origin}/2`);
    expect(now.log.vkey).not.toBe(keys.log.vkey);
    expect(out).toContain(now.log.vkey);

    const dataSource = await openDatabase({ url: world.url });
    const ledger = await openLedger({ dataSource, keys: now, dataDir: world.data });
    expect(await ledger.entry(1)).toMatchObject({
      type: 'genesis',
      predicate: { of: 'log', predecessor: { origin, vkey: keys.log.vkey, size: total, held: 451 } },
    });
    const schema = /schema (\S+) of/.exec(out)![1];
    expect(await dataSource.query(`SELECT size FROM ${schema}.log_head`)).toEqual([{ size: '451' }]);
    // What runs put into targets may still be pruned; nothing counts as decided.
    expect(await dataSource.query('SELECT name, digest, decision FROM live_object')).toEqual([{ name: 'cart', digest: '', decision: '-1' }]); // prettier-ignore
    expect(await dataSource.query('SELECT * FROM environment')).toEqual([]);
    const path = join(folder, 'follows.zip');
    await exportBundle(ledger, now, path, nothing);
    const evidence = await openZip(path);
    const trust = trustIn(parseVkey(now.log.vkey));
    const { fault, onItsWord } = await verifyEvidence(evidence, { trust });
    expect(fault).toBeUndefined();
    expect(onItsWord.join('\n')).toContain(`the log ${origin} of ${total} entries`);
    await evidence.close();
    await ledger.record(async (transaction) => {
      await (transaction.handle as EntityManager).query('SELECT 1');
      transaction.append(pushDraft(1));
    });
    await ledger.close();
    await dataSource.destroy();
    expect((await cli('log', 'continue', ...base)).err).toContain('there is no reason for a new one');
  });

  it('is taken up again where it was killed, and starts nowhere in between', async () => {
    const world = await restored();
    const keys = await readKeys(world.data);
    const broken = Object.create(world.dataSource) as DataSource;
    broken.transaction = () => Promise.reject(new Error('killed'));
    await expect(continueLog(broken, world.data, keys, undefined)).rejects.toThrow('killed');
    const start = async (): Promise<unknown> =>
      openLedger({ dataSource: world.dataSource, keys: await readKeys(world.data), dataDir: world.data });
    await expect(start()).rejects.toMatchObject({ code: 'log-behind' });
    // The tables have moved, and nothing more.
    const { predecessor } = JSON.parse(readFileSync(join(world.data, 'continuing/plan.json'), 'utf8')) as {
      predecessor: { schema: string };
    };
    const halted = Object.create(world.dataSource) as DataSource;
    halted.runMigrations = () => Promise.reject(new Error('killed again'));
    await expect(continueLog(halted, world.data, keys, undefined)).rejects.toThrow('killed again');
    const { origin: next } = await continueLog(world.dataSource, world.data, keys, undefined);
    expect(next).toBe(`${origin}/2`);
    expect(await world.dataSource.query(`SELECT size FROM ${predecessor.schema}.log_head`)).toEqual([
      { size: String(backed) },
    ]);
    const now = await readKeys(world.data);
    const ledger = await openLedger({ dataSource: world.dataSource, keys: now, dataDir: world.data });
    expect(await ledger.size()).toBe(2);
    await ledger.close();
    await world.dataSource.destroy();
  });
});

/** As docs/operations.md says: the database by its own means, `keys/`, and no `checkpoint`. */
async function machine(url: string): Promise<{ readonly data: string; readonly url: string }> {
  const dump = join(folder, `${nameOf(url)}.dump`);
  execFileSync('pg_dump', ['--format=custom', '--no-owner', `--file=${dump}`, url]);
  const own = mkdtempSync(join(folder, 'machine-'));
  cpSync(join(data, 'keys'), join(own, 'keys'), { recursive: true });
  const empty = await server.database();
  execFileSync('pg_restore', ['--no-owner', '--exit-on-error', `--dbname=${empty}`, dump]);
  return { data: own, url: empty };
}

async function goesOn(own: string, url: string | undefined, size: number): Promise<void> {
  const keys = await readKeys(own);
  const dataSource = await openDatabase(url === undefined ? { data: own } : { url, data: own });
  const ledger = await openLedger({ dataSource, keys, dataDir: own });
  expect(await ledger.size()).toBe(size);
  await ledger.append(pushDraft(12_345));
  const after = join(own, 'after.zip');
  await exportBundle(ledger, keys, after, nothing);
  const evidence = await openZip(after);
  const found = await verifyEvidence(evidence, { trust: trustIn(parseVkey(keys.log.vkey)), earlier: readFileSync(join(short, 'checkpoint'), 'utf8') }); // prettier-ignore
  await evidence.close();
  expect([found.fault?.message, found.size]).toEqual([undefined, size + 1]);
  await ledger.close();
  await dataSource.destroy();
  expect(await cli('fsck', '--data', own, ...(url === undefined ? [] : ['--database', url]))).toMatchObject({
    code: 0,
  });
}

describe('a backup restored on a new machine', () => {
  it('goes on where it was, from a dump of another server', async () => {
    const { data: own, url } = await machine(newest);
    await goesOn(own, url, total);
    expect(url).not.toBe(newest);
  });

  it('that is older than a copy of the log is told by the copy, gets the rest from it, and goes on', async () => {
    const { data: own, url } = await machine(backup);
    const keys = await readKeys(own);
    const dataSource = await openDatabase({ url, data: own });
    const ledger = await openLedger({ dataSource, keys, dataDir: own });
    const { readTile } = ledger;
    const log = {
      readTile,
      checkpoint: () => ledger.checkpoint(),
      newest: () => ledger.checkpoint(),
      storedDigests: (digests: readonly string[]) => ledger.storedDigests(digests),
      storedContent: (digest: string) => ledger.storedContent(digest),
    };
    const mirroring = new Mirroring(log, folderFiles(full), parseVkey(keys.log.vkey));
    await expect(mirroring.check()).rejects.toMatchObject({
      code: 'log-behind',
      message: expect.stringContaining(`has ${total} entries of this log`) as string,
    });
    await ledger.close();
    await dataSource.destroy();
    const recovered = await cli('log', 'recover', '--data', own, '--database', url, '--from', bundle);
    expect([recovered.code, recovered.err]).toEqual([0, '']);
    await goesOn(own, url, total + 1);
  });

  it('goes on from the files of an embedded database that was stopped, under another path', async () => {
    const [old, own] = ['old', 'new'].map((name) => mkdtempSync(join(tmpdir(), `countersign-${name}-`)));
    cpSync(join(data, 'keys'), join(old, 'keys'), { recursive: true });
    const dataSource = await openDatabase({ data: old });
    const ledger = await openLedger({ dataSource, keys: await readKeys(old), dataDir: old });
    // The same keys, another log: only its size matters here.
    await ledger.append(...Array.from({ length: 20 }, (_, n) => pushDraft(n)));
    await ledger.close();
    await dataSource.destroy();
    for (const name of ['keys', 'postgres', 'database.password']) execFileSync('cp', ['-a', join(old, name), own]);
    const again = await openDatabase({ data: own });
    const taken = await openLedger({ dataSource: again, keys: await readKeys(own), dataDir: own });
    expect(await taken.size()).toBe(21);
    await taken.append(pushDraft(1));
    await taken.close();
    await again.destroy();
    expect(await cli('fsck', '--data', own)).toMatchObject({ code: 0 });
    for (const each of [old, own]) rmSync(each, { recursive: true });
  });
});
