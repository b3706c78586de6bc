import { identityOf, type KubernetesObject, type ManifestObject } from '../cluster/object.js';
import { type Grant, outsideGrants } from './grant.js';

const object = (apiVersion: string, kind: string, name: string, namespace?: string): ManifestObject => {
  const written: KubernetesObject = { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}) } };
  return { identity: identityOf(written), object: written, source: { path: 'a.yaml', line: 3 } };
};
const grant = (namespaces: string[], kinds: string[] = ['*'], repository = 'shop'): Grant => ({
  repository,
  namespaces,
  kinds,
});
const refused = (grants: Grant[], ...objects: ManifestObject[]): string[] =>
  outsideGrants('shop', 'prod', grants, objects).map((error) => error.message);

describe('grants', () => {
  const cart = object('apps/v1', 'Deployment', 'cart', 'shop');
  const admin = object('rbac.authorization.k8s.io/v1', 'ClusterRoleBinding', 'admin');

  it('cover a granted namespace and the namespace itself', () => {
    expect(refused([grant(['shop'])], cart, object('v1', 'Namespace', 'shop'))).toEqual([]);
  });

  it('refuse another namespace, with place and remedy', () => {
    const [error] = outsideGrants('shop', 'prod', [grant(['other'])], [cart]);
    expect(error.code).toBe('environment-not-granted');
    expect(error.sentence).toBe(
      "a.yaml:3  Deployment shop/cart is outside what shop may write on prod. Grant namespace shop and kind Deployment under targets: in the service's configuration, or remove the object",
    );
  });

  it('never cover cluster-scoped objects by a namespace and `*`', () => {
    expect(refused([grant(['shop'])], admin, object('v1', 'Namespace', 'kube-system'))).toHaveLength(2);
  });

  it('cover cluster-scoped objects whose kind is named', () => {
    expect(refused([grant(['shop'], ['ClusterRoleBinding'])], admin)).toEqual([]);
    expect(refused([grant(['shop'], ['rbac.authorization.k8s.io/ClusterRoleBinding'])], admin)).toEqual([]);
  });

  it('of one repository say nothing about another', () => {
    expect(refused([grant(['*'], ['*'], 'other')], cart)).toHaveLength(1);
  });

  it('tell a kind of one group from its namesake of another', () => {
    const fake = object('example.org/v1', 'Deployment', 'cart', 'shop');
    expect(refused([grant(['shop'], ['apps/Deployment'])], cart, fake)).toHaveLength(1);
  });
});
