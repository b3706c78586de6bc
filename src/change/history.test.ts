import { createRepository, person, temporaryFolder } from '../../test/support/git-fixture.js';
import { NativeRepository } from '../adapters/git/native.js';
import { digestOf } from '../cluster/canonical.js';
import { identityKey } from '../cluster/object.js';
import type { CommitWithFiles } from '../source/repository.js';
import { FileComparison } from './file-comparison.js';
import { walkHistory, type HistoryStep } from './history.js';
import { ManifestCache } from './manifest-cache.js';
import { readAll } from './render.js';

const folder = temporaryFolder();
const service = (name: string, port: number) =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {ports: [{port: ${port}}]}\n`;

async function walk(path: string): Promise<{ steps: HistoryStep[]; atHead: string[] }> {
  const repository = await NativeRepository.open(path);
  try {
    const head = await repository.resolve('HEAD');
    const cache = new ManifestCache(1024 * 1024);
    const steps: HistoryStep[] = [];
    for await (const step of walkHistory(repository, { head }, new FileComparison(repository, cache))) steps.push(step);
    const files = (await repository.tree(head)).filter((entry) => entry.path.endsWith('.yaml'));
    const read = await readAll(repository, files, undefined, cache);
    const atHead = read.flatMap((file) => file.objects.map((o) => `${identityKey(o.identity)} ${digestOf(o.object)}`));
    return { steps, atHead };
  } finally {
    await repository.close();
  }
}

describe('walkHistory', () => {
  it('tells of a file that the repository lacks', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const scratch = await createRepository(folder.path('missing'));
    await scratch.commit({ author: ann, message: 'm', files: { 'a.yaml': service('a', 1) } });
    const repository = await NativeRepository.open(scratch.path);
    try {
      const comparison = new FileComparison(repository, new ManifestCache(1024 * 1024));
      const files = [{ path: 'x.yaml', op: 'add', mode: '100644', id: '1'.repeat(40) }];
      const at = { files } as unknown as CommitWithFiles;
      await expect(comparison.compare(at)).rejects.toMatchObject({ code: 'object-missing' });
    } finally {
      await repository.close();
    }
  });

  it('gives changes that, replayed, are the objects at HEAD', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const scratch = await createRepository(folder.path('replay'));
    let seed = 42;
    const next = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
    for (let i = 0; i < 40; i++) {
      const file = `f${next(6)}.yaml`;
      const there = (await scratch.git('ls-files')).split('\n').filter(Boolean);
      const move = next(4) === 0 && there[0] !== undefined ? there[next(there.length)] : undefined;
      const text =
        move && move !== file
          ? await scratch.git('show', `HEAD:${move}`)
          : Array.from({ length: next(4) }, () => service(`s${next(8)}`, next(5))).join('---\n');
      await scratch.commit({
        author: ann,
        sign: false,
        message: `c${i}`,
        files: { [file]: `${text}\n` },
        delete: move && move !== file ? [move] : [],
      });
    }
    const { steps, atHead } = await walk(scratch.path);
    expect(steps).toHaveLength(40);
    const state = new Map<string, number>();
    const count = (of: string, by: number) => state.set(of, (state.get(of) ?? 0) + by);
    for (const { changes } of steps) {
      for (const { identity, before, after } of changes) {
        if (before) count(`${identityKey(identity)} ${digestOf(before)}`, -1);
        if (after) count(`${identityKey(identity)} ${digestOf(after)}`, 1);
      }
    }
    const replayed = [...state].flatMap(([of, n]) => Array.from({ length: n }, () => of));
    expect(Math.min(...state.values())).toBeGreaterThanOrEqual(0);
    expect(replayed.toSorted()).toEqual(atHead.toSorted());
  });

  it('compares a merge with its first parent, once', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const scratch = await createRepository(folder.path('merge'));
    await scratch.commit({ author: ann, sign: false, message: 'a', files: { 'a.yaml': service('a', 1) } });
    await scratch.checkout('side', 'main');
    await scratch.commit({ author: ann, sign: false, message: 'b', files: { 'b.yaml': service('b', 1) } });
    await scratch.checkout('main');
    await scratch.merge('side', { author: ann, sign: false, message: 'merge' });
    const { steps } = await walk(scratch.path);
    expect(steps.map((step) => step.changes.map((c) => `${c.op} ${c.identity.name}`))).toEqual([
      ['create a'],
      ['create b'],
      ['create b'],
    ]);
  });

  it('counts what cannot be read, and goes on', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const scratch = await createRepository(folder.path('unreadable'));
    await scratch.commit({
      author: ann,
      sign: false,
      message: 'a',
      files: { 'a.yaml': 'a: [', 'kustomization.yaml': 'resources: []' },
    });
    await scratch.commit({ author: ann, sign: false, message: 'b', files: { 'a.yaml': service('a', 1) } });
    await scratch.commit({ author: ann, sign: false, message: 'c', files: { 'a.yaml': service('a', 2) } });
    const { steps } = await walk(scratch.path);
    expect(steps.map((step) => [step.unreadable.length, step.changes.length])).toEqual([
      [1, 0],
      [0, 1],
      [0, 1],
    ]);
  });
});
