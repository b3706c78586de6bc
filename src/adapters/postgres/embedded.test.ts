import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { openDatabase } from './connect.js';
import type { EmbeddedDatabase } from './embedded.js';
import { notedDatabase, startEmbedded } from './embedded.js';
import { startOf } from '../folder/folder-lock.js';
import { barrier } from './system-user.js';

async function ask<T>(url: string, text: string): Promise<T[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows as T[];
  } finally {
    await client.end();
  }
}

const pidOf = (data: string): number =>
  Number(readFileSync(join(data, 'postgres/postmaster.pid'), 'utf8').split('\n')[0]);

describe('embedded PostgreSQL', () => {
  let data: string;
  let database: EmbeddedDatabase;

  beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), 'countersign-embedded-'));
    database = await startEmbedded(data);
    await ask(database.url, 'CREATE TABLE kept AS SELECT 1 AS one');
  });

  afterAll(async () => {
    await database?.stop();
    rmSync(data, { recursive: true });
  });

  it('listens on loopback only, and asks for a password that only the owner can read', async () => {
    const [{ addresses }] = await ask<{ addresses: string }>(
      database.url,
      `SELECT current_setting('listen_addresses') AS addresses`,
    );
    expect(addresses).toBe('127.0.0.1');
    const wrong = new URL(database.url);
    wrong.password = 'guess';
    await expect(ask(wrong.href, 'SELECT 1')).rejects.toThrow('password');
    for (const file of ['database.json', 'database.password']) expect(statSync(join(data, file)).mode & 0o077).toBe(0);
  });

  it('flushes what is committed', async () => {
    const rows = await ask<{ name: string; setting: string }>(
      database.url,
      `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')`,
    );
    expect(rows.map((row) => row.setting)).toEqual(['on', 'on', 'on']);
  });

  it('refuses a second service on the same folder, and says which process has it', async () => {
    await expect(startEmbedded(data)).rejects.toMatchObject({
      code: 'data-folder',
      remedy: expect.stringContaining(String(process.pid)) as string,
    });
    expect(await ask(database.url, 'SELECT one FROM kept')).toHaveLength(1);
  });

  it('tells where it is while it runs, and keeps its data when stopped and started again', async () => {
    expect(await notedDatabase(data)).toBe(database.url);
    await database.stop();
    expect(await notedDatabase(data)).toBeUndefined();
    database = await startEmbedded(data);
    expect(await ask(database.url, 'SELECT one FROM kept')).toHaveLength(1);
  });

  it('takes over from a service that was killed and left its PostgreSQL behind', async () => {
    await database.stop();
    const script = `
      const { startEmbedded } = await import(process.argv[1]);
      await startEmbedded(process.argv[2]);
      console.log('ready');
      setInterval(() => {}, 1000);`;
    const module = new URL('../../../dist/adapters/postgres/embedded.js', import.meta.url).href;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, module, data], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const orphan = pidOf(data);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(await startOf(orphan)).not.toBe('gone');
    expect(await notedDatabase(data)).toBeDefined();
    database = await startEmbedded(data);
    expect(pidOf(data)).not.toBe(orphan);
    expect(await startOf(orphan)).toBe('gone');
    expect(await ask(database.url, 'SELECT one FROM kept')).toHaveLength(1);
  });

  it('does not end another program that has the number in a stale postmaster.pid', async () => {
    await database.stop();
    const other = spawn('sleep', ['60']);
    writeFileSync(join(data, 'postgres/postmaster.pid'), `${other.pid}\n${join(data, 'postgres')}\n`);
    const { uid, gid } = statSync(join(data, 'postgres'));
    execFileSync('chown', [`${uid}:${gid}`, join(data, 'postgres/postmaster.pid')]);
    const started = await startEmbedded(data).catch((error: unknown) => error as Error);
    expect(await startOf(other.pid ?? 0)).not.toBe('gone');
    const gone = new Promise((resolve) => other.once('exit', resolve));
    other.kill();
    await gone;
    database = started instanceof Error ? await startEmbedded(data) : started;
    expect(await ask(database.url, 'SELECT one FROM kept')).toHaveLength(1);
  });

  it('says what PostgreSQL said when it does not start', async () => {
    await database.stop();
    const version = join(data, 'postgres/PG_VERSION');
    writeFileSync(version, '12\n');
    await expect(startEmbedded(data)).rejects.toMatchObject({
      code: 'data-folder',
      message: expect.stringContaining('12') as string,
    });
    writeFileSync(version, '18\n');
    database = await startEmbedded(data);
  });

  it('says what to do when its user has no name on this system', () => {
    const strange = process.getuid?.() === 0 ? { uid: 54_321, gid: 54_321 } : {};
    const module = new URL('../../../dist/adapters/postgres/system-user.js', import.meta.url).href;
    const script = `const { databaseUser } = await import(process.argv[1]);
      await databaseUser().catch((error) => console.log(error.code, error.sentence));`;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script, module], {
      ...strange,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    });
    // Only root can become somebody without a name; whoever else runs this has one, and nothing to be told.
    expect(said).toMatch('uid' in strange ? /^data-folder user id 54321 has no name .*\/etc\/passwd/ : /^$/);
  });

  it('names the folder that its user may not enter', async () => {
    const closed = join(data, 'closed');
    mkdirSync(join(closed, 'inner'), { recursive: true, mode: 0o700 });
    expect(await barrier(join(closed, 'inner'), { uid: 65_534, gid: 65_534 })).toBe(join(closed, 'inner'));
    expect(await barrier('/tmp', { uid: 65_534, gid: 65_534 })).toBeUndefined();
  });
});

describe('a database by URL', () => {
  it('that is away is unavailable, and worth trying again', async () => {
    await expect(openDatabase({ url: 'postgres://nobody@127.0.0.1:9/none' })).rejects.toMatchObject({
      code: 'database-unavailable',
      retry: true,
    });
  });
});
