import { chmod, chown, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { both, historyOf } from '../../../test/support/both-adapters.js';
import {
  createRepository,
  person,
  ScratchRepository,
  temporaryFolder,
  type Person,
} from '../../../test/support/git-fixture.js';
import type { CommitWithFiles, Repository, TreeEntry, Tag } from '../../source/repository.js';

const folder = temporaryFolder();

let ann: Person;
let repository: ScratchRepository;

const write = (path: string, content: string | Buffer): Promise<void> =>
  writeFile(join(repository.path, path), content);

/** As the objects have it: the replace ref would hide some. */
async function everyCommit(): Promise<string[]> {
  return (await repository.run(['rev-list', '--topo-order', 'HEAD'], { GIT_NO_REPLACE_OBJECTS: '1' })).split('\n');
}

async function commitAll(message: string): Promise<string> {
  await repository.git('add', '--all');
  return repository.commit({ author: ann, sign: false, message });
}

/** A history with everything in it that readers of Git have tripped over. */
beforeAll(async () => {
  ann = await person('Ann', 'ann@example.org');
  repository = await createRepository(folder.path('everything'));
  const commit = (message: string, files: Record<string, string>, more: object = {}): Promise<string> =>
    repository.commit({ author: ann, sign: false, message, files, ...more });
  await commit('root', {
    'README.md': 'hello',
    'apps/cart/a.yaml': 'a: 1',
    'apps/cart.yaml': 'b',
    'apps/cart-x/c.yaml': 'c',
  });
  await commit('names', {
    'ünï/☕.yaml': 'x',
    'sur/\u{1f600}': 'astral',
    'sur/\uff5e': 'high',
    'back\\slash': 'x',
    'like\\xE9': 'x',
    'sp ace/"q"\t': 'x',
  });
  await repository.git('pack-refs', '--all');
  await repository.git('gc', '--quiet');
  const bytes = Buffer.concat([Buffer.from(`${repository.path}/apps/caf`), Buffer.from([0xe9]), Buffer.from('.yaml')]);
  await writeFile(bytes, 'not UTF-8');
  await commitAll('a name that is no UTF-8');
  await repository.git('mv', 'apps/cart', 'apps/basket');
  await commitAll('rename a folder');
  await chmod(join(repository.path, 'README.md'), 0o755);
  await symlink('README.md', join(repository.path, 'link'));
  await commitAll('modes and a link');
  await rm(join(repository.path, 'README.md'));
  await symlink('elsewhere', join(repository.path, 'README.md'));
  await commitAll('a file becomes a link');
  await repository.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},sub/module`);
  await repository.commit({ author: ann, sign: false, message: 'a submodule' });
  await mkdir(join(repository.path, 'sub/module'), { recursive: true });
  await repository.checkout('file-to-folder', 'main');
  await repository.git('rm', '--quiet', 'apps/cart.yaml');
  await commit('a file becomes a folder', { 'apps/cart.yaml/inside': '1', 'apps/cart.yaml.txt': '2' });
  await commit('and back', { other: '1' }, { delete: ['apps/cart.yaml/inside'] });
  await commit('a file again', { 'apps/cart.yaml': 'b' });
  await commit('nothing', {});
  await repository.checkout('side', 'main');
  await commit('on the side', { side: '1' });
  const side = await repository.head();
  await repository.checkout('main');
  await commit('on main', { main: '1' });
  await repository.merge('side', { author: ann, sign: false, message: 'merge side' });
  await repository.checkout('side');
  await commit('side again', { side: '2' });
  await repository.merge('main', { author: ann, sign: false, message: 'criss' });
  await repository.checkout('main');
  await repository.merge('file-to-folder', { author: ann, sign: false, message: 'merge file-to-folder' });
  await write('evil', 'made in the merge');
  await repository.git('add', 'evil');
  await repository.commit({ author: ann, sign: false, amend: true, message: 'merge with something of its own' });
  await repository.merge('side', { author: ann, sign: false, message: 'cross' });
  await repository.git('checkout', '--quiet', '--orphan', 'another-root');
  await repository.git('rm', '-r', '--quiet', '--cached', '.');
  await repository.git('clean', '-fdxq');
  await commit('another root', { second: 'root' });
  await repository.git('checkout', '--quiet', '--force', 'main');
  for (const branch of ['one', 'two', 'three']) {
    await repository.checkout(branch, 'main');
    await commit(branch, { [branch]: branch });
  }
  await repository.checkout('main');
  const octopus = [
    '-c',
    'user.name=Ann',
    '-c',
    'user.email=a@b',
    'merge',
    '--quiet',
    '--allow-unrelated-histories',
    '-m',
  ];
  await repository.git(...octopus, 'octopus', 'one', 'two', 'three');
  await repository.git(...octopus, 'roots', 'another-root');
  await commit('signed', { last: '1' }, { sign: ann });
  await repository.git('tag', 'light', side);
  await repository.git('tag', '-a', '-m', 'annotated', 'annotated', side);
  await repository.git('tag', '-a', '-m', 'nested', 'nested', 'annotated');
  await repository.git('tag', 'of-a-blob', await repository.git('rev-parse', 'HEAD:last'));
  await repository.git('update-ref', `refs/replace/${side}`, await repository.head());
});

describe('both adapters', () => {
  it('see the same refs, tags peeled, replace refs without effect', async () => {
    const refs = (await both(repository.path, async (opened) => [...(await opened.refs())])) as [string, string][];
    expect(refs.map(([ref]) => ref)).toEqual([
      'HEAD',
      ...['another-root', 'file-to-folder', 'main', 'one', 'side', 'three', 'two'].map((name) => `refs/heads/${name}`),
      expect.stringMatching(/^refs\/replace\//),
      ...['annotated', 'light', 'nested'].map((name) => `refs/tags/${name}`),
    ]);
    const byName = new Map(refs);
    expect(byName.get('refs/tags/nested')).toBe(byName.get('refs/tags/light'));
    expect(
      await both(repository.path, async (opened) =>
        [...(await opened.refs(['refs/heads/one', 'refs/tags']))].map(([ref]) => ref),
      ),
    ).toEqual(['refs/heads/one', 'refs/tags/annotated', 'refs/tags/light', 'refs/tags/nested']);
  });

  it('give the same annotated tags, byte for byte, with the commits that they lead to', async () => {
    const tags = (await both(repository.path, (opened) => opened.tags())) as Tag[];
    const side = await repository.git('rev-parse', 'refs/tags/light');
    expect(tags.map(({ ref, commit }) => [ref, commit])).toEqual([
      ['refs/tags/annotated', side],
      ['refs/tags/nested', side],
    ]);
    expect(tags[1].raw.toString()).toContain(`object ${tags[0].id}\ntype tag\ntag nested\n`);
  });

  it.each([
    'HEAD',
    'main',
    'heads/side',
    'refs/heads/one',
    'annotated',
    'nested',
    'HEAD~2',
    'HEAD^2',
    'main~3^2~1',
    'HEAD^0',
    'nope',
    'HEAD~999',
    'HEAD^9',
    'of-a-blob',
    '-x',
    '',
    '..',
    'a\nb',
  ])('resolve %j alike', async (revision) => {
    const answer = await both(repository.path, (opened) => opened.resolve(revision));
    const git = await repository
      .git('rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`)
      .catch(() => undefined);
    expect(answer).toEqual(
      revision === ''
        ? { code: 'revision-unknown', retry: false }
        : (git ?? { code: 'revision-unknown', retry: false }),
    );
  });

  it('resolve short ids', async () => {
    const head = await repository.head();
    expect(await both(repository.path, (opened) => opened.resolve(head.slice(0, 10)))).toBe(head);
  });

  it('give every commit with its files in the same order, which is git’s', async () => {
    const head = await repository.head();
    const history = (await both(repository.path, (opened) => historyOf(opened, { head }))) as CommitWithFiles[];
    expect(history.map(({ commit }) => commit.id).join('\n')).toBe(
      await repository.run(['rev-list', '--topo-order', '--reverse', 'HEAD'], { GIT_NO_REPLACE_OBJECTS: '1' }),
    );
    expect(await both(repository.path, (opened) => opened.count({ head }))).toBe(history.length);
    const paths = history.flatMap(({ files }) => files.map(({ path }) => path));
    expect(paths).toContain('apps/caf\\xE9.yaml');
    expect(paths).toContain('like\\x5CxE9');
    expect(history.find(({ commit }) => commit.message === 'a submodule\n')?.files).toEqual([
      { path: 'sub/module', op: 'add', mode: '160000', id: '1'.repeat(40) },
    ]);
    expect(
      history
        .find(({ commit }) => commit.message === 'modes and a link\n')
        ?.files.map(({ path, op, oldMode, mode }) => [path, op, oldMode, mode]),
    ).toEqual([
      ['README.md', 'modify', '100644', '100755'],
      ['link', 'add', undefined, '120000'],
    ]);
    expect(
      history.find(({ commit }) => commit.message.startsWith('merge with something'))?.files.map(({ path }) => path),
    ).toContain('evil');
  });

  it('leave out what is excluded, for any two commits', async () => {
    const ids = await everyCommit();
    for (const [head, exclude] of [
      [ids[0], [ids[3]]],
      [ids[2], [ids[5], ids[8]]],
      [ids[4], [ids[0]]],
      [ids[6], [ids[6]]],
    ] as const) {
      const listed = await both(repository.path, async (opened) =>
        (await historyOf(opened, { head, exclude })).map(({ commit }) => commit.id),
      );
      const git = await repository.run(
        ['rev-list', '--topo-order', '--reverse', head, ...exclude.map((id) => `^${id}`)],
        { GIT_NO_REPLACE_OBJECTS: '1' },
      );
      expect(listed).toEqual(git === '' ? [] : git.split('\n'));
      expect(await both(repository.path, (opened) => opened.count({ head, exclude }))).toBe(
        (listed as string[]).length,
      );
    }
  });

  it('list every tree in byte order, as git ls-tree does', async () => {
    const ids = await everyCommit();
    const listAll = (opened: Repository) => Promise.all(ids.map((id) => opened.tree(id)));
    const trees = (await both(repository.path, listAll)) as TreeEntry[][];
    for (const [i, tree] of trees.entries()) {
      const listing = await repository.run(['ls-tree', '-r', '-z', ids[i]], { GIT_NO_REPLACE_OBJECTS: '1' });
      // The helper decodes as UTF-8, so names that are none are compared by their mode and id only.
      const git = listing.split('\0').filter(Boolean);
      expect(tree.map((entry) => `${entry.mode} ${entry.type} ${entry.id}`)).toEqual(
        git.map((line) => line.split('\t')[0]),
      );
      const paths = tree.map(({ path }) => path);
      expect(paths).toEqual(paths.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    }
    const head = await repository.head();
    for (const path of [
      '',
      '.',
      'apps',
      'apps/',
      './apps/basket',
      'apps/cart.yaml',
      'link',
      'link/x',
      'nope',
      'apps/caf\\xE9.yaml',
    ]) {
      await both(repository.path, (opened) => opened.tree(head, path));
    }
    expect(
      await both(repository.path, async (opened) => (await opened.tree(head, 'apps/basket')).map(({ path }) => path)),
    ).toEqual(['apps/basket/a.yaml']);
  });

  it('tell any two commits apart alike, and as their history did', async () => {
    const ids = await everyCommit();
    for (const [base, head] of [
      [ids[0], ids[5]],
      [ids[5], ids[0]],
      [ids.at(-1)!, ids[0]],
      [ids[7], ids[12]],
    ]) {
      const git = (
        await repository.run(['diff-tree', '-r', '-z', '--no-renames', base, head], { GIT_NO_REPLACE_OBJECTS: '1' })
      )
        .split('\0')
        .filter((_, i) => i % 2 === 0);
      const changes = (await both(repository.path, (opened) => opened.changes(base, head))) as unknown[];
      expect(changes.length).toBe(git.filter(Boolean).length);
      for (const path of ['apps', 'apps/cart.yaml', 'nope'])
        await both(repository.path, (opened) => opened.changes(base, head, path));
    }
    await both(repository.path, (opened) => opened.changes(null, ids[0]));
    const head = ids[0];
    const [history] = (
      (await both(repository.path, (opened) => historyOf(opened, { head, exclude: [ids[1]] }))) as CommitWithFiles[]
    ).slice(-1);
    expect(await both(repository.path, (opened) => opened.changes(history.commit.parents[0], head))).toEqual(
      history.files,
    );
  });

  it('know ancestors', async () => {
    const [main, side, root] = await Promise.all([
      repository.head('main'),
      repository.head('side'),
      repository.head('main~12'),
    ]);
    expect(
      await both(repository.path, (opened) =>
        Promise.all([
          opened.isAncestor(side, main),
          opened.isAncestor(main, side),
          opened.isAncestor(root, main),
          opened.isAncestor(main, main),
        ]),
      ),
    ).toEqual([true, false, true, true]);
    const tree = await repository.git('rev-parse', `${main}^{tree}`);
    expect(
      await both(repository.path, (opened) =>
        Promise.all([opened.mergedTree(side, main), opened.mergedTree(main, side), opened.mergedTree(main, main)]),
      ),
    ).toEqual([tree, tree, tree]);
  });

  it('give a blob’s bytes, up to a limit', async () => {
    const id = await repository.git('rev-parse', 'HEAD:apps/basket/a.yaml');
    expect(await both(repository.path, async (opened) => (await opened.blob(id)).toString())).toBe('a: 1');
    expect(await both(repository.path, (opened) => opened.blob(id, 3))).toMatchObject({ code: 'manifest-too-large' });
    const tree = await repository.git('rev-parse', 'HEAD:apps');
    expect(await both(repository.path, (opened) => opened.blob(tree))).toMatchObject({ code: 'repository-corrupt' });
    for (const [wrong, code] of [
      ['1'.repeat(40), 'object-missing'],
      ['HEAD', 'revision-unknown'],
      ['', 'revision-unknown'],
    ]) {
      expect(await both(repository.path, (opened) => opened.blob(wrong))).toMatchObject({ code });
    }
  });

  it('refuse to list from commits that are not there', async () => {
    const missing = '2'.repeat(40);
    const head = await repository.head();
    for (const range of [{ head: missing }, { head, exclude: [missing] }, { head: 'main' }]) {
      expect(await both(repository.path, (opened) => historyOf(opened, range))).toMatchObject({
        code: 'revision-unknown',
      });
      expect(await both(repository.path, (opened) => opened.count(range))).toMatchObject({ code: 'revision-unknown' });
    }
    expect(await both(repository.path, (opened) => opened.isAncestor(missing, head))).toMatchObject({
      code: 'revision-unknown',
    });
    expect(await both(repository.path, (opened) => opened.commit(missing))).toMatchObject({ code: 'object-missing' });
  });

  it('open bare repositories, folders inside a work tree and linked work trees', async () => {
    const head = await repository.head();
    await ScratchRepository.clone(repository.path, folder.path('bare'), '--bare');
    await repository.git('worktree', 'add', '--quiet', '--detach', folder.path('linked'), 'side');
    expect(await both(folder.path('bare'), (opened) => opened.resolve('HEAD'))).toBe(head);
    expect(await both(join(repository.path, 'apps/basket'), (opened) => opened.resolve('HEAD'))).toBe(head);
    expect(await both(folder.path('linked'), (opened) => opened.resolve('HEAD'))).toBe(await repository.head('side'));
    expect(await both(folder.path('linked'), (opened) => opened.resolve('main'))).toBe(head);
    await repository.git('worktree', 'remove', '--force', folder.path('linked'));
  });

  it('open a repository that belongs to somebody else', async () => {
    const foreign = await createRepository(folder.path('foreign'));
    const id = await foreign.commit({ author: ann, sign: false, message: 'x', files: { a: 'b' } });
    // Only root can give files away; elsewhere this asks the same of an own repository.
    if (process.getuid?.() === 0) {
      const everything = ['', ...(await readdir(foreign.path, { recursive: true }))];
      for (const entry of everything) await chown(join(foreign.path, entry), 65534, 65534);
    }
    expect(await both(foreign.path, (opened) => opened.resolve('HEAD'))).toBe(id);
    expect(await both(foreign.path, (opened) => opened.count({ head: id }))).toBe(1);
  });

  it('open an empty repository, which only lacks a HEAD', async () => {
    const empty = await createRepository(folder.path('empty'));
    expect(await both(empty.path, async (opened) => [...(await opened.refs())])).toEqual([]);
    expect(await both(empty.path, (opened) => opened.resolve('HEAD'))).toMatchObject({ code: 'repository-empty' });
    expect(await both(empty.path, (opened) => opened.resolve('main'))).toMatchObject({ code: 'revision-unknown' });
  });
});
