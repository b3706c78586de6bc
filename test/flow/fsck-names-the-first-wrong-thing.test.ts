import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportTiles } from '../../src/adapters/evidence/export.js';
import { openLogFiles } from '../../src/adapters/log-files/open.js';
import type { Repair } from '../../src/adapters/postgres/fsck.js';
import { checkDatabase, repairDatabase } from '../../src/adapters/postgres/fsck.js';
import { collectGarbage } from '../../src/adapters/postgres/garbage.js';
import { openLedger } from '../../src/adapters/postgres/ledger.js';
import { CheckpointFile } from '../../src/adapters/postgres/seen-checkpoint.js';
import { openCheckpoint } from '../../src/audit/checkpoint.js';
import { checkFiles, Findings } from '../../src/audit/fsck.js';
import { checkpointOf } from '../../src/audit/log-files.js';
import { parseVkey } from '../../src/audit/note.js';
import { runCli } from '../support/cli.js';
import type { TestLog } from '../support/log.js';
import { openTestLog, pushDraft } from '../support/log.js';
import type { TestPostgres } from '../support/postgres.js';
import { startPostgres } from '../support/postgres.js';

// Each kind of damage that a database or a copy can have: found, named first, and repaired only where it is derived.

let server: TestPostgres;
let log: TestLog;
let folder: string;
let tiles: string;
const size = 600;

interface Report {
  readonly sound: boolean;
  readonly count: number;
  readonly first: { readonly place: string; readonly problem: string; readonly repaired?: boolean } | null;
  readonly findings: readonly { readonly place: string }[];
  readonly database?: {
    readonly entries: number;
    readonly tiles: number;
    readonly rows: number;
    readonly contents: number;
  };
  readonly files: readonly { readonly size: number; readonly tiles: number }[];
}

async function fsck(...args: string[]): Promise<Report & { readonly code: number | null }> {
  const { code, stdout, stderr } = await runCli(['fsck', ...args, '--output', 'json']);
  if (stdout === '') throw new Error(stderr);
  return { code, ...(JSON.parse(stdout) as Report) };
}

const own = (...more: string[]): Promise<Report & { readonly code: number | null }> =>
  fsck('--data', log.data, '--database', log.url, ...more);

/** As the command does it, in this process. */
async function check(contents = true): Promise<{ readonly findings: Findings; readonly repairs: readonly Repair[] }> {
  const findings = new Findings();
  const key = parseVkey(log.keys.log.vkey);
  const { size: seen, root } = openCheckpoint((await new CheckpointFile(log.data).load())!, key);
  const promises = [{ what: 'the last checkpoint seen', size: seen, root }];
  const { repairs } = await checkDatabase(log.dataSource, findings, { contents, promises, progress: () => {} });
  return { findings, repairs };
}

beforeAll(async () => {
  server = await startPostgres();
  log = await openTestLog(server);
  folder = mkdtempSync(join(tmpdir(), 'countersign-fsck-'));
  tiles = join(folder, 'tiles');
  const contents = { note: { mediaType: 'text/plain', bytes: Buffer.from('a name'.repeat(50)), salted: true } };
  await log.ledger.append(...Array.from({ length: size - 2 }, (_, n) => pushDraft(n)));
  await log.ledger.append({ ...pushDraft(size), contents });
  await log.dataSource.query(
    `INSERT INTO push (id, repository, ref, kind, time, log_index)
     SELECT 'push-' || n, 'shop', 'refs/heads/main', 'advanced', now(), n + 1 FROM generate_series(0, 300) AS n`,
  );
  await exportTiles(log.ledger, log.keys, tiles, () => {});
  await log.ledger.close();
});

afterAll(async () => {
  await log?.dataSource.destroy();
  await server?.stop();
  for (const path of [folder, log?.data]) if (path) rmSync(path, { recursive: true });
});

it('finds nothing where nothing is wrong, in the database and in a copy', async () => {
  const report = await own('--from', tiles);
  expect(report).toMatchObject({ code: 0, sound: true, count: 0, first: null, files: [{ size, tiles: 4 }] });
  expect(report.database).toMatchObject({ entries: size, tiles: 2, rows: 301, contents: 1 });
});

const query = (text: string): Promise<unknown> => log.dataSource.query(text);

describe('what is derived is named, and made again only when asked', () => {
  it.each([
    ['a hash of an entry', `UPDATE log_entry SET leaf_hash = sha256('x') WHERE log_index = 77`, 'entry 77'],
    ['the type of an entry', `UPDATE log_entry SET type = 'run' WHERE log_index = 300`, 'entry 300'],
    ['the root of a tile', `UPDATE log_tile SET root = sha256('x') WHERE number = 1`, 'tile 0/1'],
    ['a tile that is gone', `DELETE FROM log_tile WHERE number = 0`, 'tile 0/0'],
    ['a tile that is none', `INSERT INTO log_tile VALUES (1, 0, sha256('x'))`, 'tile 1/0'],
    ['the root of the head', `UPDATE log_head SET root = sha256('x')`, 'head'],
    ['a place in the log', `UPDATE push SET log_index = 9 WHERE id = 'push-40'`, 'push push-40'],
    ['a place beyond the log', `UPDATE push SET log_index = 99999 WHERE id = 'push-41'`, 'push push-41'],
    ['an entry that waits for the place it has', `INSERT INTO log_outbox (id, type, leaf) OVERRIDING SYSTEM VALUE SELECT outbox_id, type, leaf FROM log_entry WHERE log_index = 5`, 'staged entry'], // prettier-ignore
  ])('%s', async (_what, damage, place) => {
    await query(damage);
    const { findings, repairs } = await check(false);
    expect([findings.count, findings.all[0].place]).toEqual([1, expect.stringContaining(place)]);
    await log.dataSource.transaction((manager) => repairDatabase(manager, repairs));
    expect((await check(false)).findings.count).toBe(0);
  });

  it('by the command', async () => {
    await query('DELETE FROM log_tile WHERE number = 1');
    expect(await own()).toMatchObject({ code: 1, sound: false, first: { place: 'tile 0/1' } });
    expect(await own('--repair')).toMatchObject({ code: 0, first: { place: 'tile 0/1', repaired: true } });
    expect((await check()).findings.count).toBe(0);
  });
});

describe('what is not derived is named, and never changed', () => {
  it.each([
    ['an entry that was changed, its hash with it', `UPDATE log_entry SET leaf = decode(replace(encode(leaf, 'escape'), 'signatures', 'Signatures'), 'escape') WHERE log_index = 200`, `UPDATE log_entry SET leaf_hash = sha256('\\x00'::bytea || leaf) WHERE log_index = 200`, /entry 200|seen/], // prettier-ignore
    ['an entry that is gone', 'DELETE FROM log_entry WHERE log_index = 450', 'SELECT 1', /^entry 450$/],
    ['a content that was changed', `UPDATE content SET bytes = 'x', encoding = 'identity'`, 'SELECT 1', /^content /],
    ['a content that is gone', 'DELETE FROM content', 'SELECT 1', /^content /],
    ['a released checkpoint that says more than there is', 'UPDATE log_released SET size = 601', 'SELECT 1', /^head$/],
  ])('%s', async (_what, damage, also, place) => {
    await query(`CREATE TABLE kept_entry AS TABLE log_entry`);
    await query(`CREATE TABLE kept_content AS TABLE content`);
    await query(damage);
    await query(also);
    const { findings, repairs } = await check();
    expect(findings.all[0].place).toMatch(place);
    expect(repairs).toEqual([]);
    await query('UPDATE log_released SET size = 600');
    await query(`TRUNCATE log_entry, content`);
    await query(`INSERT INTO log_entry TABLE kept_entry; INSERT INTO content TABLE kept_content`);
    await query('DROP TABLE kept_entry, kept_content');
    expect((await check()).findings.count).toBe(0);
  });

  it('nothing is repaired beside a running service', async () => {
    const { lockFolder } = await import('../../src/adapters/folder/folder-lock.js');
    const unlock = await lockFolder(log.data);
    await query('DELETE FROM log_tile');
    await expect(own('--repair')).rejects.toThrow('another service');
    await unlock();
    await log.dataSource.transaction(async (manager) => repairDatabase(manager, (await check()).repairs));
  });
});

it.each([
  ['tile/entries/001', 'changed', /^(tile\/0\/001|entry \d+)$/],
  ['tile/0/001', 'changed', /^tile\/0\/001$/],
  ['tile/0/002.p/88', 'changed', /^tile\/0\/002\.p\/88$/],
  ['tile/1/000.p/2', 'missing', /^tile\/1\/000\.p\/2$/],
  ['tile/entries/002.p/88', 'missing', /^tile\/entries\/002\.p\/88$/],
])('a copy whose %s is %s', async (name, how, place) => {
  const copy = mkdtempSync(join(folder, 'copy-'));
  cpSync(tiles, copy, { recursive: true });
  const path = join(copy, name);
  const bytes = readFileSync(path);
  if (how === 'missing') rmSync(path);
  else {
    bytes[bytes.length - 200] ^= 1;
    writeFileSync(path, bytes);
  }
  const findings = new Findings();
  const files = await openLogFiles(copy);
  const checkpoint = await checkpointOf(files, parseVkey(log.keys.log.vkey));
  await checkFiles(files, checkpoint, findings, { contents: true, progress: () => {} });
  expect(findings.all[0].place).toMatch(place);
});

it('contents that nothing names go, and no other, also when named meanwhile', async () => {
  const orphan = `INSERT INTO content SELECT sha256('o'), 'identity', 1, 'o'`;
  await query(orphan);
  const base = ['gc', '--data', log.data, '--database', log.url, '--output', 'json'];
  const dry = await runCli([...base, '--dry-run']);
  expect(JSON.parse(dry.stdout)).toEqual({ entries: size, contents: 1, bytes: 1, dryRun: true });
  // An entry that names it is committed while names are collected: it must stay.
  const named = { mediaType: 'text/plain', bytes: Buffer.from('o'), salted: false };
  const ledger = await openLedger({ dataSource: log.dataSource, keys: log.keys, dataDir: log.data });
  let appended: Promise<unknown> | undefined;
  const progress = (): void => void (appended ??= ledger.append({ ...pushDraft(7), contents: { named } }));
  const kept = await collectGarbage(log.dataSource, { dryRun: false, progress });
  await appended;
  await ledger.close();
  // Whichever came first: the entry found it stored and it stayed, or it went and the entry stored it again.
  expect([0, 1]).toContain(kept.contents);
  expect(await query(`SELECT count(*)::integer AS n FROM content WHERE digest = sha256('o')`)).toEqual([{ n: 1 }]);
  expect((await check()).findings.count).toBe(0);
  await query(`INSERT INTO content SELECT sha256('p'), 'identity', 1, 'p'`);
  expect(JSON.parse((await runCli(base)).stdout)).toMatchObject({ contents: 1 });
  expect(await query('SELECT count(*)::integer AS n FROM content')).toEqual([{ n: 2 }]);
});
