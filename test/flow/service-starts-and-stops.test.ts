import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { CHECKPOINTS_REF } from '../../src/adapters/git/checkpoints-ref.js';
import { readKeys } from '../../src/adapters/keys/file.js';
import { signCheckpoint } from '../../src/audit/checkpoint.js';
import { runCli } from '../support/cli.js';
import { createRepository, person, temporaryFolder } from '../support/git-fixture.js';

const folder = temporaryFolder();
const SECRET = 'hunter2-of-the-bot';
let genesis: string;

beforeAll(async () => {
  // The embedded PostgreSQL refuses to be root, and has to get into the folder as somebody else.
  await chmod(folder.path(), 0o711);
  const repository = await createRepository(folder.path('shop.git-work'));
  genesis = await repository.commit({
    author: await person('Ann', 'ann@example.org'),
    message: 'begin',
    files: { 'countersign.yaml': 'apiVersion: countersign.dev/v1\nenvironments: []\n' },
  });
});

interface Served {
  readonly child: ChildProcess;
  readonly url: string;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly exit: Promise<number | null>;
}

/** `countersign serve` until it says that it is ready. */
async function serve(data: string, config: string, env: Record<string, string> = {}): Promise<Served> {
  const args = ['serve', '--config', config, '--data', data];
  const child = spawn(process.execPath, [resolve('dist/cli/main.js'), ...args], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  const exit = new Promise<number | null>((done) => child.once('close', done));
  const url = await new Promise<string>((ready, failed) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      const match = /^countersign is ready: (http:\S+)\/graphql$/m.exec(stderr);
      if (match) ready(match[1]);
    });
    void exit.then((code) => failed(new Error(`it ended with ${code}: ${stderr}\n${stdout}`)));
  });
  return { child, url, exit, stdout: () => stdout, stderr: () => stderr };
}

async function configuration(name: string, lines = '', more = ''): Promise<string> {
  const file = folder.path(name);
  await writeFile(
    file,
    `listen: 127.0.0.1:0\nrepositories:\n  - {name: shop, url: shop.git-work, trust: {commit: ${genesis}}${more}}\n${lines}`,
  );
  return file;
}

describe('countersign serve', () => {
  it('refuses a wrong configuration with every fault in it, before it makes or starts anything', async () => {
    const file = folder.path('wrong.yaml');
    await writeFile(file, 'listen: 0.0.0.0:80\nrepositories: [{name: shop, url: shop, trust: {}}]\nlimit: {}\n');
    const { code, stdout, stderr } = await runCli(['serve', '--config', file, '--data', folder.path('never')]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(`${file}:3  limit: there is no such setting (did you mean "limits"?)`);
    await writeFile(file, 'listen: 0.0.0.0:80\nrepositories: [{name: shop, url: shop, trust: {}}]\n');
    const second = await runCli(['serve', '--config', file, '--data', folder.path('never')]);
    expect(second.stderr).toContain(`${file}:1  listen: "0.0.0.0" can be reached from other machines`);
    expect(second.stderr).toContain(`${file}:2  repositories[0].trust: it must hold either`);
    expect(existsSync(folder.path('never'))).toBe(false);
  });

  it('says in one sentence that the port is taken, before it follows anything', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((listening) => other.once('listening', listening));
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await runCli(
      ['serve', '--config', await configuration('taken.yaml'), '--data', folder.path('taken')],
      { env: { COUNTERSIGN_LISTEN: `127.0.0.1:${port}` } },
    );
    other.close();
    expect(code).toBe(2);
    expect(stderr).toContain(`cannot listen on 127.0.0.1:${port}: another program has it. Stop the other program`);
    expect(stderr).not.toMatch(/ {4}at /);
    expect(existsSync(folder.path('taken', 'postgres'))).toBe(false);
  });

  it('says in one sentence that the database is away', async () => {
    const args = ['serve', '--config', await configuration('away.yaml'), '--data', folder.path('away')];
    const { code, stderr } = await runCli(args, {
      env: { COUNTERSIGN_DATABASE: 'postgres://me:very-secret@127.0.0.1:1/countersign' },
    });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^countersign: .*database/m);
    expect(stderr).not.toMatch(/ {4}at |very-secret/);
  });

  it('starts, tells others where it is, keeps secrets to itself, refuses a second one, and stops cleanly', async () => {
    const data = folder.path('data');
    const remote = `  - {name: far, url: "https://127.0.0.1:1/far.git", trust: {commit: ${genesis}}, credentials: {passwordEnv: BOT}}\n`;
    const copy = folder.path('copy');
    const copied = `log: {origin: log.example.org/served, mirror: {folder: ${copy}, every: 200ms}}\n`;
    const config = await configuration('service.yaml', remote + copied, ', anchor: 1s');
    const service = await serve(data, config, { BOT: SECRET });
    try {
      expect(JSON.parse(await readFile(folder.path('data', 'service.json'), 'utf8'))).toEqual({
        url: service.url,
        pid: service.child.pid,
      });
      const resolved = await readFile(folder.path('data', 'configuration.json'), 'utf8');
      expect(JSON.parse(resolved)).toMatchObject({ repositories: [{ name: 'shop' }, { name: 'far' }] });

      await expectSoon(async () => {
        const answer = await ask(
          service.url,
          '{ repositories { name state trouble { message } } service { reasons } }',
        );
        expect(answer).toMatchObject({
          data: {
            repositories: [
              { name: 'far', trouble: { message: expect.any(String) } },
              { name: 'shop', state: 'ok' },
            ],
          },
        });
        expect(JSON.stringify(answer)).toContain('repository far: ');
      });

      // Others hold the log: a copy, and whoever fetches the repository.
      await expectSoon(async () => {
        expect(existsSync(folder.path('copy', 'checkpoint'))).toBe(true);
        const anchored = execFileSync('git', ['-C', folder.path('shop.git-work'), 'for-each-ref', CHECKPOINTS_REF]);
        expect(anchored.toString()).toContain(CHECKPOINTS_REF);
      });
      const checked = await runCli(['fsck', '--data', data, '--from', copy, '--output', 'json']);
      const [local, served] = (JSON.parse(checked.stdout) as { files: { where: string; size: number }[] }).files;
      expect(JSON.parse(checked.stdout)).toMatchObject({ sound: true, findings: [] });
      expect([local.where, served.where]).toEqual([copy, `${service.url}/log`]);
      expect(served.size).toBeGreaterThanOrEqual(2);

      const second = await runCli(['serve', '--config', config, '--data', data], { env: { BOT: SECRET } });
      expect(second.code).toBe(2);
      expect(second.stderr).toContain('is using this data folder');
      // The first one is as it was.
      expect(await ask(service.url, '{ service { version } }')).toMatchObject({ data: { service: {} } });
      expect(existsSync(folder.path('data', 'service.json'))).toBe(true);

      const asked = Array.from({ length: 20 }, () =>
        ask(service.url, '{ entries(first: 50) { nodes { inclusion { proof } } } }'),
      );
      await asked[0];
      service.child.kill('SIGTERM');
      // What was asked before is answered; what comes while it stops is told so.
      for (const answer of await Promise.allSettled(asked)) expect(answer).toMatchObject({ status: 'fulfilled' });
      expect(await service.exit).toBe(0);
      expect(existsSync(folder.path('data', 'service.json'))).toBe(false);
      expect(existsSync(folder.path('data', 'service.lock'))).toBe(false);
      expect(`${service.stdout()}${service.stderr()}${resolved}`).not.toContain(SECRET);
      const lines = service.stdout().trim().split('\n');
      for (const line of lines)
        expect(JSON.parse(line)).toMatchObject({ level: expect.any(String), msg: expect.any(String) });
      expect(lines.at(-1)).toContain('stopped');
    } finally {
      service.child.kill('SIGKILL');
      await service.exit;
    }

    const again = await serve(data, config, { BOT: SECRET });
    const { data: log } = (await ask(again.url, '{ entries(filter: {type: [service]}) { totalCount } }')) as {
      data: { entries: { totalCount: number } };
    };
    expect(log.entries.totalCount).toBe(2);
    again.child.kill('SIGINT');
    again.child.kill('SIGTERM');
    expect([0, 130, 143]).toContain(await again.exit);

    // Signed by this log's key, and longer than its database: an older one was restored.
    const { log: key, origin } = await readKeys(data);
    await writeFile(
      join(copy, 'checkpoint'),
      await signCheckpoint({ origin, size: 5_000, root: Buffer.alloc(32) }, key),
    );
    const refused = await runCli(['serve', '--config', config, '--data', data], { env: { BOT: SECRET } });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/the copy in \S+ has 5000 entries of this log.*countersign log recover/);
  }, 300_000);
});

async function ask(url: string, query: string): Promise<unknown> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
  return await response.json();
}

async function expectSoon(expectation: () => Promise<void>): Promise<void> {
  for (const until = Date.now() + 30_000; ;) {
    try {
      return await expectation();
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((again) => setTimeout(again, 200));
    }
  }
}
