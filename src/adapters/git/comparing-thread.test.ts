import { createRepository, person, temporaryFolder } from '../../../test/support/git-fixture.js';
import { FileComparison } from '../../change/file-comparison.js';
import { type FileComparer, walkHistory } from '../../change/history.js';
import { ManifestCache } from '../../change/manifest-cache.js';
import type { CommitWithFiles } from '../../source/repository.js';
import { ComparingThread } from './comparing-thread.js';
import { openRepository } from './open.js';

const folder = temporaryFolder();
const limits = { bytes: 2000 };
const service = (name: string, port: number) =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {ports: [{port: ${port}}]}\n`;

const versions: readonly Readonly<Record<string, string>>[] = [
  { 'a.yaml': [service('a', 1), service('b', 1)].join('---\n'), 'kustomization.yaml': 'resources: [a.yaml]\n' },
  { 'a.yaml': [service('a', 1), service('b', 2)].join('---\n'), 'b.json': '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}' }, // prettier-ignore
  { 'a.yaml': [service('new', 1), service('a', 1), service('b', 2)].join('---\n'), 'bad.yaml': 'a: [1\nb: 2\n' },
  { 'a.yaml': service('b', 2), 'c.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {__proto__: "1", b: "é"}\n---\nother: 1\n' }, // prettier-ignore
  { 'a.yaml': '', 'big.yaml': '# '.repeat(1600) },
  { 'a.yaml': [service('a', 1), service('b', 1)].join('---\n'), 'bad.yaml': service('good', 1) },
];

async function history(name: string): Promise<string> {
  const ann = await person('Ann', 'ann@example.org');
  const scratch = await createRepository(folder.path(name));
  for (const files of versions) await scratch.commit({ author: ann, sign: false, message: 'm', files });
  return scratch.path;
}

async function steps(path: string, comparer: FileComparer): Promise<unknown[]> {
  const repository = await openRepository(path);
  try {
    const found: unknown[] = [];
    for await (const step of walkHistory(repository, { head: await repository.resolve('HEAD') }, comparer)) {
      const unreadable = step.unreadable.map(({ code, sentence, retry }) => ({ code, sentence, retry }));
      found.push({ commit: step.commit.id, changes: step.changes, unreadable });
    }
    return found;
  } finally {
    await repository.close();
  }
}

const thread = (path: string): ComparingThread =>
  new ComparingThread({ path, adapter: undefined, limits, cacheBytes: 1024 * 1024 });

const at = (id: string) =>
  ({ commit: {}, files: [{ path: 'x.yaml', op: 'add', mode: '100644', id }] }) as unknown as CommitWithFiles;

describe('ComparingThread', () => {
  it('finds what this thread would: changes, files that cannot be read, and their places', async () => {
    const path = await history('same');
    const repository = await openRepository(path);
    const comparer = thread(path);
    try {
      const here = await steps(path, new FileComparison(repository, new ManifestCache(1024 * 1024, limits)));
      const elsewhere = await steps(path, comparer);
      expect(elsewhere).toEqual(here);
      expect(JSON.stringify(elsewhere)).toBe(JSON.stringify(here));
      expect(JSON.stringify(here)).toContain('__proto__');
    } finally {
      await Promise.all([comparer.close(), repository.close()]);
    }
  });

  it('gives one object for what a commit brought and a later one took away', async () => {
    const path = await history('one');
    const comparer = thread(path);
    try {
      const found = (await steps(path, comparer)) as { changes: { before: unknown; after: unknown }[] }[];
      expect(found[1].changes[0].before).toBe(found[0].changes[1].after);
    } finally {
      await comparer.close();
    }
  });

  it('tells of a repository that it cannot read, and of a file that is not there', async () => {
    const nowhere = thread(folder.path('nowhere'));
    const path = await history('missing');
    const there = thread(path);
    try {
      await expect(nowhere.compare(at('0'.repeat(40)))).rejects.toMatchObject({ code: 'repository-missing' });
      await expect(there.compare(at('1'.repeat(40)))).rejects.toMatchObject({ code: 'object-missing' });
    } finally {
      await Promise.all([nowhere.close(), there.close()]);
    }
  });
});
