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
    const repository = 'apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: r}\nspec: {url: "https://x", ref: {branch: live}}\n'; // prettier-ignore
    expect(found(`${flux('path: ./clusters/prod')}---\n${repository}`).environments).toEqual([
      { name: 'prod', path: 'clusters/prod', ref: 'refs/heads/live' },
    ]);
  });

  it.each([
    ['several sources', application('path: apps').replace('  source:', '  sources: []\n  source:'), 'spec.sources'],
    ['values written in it', application('path: apps, helm: {parameters: []}'), 'spec.source.helm: parameters'],
    ['a chart of a Helm repository', application('chart: redis'), 'spec.source: chart'],
    ['a plugin', application('path: apps, plugin: {name: x}'), 'spec.source: plugin'],
    ['a fixed commit', application('path: apps, targetRevision: 0123456789abcdef'), 'is no branch'],
    ['a path that is not here', application('path: gone'), 'its path gone is no folder'],
    ['a path outside', application('path: ../x'), 'spec.source.path is no path in this repository'],
    ['substitution', flux('postBuild: {substitute: {a: b}}'), 'spec: postBuild is not understood'],
    ['decryption', flux('decryption: {provider: sops}'), 'spec: decryption is not understood'],
    ['a bucket', flux('path: apps').replace('GitRepository', 'Bucket'), 'a source of kind "Bucket"'],
    [
      'an ApplicationSet',
      application('path: apps').replace('kind: Application\n', 'kind: ApplicationSet\n'),
      'ApplicationSet is not',
    ],
    [
      'a HelmRelease',
      'apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: h}\n',
      'HelmRelease is not',
    ],
  ])('refuses %s by its name and place', (_what, text, says) => {
    const { environments, problems } = found(text);
    expect(environments).toEqual([]);
    expect(problems).toEqual([expect.stringContaining(says)]);
    expect(problems[0]).toMatch(/^gitops.yaml:1 /);
  });
});
