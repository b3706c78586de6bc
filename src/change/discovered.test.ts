import { readManifest } from '../cluster/manifest.js';
import { discover } from './discovered.js';
import { parseSettings } from './environments.js';

const folders = new Set(['', 'apps', 'apps/shop', 'charts/shop', 'clusters/prod']);
const found = (text: string) => {
  const { environments, problems } = discover(readManifest('gitops.yaml', Buffer.from(text)).objects, folders);
  return { environments, problems: problems.map(({ message, place }) => `${place?.file}:${place?.line} ${message}`) };
};
const application = (source: string) =>
  `apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: shop, namespace: argocd}\nspec:\n  destination: {namespace: shop, server: x}\n  source: {repoURL: "https://x", ${source}}\n`; // prettier-ignore
const flux = (spec: string) =>
  `apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: prod, namespace: flux-system}\nspec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: r}, ${spec}}\n`; // prettier-ignore

const gitRepository = (ref: string) =>
  `apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: r}\nspec: {url: "https://x", ref: {${ref}}}\n`;

const set = (generator: string, path = '{{dir}}') =>
  `apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all}\nspec:\n  generators: [{${generator}}]\n  template: {metadata: {name: "{{name}}"}, spec: {destination: {namespace: "{{name}}"}, source: {repoURL: x, path: "${path}"}}}\n`; // prettier-ignore
const chart = 'chart: ./charts/shop, sourceRef: {kind: GitRepository, name: r}';
const release = (spec: string, more = 'interval: 1m') =>
  `apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: h, namespace: apps}\nspec: {${more}, chart: {spec: {${spec}}}}\n`; // prettier-ignore

const other = (name: string, path: string, dependsOn: string) =>
  flux(`path: ${path}, dependsOn: [${dependsOn}]`).replace('name: prod', `name: ${name}`);

describe('discover', () => {
  it('understands an Application of Argo CD with a folder, and one with a chart', () => {
    expect(found(application('path: apps/shop, targetRevision: release')).environments).toEqual([
      { name: 'shop', path: 'apps/shop', ref: 'refs/heads/release', namespace: 'shop' },
    ]);
    const chart = found(application('path: charts/shop, helm: {valueFiles: [../../apps/shop/v.yaml]}')).environments;
    expect(chart[0]).toMatchObject({ ref: 'refs/heads/main', helm: { release: 'shop', values: ['apps/shop/v.yaml'] } });
    expect(parseSettings(JSON.stringify({ apiVersion: 'countersign.dev/v1', environments: chart }))).toBeDefined();
  });

  it('understands a Kustomization of Flux with the branch of its GitRepository', () => {
    expect(found(`${flux('path: ./clusters/prod')}---\n${gitRepository('branch: live')}`).environments).toEqual([
      { name: 'prod', path: 'clusters/prod', ref: 'refs/heads/live' },
    ]);
  });

  it('waits for what a Kustomization of Flux depends on, and names what is not here', () => {
    const text = [
      other('web', 'apps', '{name: shop}, {name: shop, namespace: elsewhere}'),
      other('shop', 'apps/shop', '{name: base, namespace: flux-system}'),
      other('base', 'clusters/prod', ''),
      gitRepository('branch: main'),
    ].join('---\n');
    const { environments, problems } = found(text);
    expect(environments.map(({ name, dependsOn }) => [name, dependsOn])).toEqual([
      ['web', ['shop']],
      ['shop', ['base']],
      ['base', undefined],
    ]);
    expect(problems).toEqual([expect.stringMatching(/gitops\.yaml:\d+ .*depends on Kustomization "shop", which is no environment/)]); // prettier-ignore
    const settings = parseSettings(JSON.stringify({ apiVersion: 'countersign.dev/v1', environments }));
    expect(settings.environments.map(({ name }) => name)).toEqual(['base', 'shop', 'web']);
  });

  it('understands a HelmRelease with its chart in the repository', () => {
    const text = release(`${chart}, valuesFiles: [charts/shop/values.yaml, apps/shop/v.yaml]`, 'targetNamespace: shop, install: {crds: Skip}'); // prettier-ignore
    expect(found(text)).toEqual({
      environments: [
        {
          name: 'h',
          path: 'charts/shop',
          ref: 'refs/heads/main',
          namespace: 'shop',
          helm: { release: 'shop-h', values: ['apps/shop/v.yaml'], includeCRDs: false },
        },
      ],
      problems: [],
    });
  });

  it('understands an ApplicationSet of a list, and one of folders', () => {
    const list = set('list: {elements: [{name: a, dir: apps/shop}, {name: b, dir: clusters/prod}]}');
    expect(found(list)).toEqual({
      environments: [
        { name: 'a', path: 'apps/shop', ref: 'refs/heads/main', namespace: 'a' },
        { name: 'b', path: 'clusters/prod', ref: 'refs/heads/main', namespace: 'b' },
      ],
      problems: [],
    });
    const git = 'git: {repoURL: x, directories: [{path: "*/*"}, {path: clusters/*, exclude: true}]}';
    const plain = set(git, '{{path}}').replaceAll('{{name}}', '{{path[0]}}-{{path.basename}}');
    expect(found(plain).environments.map(({ name, path }) => [name, path])).toEqual([
      ['apps-shop', 'apps/shop'],
      ['charts-shop', 'charts/shop'],
    ]);
    const go = set(git, '{{.path.path}}').replaceAll('{{name}}', '{{ .path.basename }}').replace('spec:', 'spec:\n  goTemplate: true'); // prettier-ignore
    expect(found(go).environments[0]).toMatchObject({ name: 'shop', path: 'apps/shop' });
  });

  it.each([
    ['several sources', application('path: apps').replace('  source:', '  sources: []\n  source:'), 'spec.sources'],
    ['values written in it', application('path: apps, helm: {parameters: []}'), 'spec.source.helm: parameters'],
    ['a chart of a Helm repository', application('chart: redis'), 'spec.source: chart'],
    ['a plugin', application('path: apps, plugin: {name: x}'), 'spec.source: plugin'],
    ['a fixed commit', application('path: apps, targetRevision: 0123456789abcdef'), 'is no branch'],
    ...['"*"', '1.x', 'v1', '">=1.2 <2"', '^1.0', '~1.2', 'v1.2.3-rc.1', '1 || 2', 'refs/tags/v1', 'release-*'].map(
      (revision): [string, string, string] => [
        `the revision ${revision}`,
        application(`path: apps, targetRevision: ${revision}`),
        'is no branch (commits, tags and ranges of versions are not followed)',
      ],
    ),
    ...['semver: ">=1"', 'tag: v1', 'commit: 0123456789abcdef'].map((ref): [string, string, string] => [
      `a GitRepository with ${ref}`,
      `${flux('path: apps')}---\n${gitRepository(ref)}`,
      `ref of GitRepository "r": ${ref.split(':')[0]} is not understood`,
    ]),
    ...['refs/heads/*', 'refs/tags/v1', 'refs/pull/1/head'].map((ref): [string, string, string] => [
      `a GitRepository with the ref ${ref}`,
      `${flux('path: apps')}---\n${gitRepository(`name: "${ref}"`)}`,
      `the revision "${ref}" is no branch`,
    ]),
    ['a path that is not here', application('path: gone'), 'its path gone is no folder'],
    ['a path outside', application('path: ../x'), 'spec.source.path is no path in this repository'],
    ['substitution', flux('postBuild: {substitute: {a: b}}'), 'spec: postBuild is not understood'],
    ['decryption', flux('decryption: {provider: sops}'), 'spec: decryption is not understood'],
    ['substitution from elsewhere', flux('postBuild: {substituteFrom: [{kind: Secret, name: x}]}'), 'spec: postBuild'],
    ...[
      'patches: []',
      'images: []',
      'components: []',
      'targetNamespace: x',
      'namePrefix: x',
      'kubeConfig: {}',
      'commonMetadata: {}',
    ].map((field): [string, string, string] => [
      `a Kustomization of Flux with ${field}`,
      flux(field),
      `spec: ${field.split(':')[0]} is not understood`,
    ]),
    [
      'an OCIRepository',
      flux('path: apps').replace('GitRepository', 'OCIRepository'),
      'a source of kind "OCIRepository"',
    ],
    [
      'a source that is an OCI registry',
      application('path: apps').replace('https://x', 'oci://registry.example.org/x'),
      'OCI',
    ],
    ...[
      'values: "a: 1"',
      'valuesObject: {a: 1}',
      'fileParameters: []',
      'ignoreMissingValueFiles: true',
      'passCredentials: true',
    ].map((field): [string, string, string] => [
      `a chart of Argo CD with ${field}`,
      application(`path: apps, helm: {${field}}`),
      `spec.source.helm: ${field.split(':')[0]} is not understood`,
    ]),
    ['images of Argo CD', application('path: apps, kustomize: {images: [a=b]}'), 'spec.source.kustomize: images'],
    ['Jsonnet', application('path: apps, directory: {jsonnet: {}}'), 'spec.source.directory: jsonnet'],
    ...['matrix', 'merge', 'pullRequest', 'scmProvider', 'clusterDecisionResource', 'plugin', 'selector'].map(
      (name): [string, string, string] => [
        `an ApplicationSet of ${name}`,
        set(`${name}: {}`),
        `a generator: ${name} is not understood`,
      ],
    ),
    [
      'a patch of a template',
      set('list: {elements: []}').replace('  template:', '  templatePatch: x\n  template:'),
      'spec: templatePatch',
    ],
    ['values of a generator', set('list: {elements: [], elementsYaml: x}'), 'the list generator: elementsYaml'],
    ['a bucket', flux('path: apps').replace('GitRepository', 'Bucket'), 'a source of kind "Bucket"'],
    ['an ApplicationSet of clusters', set('clusters: {}'), 'a generator: clusters is not understood'],
    [
      'an ApplicationSet of thousands',
      set(`list: {elements: [${Array.from({ length: 1_001 }, (_, i) => `{name: a${i}, dir: apps}`).join(', ')}]}`),
      'more than 1000 Applications',
    ],
    ['an ApplicationSet of files', set('git: {files: [{path: x}]}'), 'the git generator: files'],
    [
      'a template with functions',
      set('list: {elements: [{dir: apps/shop}]}', '{{ .dir | quote }}'),
      'in its template is',
    ],
    [
      'a chart of a HelmRepository',
      release('chart: x, sourceRef: {kind: HelmRepository, name: r}'),
      '"HelmRepository"',
    ],
    ['values in a HelmRelease', release(chart, 'values: {a: 1}'), 'spec: values is not understood'],
    ['values in place of the chart’s', release(`${chart}, valuesFiles: [apps/v.yaml]`), 'own values.yaml'],
    ['a chart by reference', release(chart, 'chartRef: {kind: OCIRepository, name: x}'), 'spec: chartRef'],
  ])('refuses %s by its name and place', (_what, text, says) => {
    const { environments, problems } = found(text);
    expect(environments).toEqual([]);
    expect(problems).toEqual([expect.stringContaining(says)]);
    expect(problems[0]).toMatch(/^gitops.yaml:1 /);
  });
});
