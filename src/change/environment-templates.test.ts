import { isNewEnvironment } from './environment-templates.js';
import { parseSettings, withTemplates } from './environments.js';

const settings = (...environments: string[]) =>
  parseSettings(
    `apiVersion: countersign.dev/v1\nenvironments:\n${environments.map((text) => `  - ${text}\n`).join('')}`,
  );
const files = (...paths: string[]) => paths.map((path) => ({ path, type: 'blob' as const }));
const made = (text: string, ...paths: string[]) =>
  withTemplates(settings(text), files(...paths)).environments.map(({ name, path }) => `${name} ${path}`);

describe('a template', () => {
  it('makes an environment of each folder that fits, however deep its files are, and of no file', () => {
    const tree = ['environments/b/x/y.yaml', 'environments/a/k.yaml', 'environments/README.md', 'other/c/k.yaml'];
    expect(made('{name: "shop/*", path: environments/*/}', ...tree)).toEqual([
      'shop/a environments/a',
      'shop/b environments/b',
    ]);
  });

  it('fills what its stars stand for into everything that depends on them', () => {
    const text =
      '{name: "*-*", path: apps/*/overlays/*, target: "*", namespace: "*-*", labels: {team: "*"}, helm: {chart: "charts/*", values: ["apps/*/*.yaml"]}}';
    const [environment] = withTemplates(settings(text), files('apps/shop/overlays/prod/k.yaml')).environments;
    expect(environment).toMatchObject({
      name: 'shop-prod',
      target: 'shop',
      namespace: 'shop-prod',
      labels: { team: 'shop' },
      helm: { chart: 'charts/shop', values: ['apps/shop/prod.yaml'] },
    });
  });

  it.each([
    ['a name without a star', '{name: shop, path: environments/*}', /:3 .*as many "\*" as the path, which has 1/],
    ['a star in a part of a name', '{name: "a*", path: environments/a*}', /whole name of a folder/],
    ['a star and no folder for it', '{name: a, path: b, namespace: "*"}', /more "\*" than the path, which has 0/],
  ])('refuses %s, with its line', (_what, text, says) => {
    let sentence = '';
    try {
      settings(text);
    } catch (thrown) {
      sentence = (thrown as { sentence: string }).sentence;
    }
    expect(sentence).toMatch(says);
  });

  it('refuses folders that are no names of environments, and two environments of one name', () => {
    const tree = files('environments/my env/k.yaml');
    expect(() => withTemplates(settings('{name: "*", path: environments/*}'), tree)).toThrow(/"my env" is no name/);
    const twice = settings('{name: a, path: other}', '{name: "*", path: environments/*}');
    expect(() => withTemplates(twice, files('environments/a/k'))).toThrow(/is called "a" too/);
    const taken = settings('{name: "*", path: environments/*}');
    expect(() => withTemplates(taken, files('environments/governance/k'))).toThrow(/taken by Countersign/);
  });

  it('leaves a folder to the entry that names it', () => {
    const text = settings('{name: live, path: e/a, namespace: x}', '{name: "*", path: e/*}');
    const { environments } = withTemplates(text, files('e/a/k', 'e/b/k'));
    expect(environments.map(({ name }) => name)).toEqual(['live', 'b']);
  });

  it('tells a file that would make another environment', () => {
    const { templates, environments } = withTemplates(settings('{name: "*", path: e/*}'), files('e/a/k'));
    const isNew = (path: string) => isNewEnvironment(path, templates, environments);
    expect(['e/b/k', 'e/a/more', 'e/k', 'x/b/k'].map(isNew)).toEqual([true, false, false, false]);
  });
});
