import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ADAPTERS, ask, both, historyOf } from '../../../test/support/both-adapters.js';
import {
  createRepository,
  person,
  ScratchRepository,
  temporaryFolder,
  type Person,
} from '../../../test/support/git-fixture.js';
import type { CountersignError } from '../../errors.js';
import { openRepository } from './open.js';

const folder = temporaryFolder();
let ann: Person;

beforeAll(async () => {
  ann = await person('Ann', 'ann@example.org');
});

describe('both adapters', () => {
  it('say what is no repository, and what has gone', async () => {
    expect(await both(folder.path('no-such-place'), (opened) => opened.refs())).toEqual({
      code: 'repository-missing',
      retry: true,
    });
    await mkdir(folder.path('just-a-folder'));
    expect(await both(folder.path('just-a-folder'), (opened) => opened.refs())).toEqual({
      code: 'repository-missing',
      retry: false,
    });
    for (const adapter of ADAPTERS) {
      const gone = await createRepository(folder.path(`gone-${adapter}`));
      const id = await gone.commit({ author: ann, sign: false, message: 'x', files: { a: 'b' } });
      expect(
        await ask(adapter, gone.path, async (opened) => {
          await opened.commit(id);
          await rm(gone.path, { recursive: true });
          return opened.commit('3'.repeat(40));
        }),
      ).toEqual({ code: 'repository-missing', retry: true });
    }
  });

  it('refuse a shallow clone where its history is cut off', async () => {
    const whole = await createRepository(folder.path('whole'));
    for (const text of ['one', 'two', 'three']) {
      await whole.commit({ author: ann, sign: false, message: text, files: { a: text } });
    }
    const shallow = await ScratchRepository.clone(`file://${whole.path}`, folder.path('shallow'), '--depth=2');
    const head = await shallow.head();
    expect(await both(shallow.path, (opened) => historyOf(opened, { head }))).toMatchObject({
      code: 'repository-unsupported',
    });
    await both(shallow.path, (opened) => opened.tree(head));
  });

  it('notice a damaged object, in whatever way it is damaged', async () => {
    for (const [name, damage] of [
      ['cut off', (file: string) => truncate(file, 8)],
      ['empty', (file: string) => truncate(file, 0)],
      ['overwritten', (file: string) => writeFile(file, 'nonsense')],
    ] as const) {
      const damaged = await createRepository(folder.path(`damaged ${name}`));
      await damaged.commit({ author: ann, sign: false, message: 'x', files: { a: 'b'.repeat(500), c: 'd' } });
      const blob = await damaged.git('rev-parse', 'HEAD:a');
      const file = join(damaged.path, '.git/objects', blob.slice(0, 2), blob.slice(2));
      await chmod(file, 0o644);
      await damage(file);
      expect(await both(damaged.path, (opened) => opened.blob(blob))).toMatchObject({ code: 'repository-corrupt' });
      const other = await damaged.git('rev-parse', 'HEAD:c');
      expect(await both(damaged.path, async (opened) => (await opened.blob(other)).toString())).toBe('d');
    }
  });

  it('notice a damaged pack, in whatever way it is damaged', async () => {
    const text = Array.from({ length: 3_000 }, (_, i) => `${i * 7919}`).join('\n');
    for (const [name, damage] of [
      ['with a changed byte', (pack: Buffer) => pack.fill(pack[pack.length >> 1] ^ 0xff, pack.length >> 1, (pack.length >> 1) + 1)], // prettier-ignore
      ['with its middle overwritten', (pack: Buffer) => pack.fill(0, pack.length >> 2, (pack.length >> 2) * 3)],
      ['cut off', (pack: Buffer) => pack.subarray(0, pack.length >> 1)],
      ['empty', () => Buffer.alloc(0)],
    ] as const) {
      const damaged = await createRepository(folder.path(`pack ${name}`));
      await damaged.commit({ author: ann, sign: false, message: 'x', files: { a: text } });
      const blob = await damaged.git('rev-parse', 'HEAD:a');
      await damaged.git('repack', '-a', '-d', '-q');
      const packs = join(damaged.path, '.git/objects/pack');
      const pack = join(
        packs,
        (await readdir(packs)).find((one) => one.endsWith('.pack'))!,
      );
      await chmod(pack, 0o644);
      await writeFile(pack, damage(await readFile(pack)));
      for (const adapter of ['native', 'isomorphic'] as const) {
        const answer = await ask(adapter, damaged.path, (opened) => opened.blob(blob));
        expect([name, adapter, answer]).toEqual([
          name,
          adapter,
          expect.objectContaining({ code: expect.stringMatching(/^(repository-corrupt|object-missing)$/) as string }),
        ]);
      }
    }
  });

  it('notice an object stored under another one’s id', async () => {
    const forged = await createRepository(folder.path('forged'));
    await forged.commit({ author: ann, sign: false, message: 'x', files: { a: 'replicas: 1', b: 'replicas: 9' } });
    const [one, other] = await Promise.all(['a', 'b'].map((name) => forged.git('rev-parse', `HEAD:${name}`)));
    const place = (id: string): string => join(forged.path, '.git/objects', id.slice(0, 2), id.slice(2));
    await rm(place(one));
    await copyFile(place(other), place(one));
    expect(await both(forged.path, (opened) => opened.blob(one))).toMatchObject({ code: 'repository-corrupt' });
  });

  it('refuse names that git would not check out (invariant 8)', async () => {
    const evil = await createRepository(folder.path('evil'));
    const first = await evil.commit({ author: ann, sign: false, message: 'x', files: { a: 'b' } });
    const blob = await evil.git('rev-parse', 'HEAD:a');
    for (const [i, name] of ['..', '.git', '.GIT', '.'].entries()) {
      await writeFile(folder.path('tree'), Buffer.concat([Buffer.from(`100644 ${name}\0`), Buffer.from(blob, 'hex')]));
      const tree = await evil.git('hash-object', '-t', 'tree', '-w', '--literally', folder.path('tree'));
      const head = await evil.git('commit-tree', tree, '-p', first, '-m', `evil ${i}`);
      expect(await both(evil.path, (opened) => opened.tree(head))).toMatchObject({ code: 'repository-unsupported' });
      expect(await both(evil.path, (opened) => historyOf(opened, { head }))).toMatchObject({
        code: 'repository-unsupported',
      });
      expect(await both(evil.path, (opened) => opened.changes(first, head))).toMatchObject({
        code: 'repository-unsupported',
      });
    }
  });
});

describe('reading with git', () => {
  it('says what git complains of, and none of its hints', async () => {
    const cut = await createRepository(folder.path('said'));
    const id = await cut.commit({ author: ann, sign: false, message: 'x', files: { a: 'b' } });
    await cut.git('repack', '-a', '-d', '-q');
    const packs = join(cut.path, '.git/objects/pack');
    const pack = (await readdir(packs)).find((one) => one.endsWith('.pack'))!;
    await chmod(join(packs, pack), 0o644);
    await writeFile(join(packs, pack), 'no pack');
    const opened = await openRepository(cut.path, { adapter: 'native' });
    try {
      const said = await opened.count({ head: id }).catch((error: CountersignError) => error);
      expect(said).toMatchObject({ code: 'repository-corrupt', message: expect.stringContaining(pack) as string });
      expect((said as CountersignError).message).not.toContain('hint');
      await expect(opened.refs()).rejects.toMatchObject({ code: 'repository-corrupt' });
    } finally {
      await opened.close();
    }
  });

  it('names the damaged tree, however long the history after it is', async () => {
    const long = await createRepository(folder.path('long'));
    const commits = Array.from({ length: 4000 }, (_, i) => {
      const text = `change ${i}`;
      const person = 'Ann <ann@example.org> 1700000000 +0000';
      const blob = `M 100644 inline d${i % 50}/a\ndata ${text.length}\n${text}\n`;
      return `commit refs/heads/main\ncommitter ${person}\ndata ${text.length}\n${text}\n${blob}`;
    });
    execFileSync('git', ['fast-import', '--quiet'], { cwd: long.path, input: commits.join('\n') });
    const ids = (await long.git('rev-list', '--reverse', 'HEAD')).split('\n');
    const tree = await long.git('rev-parse', `${ids[100]}:d0`);
    // The same objects but this tree, in a pack that takes the place of the first one.
    const objects = (await long.git('rev-list', '--objects', '--no-object-names', 'HEAD')).split('\n');
    const others = objects.filter((id) => id !== tree).join('\n');
    execFileSync('git', ['pack-objects', '-q', folder.path('without')], {
      cwd: long.path,
      input: others,
      stdio: 'pipe',
    });
    const packs = join(long.path, '.git/objects/pack');
    await rm(packs, { recursive: true });
    await mkdir(packs);
    for (const name of await readdir(folder.path())) {
      if (name.startsWith('without-')) await rename(folder.path(name), join(packs, name.replace('without', 'pack')));
    }
    const answer = await ask('native', long.path, async (opened) => historyOf(opened, { head: ids[3999] }));
    expect(answer).toMatchObject({ code: 'repository-corrupt' });
  });
});
