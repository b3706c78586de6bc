import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { cp, mkdtemp, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { allowedSigners, person, ScratchRepository } from '../../src/adapters/git/scratch-repository.js';
import { oneWorld } from '../support/one-world.js';
import { eventually, type World } from '../support/world.js';

/** Where the second repository of this service is; made and filled while the tests go. */
const empty = { path: '' };

describe('when what the service reads or writes is not there', () => {
  const here = oneWorld(async () => {
    empty.path = join(await mkdtemp(join(tmpdir(), 'countersign-empty-')), 'empty');
    await ScratchRepository.create(empty.path);
    const cleo = await person('Cleo', 'cleo@example.org');
    const trust = `{key: "${cleo.publicKey}"}`;
    return { repositories: [`  - {name: empty, url: ${empty.path}, trust: ${trust}, poll: 150ms}`] };
  });
  let replicas = 1;

  afterAll(async () => {
    await rm(resolve(empty.path, '..'), { recursive: true, force: true });
  });

  async function nextGoodOneGoesLive(world: World): Promise<void> {
    replicas += 1;
    await world.live(await world.pushGood(replicas));
    expect(await world.replicas()).toBe(replicas);
  }

  it('an empty repository is said to be empty, and followed from its first commit on', async () => {
    const { world } = here;
    const fault = await world.fault('repository-empty');
    expect(fault).toMatchObject({
      repository: 'empty',
      trouble: {
        message: expect.stringContaining('refs/heads/main') as string,
        remedy: expect.stringMatching(/^Push/) as string,
      },
      entry: { type: 'fault', predicate: { code: 'repository-empty', repository: 'empty' } },
    });
    expect(await world.repositoryState('empty')).toMatchObject({
      state: 'ungoverned',
      trouble: { code: 'repository-empty' },
    });

    const cleo = await person('Cleo', 'cleo@example.org');
    const repository = await ScratchRepository.create(empty.path);
    await repository.commit({
      author: cleo,
      message: 'the first',
      files: {
        'countersign.yaml': 'apiVersion: countersign.dev/v1\nenvironments: []\n',
        '.countersign/allowed_signers': allowedSigners([cleo]),
      },
    });
    await eventually(
      'the repository to be governed',
      async () => (await world.repositoryState('empty')).state === 'ok',
    );
    expect((await world.repositoryState('empty')).trouble).toBeNull();
  });

  it('a repository that vanishes is missed, and taken up where it was when it is back', async () => {
    const { world } = here;
    const { path } = world.repository;
    await unchanged(world, async () => {
      await rename(path, `${path}.away`);
      const fault = await world.fault('repository-missing');
      expect(fault).toMatchObject({
        repository: 'shop',
        trouble: { message: expect.stringContaining(path) as string, remedy: expect.stringMatching(/\w/) as string },
        entry: { type: 'fault', predicate: { code: 'repository-missing' } },
      });
      expect(await world.repositoryState()).toMatchObject({
        state: 'unavailable',
        trouble: { code: 'repository-missing' },
      });
      const ready = (await (await fetch(`${world.url}/readyz`)).json()) as { status: string; reasons: string[] };
      expect(ready).toMatchObject({ status: 'degraded', reasons: [expect.stringContaining('repository shop')] });
      // Said once, not at every look.
      const faults = (await world.entries('fault')).filter(({ predicate }) => predicate['repository'] === 'shop');
      expect(faults).toHaveLength(1);
    });
    await rename(`${path}.away`, path);
    await nextGoodOneGoesLive(world);
    expect(await world.repositoryState()).toMatchObject({ state: 'ok', trouble: null });
  });

  it('while it is away, the last approved commit is still repaired', async () => {
    const { world } = here;
    const { path } = world.repository;
    await rename(path, `${path}.away`);
    await eventually('it to be missed', async () => (await world.repositoryState()).state === 'unavailable');
    await world.dana.edit(world.path('deployments', 'cart'), { spec: { replicas: 50 } });
    await eventually('the edit to be corrected', async () => (await world.replicas()) === replicas);
    expect(await world.repositoryState()).toMatchObject({ state: 'unavailable' });
    await rename(`${path}.away`, path);
    await nextGoodOneGoesLive(world);
  });

  it('a branch that is deleted leaves what was approved, and says so', async () => {
    const { world } = here;
    await unchanged(world, async () => {
      await world.repository.git('checkout', '--quiet', '--detach');
      await world.repository.git('branch', '-D', 'main');
      const fault = await world.fault('repository-empty', new Date(Date.now() - 20_000).toISOString());
      expect(fault.trouble).toMatchObject({ message: expect.stringContaining('refs/heads/main') as string });
    });
    await world.repository.git('checkout', '--quiet', '-b', 'main');
    await nextGoodOneGoesLive(world);
  });

  it('a full disk of the database stops decisions, is recorded when there is space again, and loses nothing', async () => {
    const { world } = here;
    const database = new Client({ connectionString: world.databaseUrl });
    await database.connect();
    let head = '';
    try {
      await unchanged(world, async () => {
        // PostgreSQL's own code for a full disk, from the first statement that would need space.
        await database.query(`
          CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$`);
        await database.query('CREATE TRIGGER full_disk BEFORE INSERT ON log_outbox EXECUTE FUNCTION full_disk()');
        replicas += 1;
        head = await world.pushGood(replicas);
        await eventually('it to be said', async () => world.said.some((line) => line.includes('disk-full')));
        expect(world.said.find((line) => line.includes('disk-full'))).toMatch(/Free space/);
        expect((await world.decisions()).some(({ change }) => change.head === head)).toBe(false);
      });
    } finally {
      await database.query('DROP FUNCTION full_disk CASCADE');
      await database.end();
    }
    await world.live(head);
    expect(await world.replicas()).toBe(replicas);
    expect(await world.fault('disk-full')).toMatchObject({
      trouble: { remedy: expect.stringContaining('Free space') as string },
      entry: { type: 'fault' },
    });
  });

  it('a full disk of the data folder is named, and fetching goes on when there is space', async () => {
    // Needs the right to mount; where that is missing, the database's full disk above is the only one.
    if (!canMount()) return;
    const { world } = here;
    const mirrors = join(world.data, 'mirrors');
    const filler = join(mirrors, 'filler');
    await world.stop();
    await cp(mirrors, `${mirrors}.kept`, { recursive: true });
    mount('-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mirrors);
    try {
      await cp(`${mirrors}.kept`, mirrors, { recursive: true });
      await world.start();
      await nextGoodOneGoesLive(world);
      let head = '';
      const started = new Date().toISOString();
      await unchanged(world, async () => {
        await writeFile(filler, Buffer.alloc(16 * 2 ** 20)).catch(() => {});
        replicas += 1;
        head = await world.pushGood(replicas, { files: { 'noise.bin': randomBytes(200_000) } });
        expect(await world.fault('disk-full', started)).toMatchObject({
          repository: 'shop',
          trouble: { message: expect.stringContaining('space'), remedy: expect.stringContaining('Free space') },
          entry: { type: 'fault', predicate: { code: 'disk-full' } },
        });
        expect(await world.repositoryState()).toMatchObject({ state: 'unavailable', trouble: { code: 'disk-full' } });
      });
      await unlink(filler);
      await world.live(head);
      expect(await world.replicas()).toBe(replicas);
    } finally {
      await world.stop();
      execFileSync('umount', [mirrors]);
    }
    await world.start();
    await nextGoodOneGoesLive(world);
  });

  it('a mirror that is lost is made anew, and the service is where it was', async () => {
    const { world } = here;
    await eventually('every run to have ended', async () =>
      (await world.runs()).every((run) => run.finishedIndex !== null),
    );
    await unchanged(world, async () => {
      await world.stop();
      await rm(join(world.data, 'mirrors'), { recursive: true });
      await world.start();
      await eventually('it to be synced', async () =>
        ['synced', 'progressing'].includes((await world.environment())!.status),
      );
      expect(await world.repositoryState()).toMatchObject({ trouble: null });
    });
    await nextGoodOneGoesLive(world);
  });

  it('a wrong configuration file is refused whole, each fault with its line', async () => {
    const { world } = here;
    const file = join(world.root, 'wrong.yaml');
    await writeFile(
      file,
      `listen: 0.0.0.0:4100
repositories:
  - {name: Shop, url: /srv/git/shop.git, trust: {commit: abc}}
targets:
  - name: prod
    kubeconfig: nowhere.yaml
    grants: [{repository: shop}]
colour: red
`,
    );
    const [node, main] = [resolve('node_modules/node/bin/node'), resolve('dist/cli/main.js')];
    const started = promisify(execFile)(node, [main, 'serve', '--config', file, '--data', join(world.root, 'other')]);
    const { code, stderr } = await started.then(
      () => ({ code: 0, stderr: '' }),
      (error: unknown) => error as { code: number; stderr: string },
    );
    expect(code).toBe(2);
    expect(stderr).toContain(`${file}:3`);
    expect(stderr).toContain(`${file}:8`);
    expect(stderr).toMatch(/colour/);
    expect(stderr).toMatch(/serve --help/);
    await nextGoodOneGoesLive(world);
  });
});

/** The cluster as it was, and then everything as before. */
async function unchanged(world: World, meanwhile: () => Promise<void>): Promise<void> {
  const [before, writes] = [await world.snapshot(), world.writes().length];
  await meanwhile();
  expect(await world.snapshot()).toEqual(before);
  expect(world.writes()).toHaveLength(writes);
}

function mount(...args: readonly string[]): void {
  execFileSync('mount', args, { stdio: 'ignore' });
}

function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-mount-'));
  try {
    mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder);
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(folder);
  }
}
