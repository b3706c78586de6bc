import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FolderTree } from '../../src/adapters/folder/folder-tree.js';
import { NativeRepository } from '../../src/adapters/git/native.js';
import { SandboxRenderer } from '../../src/adapters/render/renderer.js';
import type { Environment } from '../../src/change/environment.js';
import { ManifestCache } from '../../src/change/manifest-cache.js';
import { proposeChange } from '../../src/change/proposed-change.js';
import { render } from '../../src/change/render.js';
import { RenderedFolders } from '../../src/change/rendered-folders.js';
import { createRepository, person, temporaryFolder } from '../support/git-fixture.js';

const folder = temporaryFolder();
const renderer = new SandboxRenderer();
const hasty = new SandboxRenderer({ timeLimit: 3_000 });
afterAll(async () => {
  await renderer.close();
  await hasty.close();
});

const environment: Environment = { name: 'e', path: 'env', ref: '', target: null, namespace: 'shop', labels: {}, ignore: [] }; // prettier-ignore
const configMap = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`;
const chart = (templates: Record<string, string>, values = '{}\n', more = '') => ({
  'env/Chart.yaml': `apiVersion: v2\nname: c\nversion: 1.0.0\n${more}`,
  'env/values.yaml': values,
  ...Object.fromEntries(Object.entries(templates).map(([name, text]) => [`env/templates/${name}`, text])),
});
const bomb = `${Array.from({ length: 12 }, (_, i) => `a${i}: &a${i} [${Array<string>(9).fill(i ? `*a${i - 1}` : 'x').join(',')}]`).join('\n')}\n`; // prettier-ignore
let names = 0;

async function problemsOf(files: Record<string, string>, of = renderer, links: Record<string, string> = {}) {
  const root = folder.path(`r${names++}`);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  for (const [path, target] of Object.entries(links)) symlinkSync(target, join(root, path));
  const cache = new ManifestCache(undefined, undefined, new RenderedFolders(of));
  const { problems, objects } = await render(FolderTree.open(root), environment, '', cache);
  expect(objects).toEqual([]);
  return problems.map(({ code, place, message }) => `${code} ${place?.file}:${place?.line ?? ''} ${message}`);
}

describe('a kustomization that must not be rendered', () => {
  it.each([
    ['a base over HTTPS', 'https://github.com/x/y//base?ref=v1'],
    ['a base over Git', 'git::https://example.org/x.git'],
    ['a base over SSH', 'git@example.org:x/y.git'],
    ['a base in an OCI registry', 'oci://example.org/x'],
    ['a base by a forge name', 'github.com/x/y'],
    ['a base in a file URL', 'file:///etc/base'],
  ])('refuses %s with file and line (invariant 8)', async (_what, base) => {
    expect(await problemsOf({ 'env/kustomization.yaml': `# top\nresources:\n  - ${base}\n` })).toEqual([
      `render-refused env/kustomization.yaml:3 ${base} lies in another place; nothing is fetched to render`,
    ]);
  });

  it.each([
    [
      'an absolute path',
      'resources: [/etc/passwd]',
      /render-refused env\/kustomization.yaml:1 .*outside the repository/,
    ],
    ['a path out of the repository', 'resources: [../../../x]', /render-refused .*outside the repository/],
    [
      'a patch out of its folder',
      'patches: [{path: ../patch.yaml}]',
      /render-failed .*(security|restrict|not in or below)/,
    ],
    [
      'a missing file',
      'resources: [ok.yaml, gone.yaml]',
      /render-failed env\/kustomization.yaml:1 there is no env\/gone.yaml/,
    ],
    ['a circle', 'resources: [../other]', /render-failed .* circle: env → other → env/],
    ['an alias bomb', bomb, /manifest-aliases env\/kustomization.yaml/],
    ['an alias bomb in a resource', 'resources: [bomb.yaml]', /manifest-aliases env\/bomb.yaml/],
    ['an unknown field', '# top\nresourcez: [ok.yaml]', /render-failed env\/kustomization.yaml:2 .*resourcez/],
    [
      'a plugin that runs a program',
      'generators: [plugin.yaml]',
      /render-refused env\/plugin.yaml:1 Evil .*runs a program/,
    ],
    [
      'a function in a container',
      'transformers: [function.yaml]',
      /render-refused env\/function.yaml:1 .*function that runs/,
    ],
    [
      'a chart that is fetched',
      'helmCharts: [{name: redis, repo: "https://charts.example.org", version: "1"}]',
      /render-refused env\/kustomization.yaml:1 the chart .* is fetched/,
    ],
    ['a resource that SOPS encrypted', 'resources: [sops.yaml]', /object-invalid env\/sops.yaml.*SOPS/],
    ['malformed YAML', 'resources: [ok.yaml', /manifest-malformed env\/kustomization.yaml:/],
    ['a kustomization that is a list', '- a', /render-refused env\/kustomization.yaml:1 .*no mapping/],
  ])('refuses %s', async (_what, text, says) => {
    const problems = await problemsOf({
      'env/kustomization.yaml': `${text}\n`,
      'env/ok.yaml': configMap('ok'),
      'patch.yaml': configMap('ok'),
      'other/kustomization.yaml': 'resources: [../env]\n',
      'env/bomb.yaml': `${configMap('b')}data:\n${bomb.replace(/^/gm, '  ')}`,
      'env/sops.yaml':
        'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: "ENC[x]"}\nsops: {mac: "ENC[x]"}\n',
      'env/plugin.yaml': 'apiVersion: example.org/v1\nkind: Evil\nmetadata: {name: e}\n',
      'env/function.yaml': 'apiVersion: v1\nkind: F\nmetadata:\n  name: f\n  annotations:\n    config.kubernetes.io/function: "container: {image: x}"\n', // prettier-ignore
    });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(says);
  });

  it('follows no symbolic link, whether to a file or to a folder', async () => {
    const files = { 'env/kustomization.yaml': 'resources: [link.yaml]\n', 'env/x': '' };
    expect(await problemsOf(files, renderer, { 'env/link.yaml': '/etc/hostname' })).toEqual([
      expect.stringMatching(/render-refused env\/kustomization.yaml:1 env\/link.yaml is a symbolic link/),
    ]);
    const into = { 'env/kustomization.yaml': 'resources: [link/base]\n', 'env/x': '' };
    expect(await problemsOf(into, renderer, { 'env/link': '/tmp' })).toEqual([
      expect.stringMatching(/env\/link is a symbolic link/),
    ]);
  });
});

describe('a chart that must not be rendered', () => {
  it.each([
    ['values that are not YAML', chart({ 'a.yaml': configMap('a') }, 'a: [\n'), /manifest-malformed env\/values.yaml:/],
    [
      'a dependency that is not there',
      chart(
        { 'a.yaml': configMap('a') },
        '{}\n',
        'dependencies: [{name: redis, version: "1", repository: "https://x"}]\n',
      ),
      /render-refused env\/Chart.yaml:4 .*redis is not in its charts/,
    ],
    [
      'chance',
      chart({ 'a.yaml': `${configMap('a')}data: {p: "{{ randAlphaNum 8 }}"}\n` }),
      /render-refused env\/templates\/a.yaml:4 .*each time.*\(randAlphaNum\)/,
    ],
    [
      'a certificate of its own making',
      chart({ 'a.yaml': `{{ $ca := genCA "x" 1 }}${configMap('a')}data: {p: "{{ $ca.Cert | b64enc }}"}\n` }),
      /render-refused env\/templates\/a.yaml:1 .*\(genCA\)/,
    ],
    [
      'the time, hidden in a value',
      chart(
        { 'a.yaml': `${configMap('a')}data: {p: "{{ tpl .Values.t . | sha256sum }}"}\n` },
        't: "{{ now | unixEpoch }}"\n',
      ),
      /render-refused env\/templates\/a.yaml: .*\(now\)/,
    ],
    [
      'the environment of the process',
      chart({ 'a.yaml': '{{ env "HOME" }}\n' }),
      /render-failed env\/templates\/a.yaml.*"env" not defined/,
    ],
    [
      'recursion',
      chart({ 'a.yaml': '{{ define "r" }}{{ include "r" . }}{{ end }}{{ include "r" . }}\n' }),
      /render-failed env\/templates\/a.yaml:1 .*nested/,
    ],
    [
      'a value that is required',
      chart({ 'a.yaml': '{{ required "give a name" .Values.name }}\n' }),
      /render-failed env\/templates\/a.yaml:1 .*give a name/,
    ],
    ['output that is no YAML', chart({ 'a.yaml': 'a: b: c\n' }), /render-failed env/],
    ['a library', chart({}, '{}\n', 'type: library\n'), /render-failed env.*library/],
  ])('refuses %s', async (_what, files, says) => {
    const problems = await problemsOf(files);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(says);
  });

  it('stops a chart without end, and renders the next one', async () => {
    const endless = chart({ 'a.yaml': '{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}\n' });
    expect(await problemsOf(endless, hasty)).toEqual(['render-limit env/Chart.yaml: rendering took more than 3 s']);
    expect(await problemsOf(chart({ 'a.yaml': '\n' }), hasty)).toEqual([]);
  });

  it('stops a chart of more files than it reads', async () => {
    const files = Object.fromEntries(Array.from({ length: 5_001 }, (_, i) => [`${i}.yaml`, '']));
    expect(await problemsOf(chart(files))).toEqual(['render-limit env/Chart.yaml: rendering would read more than 5000 files']); // prettier-ignore
  });

  it('stops a chart that wants all memory', async () => {
    const greedy = chart({ 'a.yaml': '{{ repeat 2000000000 "x" }}\n' });
    expect((await problemsOf(greedy))[0]).toMatch(/render-(limit|failed) env/);
    expect(await problemsOf(chart({ 'a.yaml': '\n' }))).toEqual([]);
  });
});

it('renders one of many folders for a commit that touches one, and judges it when a base above it changes', async () => {
  const ann = await person('Ann', 'ann@example.org');
  const scratch = await createRepository(folder.path('many'));
  const files: Record<string, string> = {
    'base/kustomization.yaml': 'resources: [a.yaml]\n',
    'base/a.yaml': configMap('shared'),
  };
  for (let i = 0; i < 30; i++) {
    files[`env/${i}/kustomization.yaml`] =
      `resources: [own.yaml${i === 7 ? ', ../../base' : ''}]\nnamePrefix: p${i}-\n`;
    files[`env/${i}/own.yaml`] = configMap('own');
  }
  const commit = (changed: Record<string, string>) => scratch.commit({ author: ann, sign: false, message: 'c', files: changed }); // prettier-ignore
  const base = await commit(files);
  const repository = await NativeRepository.open(scratch.path);
  const folders = new RenderedFolders(renderer);
  const cache = new ManifestCache(undefined, undefined, folders);
  const propose = (from: string | null, to: string) => proposeChange(repository, environment, from, to, { checkSignature: () => ({ kind: 'none', status: 'none' }), cache }); // prettier-ignore
  expect((await propose(null, base)).rendered).toHaveLength(31);
  expect(folders.rendered).toBe(30);

  const one = await commit({ 'env/3/own.yaml': `# moved\n${configMap('own')}data: {a: b}\n` });
  const touched = await propose(base, one);
  expect(touched.changes.map(({ op, identity, source }) => [op, identity.name, source])).toEqual([
    ['update', 'p3-own', { path: 'env/3/own.yaml', line: 2 }],
  ]);
  expect(folders.rendered).toBe(31);

  const above = await commit({ 'base/a.yaml': `${configMap('shared')}data: {a: b}\n` });
  const changed = await propose(one, above);
  expect(changed.changes.map(({ identity, source }) => [identity.name, source.path])).toEqual([['p7-shared', 'base/a.yaml']]); // prettier-ignore
  expect(folders.rendered).toBe(32);
  await repository.close();
});
