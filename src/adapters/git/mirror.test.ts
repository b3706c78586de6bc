import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createRepository,
  person,
  ScratchRepository,
  temporaryFolder,
  type Person,
} from '../../../test/support/git-fixture.js';
import { startGitServer } from '../../../test/support/git-server.js';
import type { Mirror, RefMove } from '../../source/repository.js';
import { openMirror } from './mirror.js';

const folder = temporaryFolder();
const MAIN = 'refs/heads/main';
let ann: Person;
let count = 0;
const opened: Mirror[] = [];

beforeAll(async () => {
  ann = await person('Ann', 'ann@example.org');
});
afterEach(async () => {
  for (const mirror of opened.splice(0)) await mirror.close();
});

async function source(): Promise<ScratchRepository> {
  const repository = await createRepository(folder.path(`source-${count++}`));
  await commit(repository, 'first');
  return repository;
}

function commit(repository: ScratchRepository, message: string, extra: object = {}): Promise<string> {
  return repository.commit({ author: ann, sign: false, message, files: { 'a.txt': message }, ...extra });
}

async function mirrorOf(
  url: string,
  options: { refs?: string[]; dir?: string; credentials?: { username: string; password: string } } = {},
): Promise<Mirror> {
  const { refs = [MAIN], dir = folder.path(`mirror-${count++}`), credentials } = options;
  const mirror = await openMirror(dir, { url, refs, ...(credentials ? { credentials } : {}) });
  opened.push(mirror);
  return mirror;
}

const kinds = (moves: readonly RefMove[]): string[] => moves.map(({ ref, kind }) => `${kind} ${ref}`).toSorted();

describe('a mirror', () => {
  it('tells how each ref moved against what its caller has seen', async () => {
    const repository = await source();
    const mirror = await mirrorOf(`file://${repository.path}`, { refs: ['refs/heads/*'] });
    const first = await repository.head();
    expect(await mirror.fetch(new Map())).toEqual([{ ref: MAIN, kind: 'created', old: null, new: first }]);
    expect(await mirror.fetch(new Map([[MAIN, first]]))).toEqual([]);

    await commit(repository, 'second');
    const third = await commit(repository, 'third');
    expect(await mirror.fetch(new Map([[MAIN, first]]))).toEqual([
      { ref: MAIN, kind: 'advanced', old: first, new: third },
    ]);

    await repository.git('branch', 'side', first);
    await repository.rewind(first);
    expect(kinds(await mirror.fetch(new Map([[MAIN, third]])))).toEqual(['created refs/heads/side', `rewound ${MAIN}`]);

    const other = await commit(repository, 'another second');
    await repository.git('branch', '-D', 'side');
    expect(
      kinds(
        await mirror.fetch(
          new Map([
            [MAIN, third],
            ['refs/heads/side', first],
          ]),
        ),
      ),
    ).toEqual(['deleted refs/heads/side', `forced ${MAIN}`]);
    expect(await mirror.poll()).toEqual(new Map([[MAIN, other]]));
  });

  it('keeps what a forced push threw away, although the remote has forgotten it', async () => {
    const repository = await source();
    const first = await repository.head();
    const lost = await commit(repository, 'to be lost');
    const mirror = await mirrorOf(repository.path);
    await mirror.fetch(new Map());
    await repository.rewind(first);
    await repository.git('reflog', 'expire', '--expire=now', '--all');
    await repository.git('gc', '--quiet', '--prune=now');
    await expect(repository.git('cat-file', '-e', lost)).rejects.toThrow('cat-file');
    expect(kinds(await mirror.fetch(new Map([[MAIN, lost]])))).toEqual([`rewound ${MAIN}`]);
    expect((await mirror.repository.commit(lost)).message).toBe('to be lost\n');
  });

  it('follows only the refs it was given, and peels tags to their commits', async () => {
    const repository = await source();
    const head = await repository.head();
    await repository.git('tag', '-a', '-m', 'release', 'v1');
    await repository.git('branch', 'other');
    const mirror = await mirrorOf(repository.path, { refs: ['refs/tags/v1'] });
    expect(await mirror.fetch(new Map())).toEqual([{ ref: 'refs/tags/v1', kind: 'created', old: null, new: head }]);
    expect(await mirror.poll()).toEqual(new Map([['refs/tags/v1', head]]));
  });

  it.each([
    ['a bare repository', (from: string, to: string) => ScratchRepository.clone(from, to, '--bare')],
    [
      'a repository whose refs are packed',
      async (from: string, to: string) => {
        const clone = await ScratchRepository.clone(from, to, '--bare');
        await clone.git('pack-refs', '--all');
        return clone;
      },
    ],
    [
      'a linked work tree',
      async (from: string, to: string) => {
        const main = await ScratchRepository.clone(from, `${to}-main`);
        await main.git('worktree', 'add', '--quiet', '--detach', to);
      },
    ],
  ])('reads the refs of %s', async (_name, make) => {
    const repository = await source();
    const path = folder.path(`kind-${count++}`);
    await make(repository.path, path);
    const mirror = await mirrorOf(path);
    expect(await mirror.poll()).toEqual(new Map([[MAIN, await repository.head()]]));
    expect(kinds(await mirror.fetch(new Map()))).toEqual([`created ${MAIN}`]);
  });

  it('sees a ref that is packed and moved again between two polls', async () => {
    const repository = await source();
    const mirror = await mirrorOf(repository.path);
    for (let i = 0; i < 3; i++) {
      const id = await commit(repository, `again ${i}`);
      await repository.git('pack-refs', '--all');
      expect((await mirror.poll()).get(MAIN)).toBe(id);
      const next = await commit(repository, `and again ${i}`);
      expect((await mirror.poll()).get(MAIN)).toBe(next);
    }
  });

  it('follows a repository of somebody else’s, and one in SHA-256', async () => {
    const repository = await createRepository(folder.path(`sha256-${count++}`), { objectFormat: 'sha256' });
    const head = await commit(repository, 'first');
    if (process.getuid?.() === 0) {
      for (const entry of await readdir(repository.path, { recursive: true }))
        chownSync(join(repository.path, entry), 65534, 65534);
      chownSync(repository.path, 65534, 65534);
    }
    const mirror = await mirrorOf(repository.path);
    expect(await mirror.fetch(new Map())).toEqual([{ ref: MAIN, kind: 'created', old: null, new: head }]);
    expect(mirror.repository.objectFormat).toBe('sha256');
  });

  it('finds no moves in a repository without commits', async () => {
    const repository = await createRepository(folder.path(`empty-${count++}`));
    const mirror = await mirrorOf(repository.path);
    expect([await mirror.poll(), await mirror.fetch(new Map())]).toEqual([new Map(), []]);
  });

  it('spends under 10 ms of CPU on an idle poll and under 150 ms from seen to fetched', async () => {
    const repository = await source();
    const mirror = await mirrorOf(repository.path);
    let seen = await repository.head();
    await mirror.fetch(new Map());
    const times: number[] = [];
    for (let i = 0; i < 9; i++) {
      const id = await commit(repository, `change ${i}`);
      const start = performance.now();
      await mirror.fetch(new Map([[MAIN, seen]]));
      times.push(performance.now() - start);
      seen = id;
    }
    expect(times.toSorted((a, b) => a - b)[4]).toBeLessThan(150);
    const before = process.cpuUsage();
    for (let i = 0; i < 100; i++) await mirror.poll();
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000 / 100).toBeLessThan(10);
  });

  it('keeps answering through a repack of its own', async () => {
    const repository = await source();
    const dir = folder.path(`repacked-${count++}`);
    const mirror = await mirrorOf(repository.path, { dir });
    let seen = new Map<string, string>();
    for (let i = 0; i < 5; i++) {
      const id = await commit(repository, `change ${i}`);
      await mirror.fetch(seen);
      seen = new Map([[MAIN, id]]);
      const plain = Object.assign(await ScratchRepository.create(folder.path('unused')), { path: dir });
      await plain.git('pack-refs', '--all');
      await plain.git('repack', '-a', '-d', '-q');
      expect((await mirror.repository.tree(id)).length).toBe(1);
    }
  });
});

describe('a remote over HTTP', () => {
  it('is polled and fetched with its credentials, which appear nowhere', async () => {
    const repository = await source();
    await mkdir(folder.path('http'), { recursive: true });
    const bare = await ScratchRepository.clone(repository.path, folder.path('http', 'shop.git'), '--bare');
    const server = await startGitServer(folder.path('http'), { reader: 'p:ss wörd' });
    try {
      const dir = folder.path('http-mirror');
      const mirror = await mirrorOf(`${server.url}/shop.git`, {
        dir,
        credentials: { username: 'reader', password: 'p:ss wörd' },
      });
      const first = await repository.head();
      expect(await mirror.poll()).toEqual(new Map([[MAIN, first]]));
      expect(kinds(await mirror.fetch(new Map()))).toEqual([`created ${MAIN}`]);
      const second = await commit(repository, 'second');
      await repository.push(bare.path, 'main');
      expect(await mirror.fetch(new Map([[MAIN, first]]))).toEqual([
        { ref: MAIN, kind: 'advanced', old: first, new: second },
      ]);
      expect(await readFile(join(dir, 'config'), 'utf8')).not.toContain('extraHeader');

      const refused = await mirrorOf(`${server.url}/shop.git`, {
        credentials: { username: 'reader', password: 'wrong' },
      });
      await expect(refused.poll()).rejects.toMatchObject({
        code: 'repository-missing',
        message: expect.stringContaining('401'),
      });

      server.down = true;
      await expect(mirror.poll()).rejects.toMatchObject({ code: 'repository-missing', retry: true });
      server.down = false;
      expect((await mirror.poll()).get(MAIN)).toBe(second);
    } finally {
      await server.close();
    }
  });

  it('is followed in SHA-256, too, and not mixed with a mirror in SHA-1', async () => {
    const repository = await createRepository(folder.path('sha256-http', 'work'), { objectFormat: 'sha256' });
    const first = await commit(repository, 'first');
    const bare = await ScratchRepository.clone(repository.path, folder.path('sha256-http', 'shop.git'), '--bare');
    const server = await startGitServer(folder.path('sha256-http'), { reader: 'secret' });
    try {
      const url = `${server.url}/shop.git`;
      const credentials = { username: 'reader', password: 'secret' };
      server.down = true;
      const early = await mirrorOf(url, { credentials });
      server.down = false;
      await expect(early.poll()).rejects.toMatchObject({
        code: 'repository-unsupported',
        remedy: expect.stringContaining('remove') as string,
      });
      const mirror = await mirrorOf(url, { credentials });
      expect(await mirror.fetch(new Map())).toEqual([{ ref: MAIN, kind: 'created', old: null, new: first }]);
      const second = await commit(repository, 'second');
      await repository.push(bare.path, 'main');
      expect(await mirror.poll()).toEqual(new Map([[MAIN, second]]));
      expect(kinds(await mirror.fetch(new Map([[MAIN, first]])))).toEqual([`advanced ${MAIN}`]);
      expect((await mirror.repository.commit(second)).message).toBe('second\n');
    } finally {
      await server.close();
    }
  });

  it.each([
    ['credentials in the URL', 'https://user:secret@git.example.org/shop.git', 'holds credentials'],
    ['plain HTTP to another machine', 'http://git.example.org/shop.git', 'not followed'],
    ['a host that only begins like loopback', 'http://127.0.0.1.example.org/shop.git', 'not followed'],
    ['SSH without a key', 'ssh://git@git.example.org/shop.git', 'needs a key'],
    ['another protocol of git’s', 'git://git.example.org/shop.git', 'not followed'],
    ['a program of the URL’s choosing', 'ext::sh -c whoami', 'not followed'],
    ['another machine’s files', 'file://server/srv/shop.git', 'no file of this machine'],
  ])('refuses %s', async (_name, url, message) => {
    const refused = mirrorOf(url);
    await expect(refused).rejects.toMatchObject({ code: 'config-invalid', message: expect.stringContaining(message) });
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('secret') });
  });
});

describe('a remote that fails', () => {
  it('is missing while it is away, and followed on when it is back', async () => {
    const repository = await source();
    const mirror = await mirrorOf(repository.path);
    const head = await repository.head();
    await mirror.fetch(new Map());
    await rename(repository.path, `${repository.path}-away`);
    await expect(mirror.poll()).rejects.toMatchObject({ code: 'repository-missing', retry: true });
    await expect(mirror.fetch(new Map())).rejects.toMatchObject({ code: 'repository-missing', retry: true });
    expect((await mirror.repository.commit(head)).id).toBe(head);
    await rename(`${repository.path}-away`, repository.path);
    expect(await mirror.poll()).toEqual(new Map([[MAIN, head]]));
  });

  it('can be away when its mirror is first made', async () => {
    const path = folder.path('not-yet');
    const mirror = await mirrorOf(path);
    await expect(mirror.poll()).rejects.toMatchObject({ code: 'repository-missing', retry: true });
    const repository = await createRepository(path);
    const head = await commit(repository, 'at last');
    expect(await mirror.fetch(new Map())).toEqual([{ ref: MAIN, kind: 'created', old: null, new: head }]);
  });

  it('is corrupt when an object of the new tip is damaged, and the mirror stays as it was', async () => {
    const repository = await source();
    const mirror = await mirrorOf(repository.path);
    const first = await repository.head();
    await mirror.fetch(new Map());
    await commit(repository, 'damaged');
    const blob = await repository.git('rev-parse', 'HEAD:a.txt');
    await truncate(join(repository.path, '.git/objects', blob.slice(0, 2), blob.slice(2)), 5);
    await expect(mirror.fetch(new Map([[MAIN, first]]))).rejects.toMatchObject({ code: 'repository-corrupt' });
    expect((await mirror.repository.tree(first)).length).toBe(1);
    await rm(join(repository.path, '.git/objects', blob.slice(0, 2), blob.slice(2)));
    await repository.git('hash-object', '-w', 'a.txt');
    expect(kinds(await mirror.fetch(new Map([[MAIN, first]])))).toEqual([`advanced ${MAIN}`]);
  });

  it('is corrupt when a ref holds no id', async () => {
    const repository = await source();
    const mirror = await mirrorOf(repository.path);
    await writeFile(join(repository.path, '.git', MAIN), 'nonsense\n');
    await expect(mirror.poll()).rejects.toMatchObject({ code: 'repository-corrupt' });
  });
});

describe('a mirror whose process is killed in the middle of a fetch', () => {
  it('is whole afterwards and takes up where it was', async () => {
    const repository = await source();
    const first = await repository.head();
    const big = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`big-${i}`, randomBytes(20_000)]));
    const second = await commit(repository, 'big', { files: big });
    const dir = folder.path(`killed-${count++}`);
    let mirror = await openMirror(dir, { url: repository.path, refs: [MAIN] });
    await mirror.close();
    for (const milliseconds of [2, 8, 15, 25, 40, 60]) {
      const child = spawn(
        'git',
        ['--git-dir', dir, 'fetch', '--quiet', repository.path, `+${second}:refs/countersign/keep/${second}`],
        { stdio: 'ignore' },
      );
      setTimeout(() => child.kill('SIGKILL'), milliseconds);
      await once(child, 'close');
    }
    // What the last killed one might have left in the worst place.
    await mkdir(join(dir, 'refs/countersign/keep'), { recursive: true });
    await writeFile(join(dir, `refs/countersign/keep/${second}.lock`), '');
    await writeFile(join(dir, 'objects/pack/tmp_pack_x'), 'half a pack');
    mirror = await openMirror(dir, { url: repository.path, refs: [MAIN] });
    opened.push(mirror);
    expect(kinds(await mirror.fetch(new Map([[MAIN, first]])))).toEqual([`advanced ${MAIN}`]);
    expect((await mirror.repository.tree(second)).length).toBe(41);
    expect(
      await readdir(join(dir, 'objects/pack')).then((names) => names.filter((name) => name.startsWith('tmp_'))),
    ).toEqual([]);
  });

  it('is made whole or not at all', async () => {
    const repository = await source();
    const dir = folder.path(`half-made-${count++}`);
    await mkdir(join(`${dir}.new`, 'refs'), { recursive: true });
    const mirror = await mirrorOf(repository.path, { dir });
    expect(kinds(await mirror.fetch(new Map()))).toEqual([`created ${MAIN}`]);
  });
});
