import { NativeRepository } from '../../src/adapters/git/native.js';
import { SandboxRenderer } from '../../src/adapters/render/renderer.js';
import { FileComparison } from '../../src/change/file-comparison.js';
import { type HistoryStep, walkHistory } from '../../src/change/history.js';
import { ManifestCache } from '../../src/change/manifest-cache.js';
import { RenderedFolders } from '../../src/change/rendered-folders.js';
import { createRepository, person, temporaryFolder } from '../support/git-fixture.js';

const folder = temporaryFolder();
const renderer = new SandboxRenderer();
afterAll(() => renderer.close());

const configMap = (name: string, more = '') => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n${more}`;
const FOLDERS = 500;

it('renders one of 500 folders for a commit that touches one, and all that read a base for one that touches the base', async () => {
  const ann = await person('Ann', 'ann@example.org');
  const scratch = await createRepository(folder.path('many'));
  const commit = (files: Record<string, string>) => scratch.commit({ author: ann, sign: false, message: 'c', files }); // prettier-ignore
  const files: Record<string, string> = {
    'base/kustomization.yaml': 'resources: [a.yaml]\n',
    'base/a.yaml': configMap('shared'),
    'plain.yaml': configMap('plain'),
  };
  for (let i = 0; i < FOLDERS; i++) {
    const base = i === 7 || i === 8 ? ', ../../base' : '';
    files[`env/${i}/kustomization.yaml`] = `resources: [own.yaml${base}]\nnamePrefix: p${i}-\n`;
    files[`env/${i}/own.yaml`] = configMap('own');
  }
  const first = await commit(files);
  const tips: string[] = [];
  tips.push(await commit({ 'env/3/own.yaml': configMap('own', 'data: {a: b}\n') }));
  tips.push(await commit({ 'plain.yaml': configMap('plain', 'data: {a: b}\n'), 'README.md': 'words' }));
  tips.push(await commit({ 'base/a.yaml': configMap('shared', 'data: {a: b}\n') }));
  tips.push(await commit({ 'env/new/kustomization.yaml': 'resources: [../../base]\nnameSuffix: -new\n' }));
  tips.push(await commit({ 'env/9/kustomization.yaml': 'resources: [gone.yaml]\n' }));
  tips.push(await commit({ 'env/9/gone.yaml': configMap('came') }));

  const repository = await NativeRepository.open(scratch.path);
  const folders = new RenderedFolders(renderer);
  const cache = new ManifestCache(undefined, undefined, folders);
  const steps: (HistoryStep & { rendered: number })[] = [];
  for (const [i, head] of tips.entries()) {
    const before = folders.rendered;
    for await (const step of walkHistory(
      repository,
      { head, exclude: [tips[i - 1] ?? first] },
      new FileComparison(repository, cache),
    )) {
      steps.push({ ...step, rendered: folders.rendered - before });
    }
  }
  const told = steps.map(({ changes, unreadable, rendered }) => ({
    changes: changes.map(({ op, identity, source }) => `${op} ${identity.name} ${source.path}:${source.line}`),
    unreadable: unreadable.map(({ message }) => message),
    rendered,
  }));
  expect(told).toEqual([
    // Before and after; the other 499 were never looked at.
    { changes: ['update p3-own env/3/own.yaml:1'], unreadable: [], rendered: 2 },
    { changes: ['update plain plain.yaml:1'], unreadable: [], rendered: 0 },
    { changes: ['update p7-shared base/a.yaml:1', 'update p8-shared base/a.yaml:1'], unreadable: [], rendered: 4 },
    { changes: ['create shared-new base/a.yaml:1'], unreadable: [], rendered: 1 },
    { changes: [], unreadable: ['there is no env/9/gone.yaml in this commit'], rendered: 1 },
    // It could not be read, so what it is now counts as new.
    { changes: ['create came env/9/gone.yaml:1'], unreadable: [], rendered: 1 },
  ]);
  await repository.close();
});
