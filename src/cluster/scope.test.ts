import { readManifest } from './manifest.js';
import { inNamespace, scopeOf } from './scope.js';

const object = (apiVersion: string, kind: string, namespace = '') =>
  readManifest('a.yaml', Buffer.from(JSON.stringify({ apiVersion, kind, metadata: { name: 'x', namespace } })))
    .objects[0];

describe('scopeOf', () => {
  it('knows kinds of Kubernetes by group, and no others', () => {
    expect([
      scopeOf('', 'Namespace'),
      scopeOf('apps', 'Deployment'),
      scopeOf('', 'Deployment'),
      scopeOf('x.io', 'Foo'),
    ]).toEqual(['cluster', 'namespaced', 'unknown', 'unknown']);
  });
});

describe('inNamespace', () => {
  it('gives the default to objects that name none, and leaves others alone', () => {
    expect(inNamespace(object('v1', 'Pod'), 'shop')).toMatchObject({
      identity: { namespace: 'shop' },
      object: { metadata: { namespace: 'shop' } },
    });
    expect(inNamespace(object('v1', 'Pod', 'other'), 'shop').identity.namespace).toBe('other');
    expect(inNamespace(object('x.io/v1', 'Foo'), null).identity.namespace).toBe('');
  });

  it('when a cluster-scoped object names a namespace, drops it: it would have two identities', () => {
    const moved = inNamespace(object('rbac.authorization.k8s.io/v1', 'ClusterRole', 'a'), 'shop');
    expect(moved.identity.namespace).toBe('');
    expect(moved.object.metadata).not.toHaveProperty('namespace');
  });

  it('when a namespaced kind has no namespace at all, refuses it with place and remedy', () => {
    expect(() => inNamespace(object('apps/v1', 'Deployment'), null)).toThrow(
      expect.objectContaining({
        code: 'namespace-missing',
        place: { file: 'a.yaml', line: 1 },
        remedy: expect.stringContaining('countersign.yaml') as string,
      }),
    );
  });
});
