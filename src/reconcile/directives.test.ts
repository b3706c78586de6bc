import { identityOf, type KubernetesObject } from '../cluster/object.js';
import { directivesOf } from './directives.js';
import { stagesOf } from './stages.js';

const ARGO = 'argocd.argoproj.io';
const FLUX = 'kustomize.toolkit.fluxcd.io';

function ask(annotations: Record<string, string>, name = 'one', kind = 'ConfigMap') {
  const object = { apiVersion: 'v1', kind, metadata: { name, namespace: 'shop', annotations } } as KubernetesObject;
  const identity = identityOf(object);
  return { identity, directives: directivesOf({ identity, object, source: { path: 'a.yaml', line: 3 } }) };
}

const directives = (annotations: Record<string, string>) => ask(annotations).directives;

describe('what a manifest asks of its reconciliation', () => {
  it('is nothing in particular where it says nothing', () => {
    expect(directives({})).toEqual({
      wave: 0,
      hook: null,
      removal: { prune: 'yes', last: false, wave: 0 },
      recreate: false,
      apply: 'override',
      dependsOn: [],
      mayBeUnknown: false,
    });
  });

  it.each([
    [{ [`${ARGO}/sync-wave`]: '-5' }, { wave: -5 }],
    [
      { [`${ARGO}/hook`]: 'PreSync, PostSync' },
      { hook: { phases: ['PreSync', 'PostSync'], deletion: ['BeforeHookCreation'] } },
    ],
    [
      { [`${ARGO}/hook`]: 'Sync', [`${ARGO}/hook-delete-policy`]: 'HookSucceeded,HookFailed' },
      { hook: { phases: ['Sync'], deletion: ['HookSucceeded', 'HookFailed'] } },
    ],
    [{ [`${ARGO}/hook`]: 'PostDelete' }, { hook: { phases: ['Skip'] } }],
    [
      { 'helm.sh/hook': 'pre-install,pre-upgrade', 'helm.sh/hook-weight': '2' },
      { wave: 2, hook: { phases: ['PreSync'] } },
    ],
    [{ 'helm.sh/hook': 'test' }, { hook: { phases: ['Skip'] } }],
    [{ 'helm.sh/hook': 'crd-install' }, { hook: null }],
    [
      { 'helm.sh/hook': 'post-install', 'helm.sh/hook-delete-policy': 'hook-succeeded' },
      { hook: { phases: ['PostSync'], deletion: ['HookSucceeded'] } },
    ],
    [{ [`${ARGO}/sync-options`]: 'Prune=false' }, { removal: { prune: 'no' } }],
    [{ [`${ARGO}/sync-options`]: 'Prune=confirm,PruneLast=true' }, { removal: { prune: 'confirm', last: true } }],
    [{ [`${ARGO}/sync-options`]: 'Replace=true, Force=true' }, { recreate: true }],
    [{ [`${ARGO}/sync-options`]: 'SkipDryRunOnMissingResource=true' }, { mayBeUnknown: true }],
    [{ [`${FLUX}/prune`]: 'Disabled' }, { removal: { prune: 'no' } }],
    [{ [`${FLUX}/reconcile`]: 'disabled' }, { apply: 'ignore', removal: { prune: 'no' } }],
    [{ [`${FLUX}/ssa`]: 'Merge' }, { apply: 'merge' }],
    [{ [`${FLUX}/ssa`]: 'IfNotPresent' }, { apply: 'ifNotPresent' }],
    [{ [`${FLUX}/ssa`]: 'Ignore' }, { apply: 'ignore' }],
    [{ [`${FLUX}/force`]: 'Enabled' }, { recreate: true }],
    [{ 'cli-utils.sigs.k8s.io/on-remove': 'keep' }, { removal: { prune: 'no' } }],
    [{ 'client.lifecycle.config.k8s.io/deletion': 'detach' }, { removal: { prune: 'no' } }],
    [{ 'client.lifecycle.config.k8s.io/mutation': 'ignore' }, { apply: 'ifNotPresent' }],
    [
      { 'config.kubernetes.io/depends-on': 'apps/namespaces/shop/Deployment/cart, /Namespace/shop' },
      { dependsOn: ['apps/Deployment/shop/cart', '/Namespace//shop'] },
    ],
  ])('%j', (annotations, expected) => {
    expect(directives(annotations)).toMatchObject(expected);
  });

  it.each([
    [`${ARGO}/sync-options`, 'ServerSideApply=false'],
    [`${ARGO}/sync-wave`, '1.5'],
    [`${ARGO}/hook`, 'presync'],
    [`${FLUX}/prune`, 'maybe'],
    ['config.kubernetes.io/depends-on', 'Deployment/cart'],
  ])('refuses %s: %s with its place', (name, value) => {
    expect(() => directives({ [name]: value })).toThrow(
      expect.objectContaining({
        code: 'object-invalid',
        message: expect.stringContaining(name) as string,
        place: { file: 'a.yaml', line: 3 },
      }) as Error,
    );
  });
});

/** Of an object that depends on these. */
const after = (...names: string[]) => ({
  'config.kubernetes.io/depends-on': names.map((name) => `/namespaces/shop/ConfigMap/${name}`).join(','),
});

describe('the order of objects', () => {
  const order = (...items: ReturnType<typeof ask>[]) =>
    stagesOf(items).map(({ batches }) => batches.map((batch) => batch.map(({ identity }) => identity.name).join(' ')));

  it('is by wave, then by what depends on what, then by kind', () => {
    expect(
      order(
        ask({ [`${ARGO}/sync-wave`]: '2' }, 'late'),
        ask(after('b', 'a'), 'c'),
        ask(after('a'), 'b'),
        ask({}, 'a'),
        ask({}, 'account', 'ServiceAccount'),
        ask({ [`${ARGO}/sync-wave`]: '-1' }, 'early'),
      ),
    ).toEqual([['early'], ['account', 'a'], ['b'], ['c'], ['late']]);
  });

  it.each([
    ['a circle', [ask(after('b'), 'a'), ask(after('c'), 'b'), ask(after('a'), 'c')], /depends on itself, by way of/],
    ['a stranger', [ask(after('b'), 'a')], /depends on .*b, which this environment does not have/],
    ['a later wave', [ask(after('b'), 'a'), ask({ [`${ARGO}/sync-wave`]: '1' }, 'b')], /is of a later wave/],
  ])('refuses %s', (_, items, message) => {
    expect(() => stagesOf(items)).toThrow(message);
  });
});
