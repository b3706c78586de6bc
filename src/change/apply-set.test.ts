import { environmentNamed, manifests } from '../../test/support/approvals.js';
import { applySetIdOf, applySetParent } from './apply-set.js';

const object = (apiVersion: string, kind: string, namespace?: string): object => ({
  apiVersion,
  kind,
  metadata: { name: kind.toLowerCase(), ...(namespace === undefined ? {} : { namespace }) },
});

describe('an ApplySet', () => {
  // kubernetes/kubectl, pkg/cmd/apply/apply_test.go; the same id is the example of Kubernetes' own documentation.
  it('has the id that kubectl computes', () => {
    expect(applySetIdOf({ name: 'my-set', namespace: 'test', kind: 'Secret', group: '' })).toBe('applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1'); // prettier-ignore
  });

  it('has an object that says what is in it', () => {
    const environment = { ...environmentNamed('shop/production', 'shop'), reconcile: { applySet: { parent: 'set' } } };
    const members = manifests([object('apps/v1', 'Deployment', 'shop'), object('v1', 'Service', 'other'), object('v1', 'Namespace'), object('v1', 'Secret', 'edge')]); // prettier-ignore
    expect(applySetParent(environment, members)?.object.metadata).toEqual({
      name: 'set',
      namespace: 'shop',
      labels: { 'applyset.kubernetes.io/id': applySetIdOf({ name: 'set', namespace: 'shop', kind: 'ConfigMap', group: '' }) }, // prettier-ignore
      annotations: {
        'applyset.kubernetes.io/tooling': 'countersign/v1.0.0',
        'applyset.kubernetes.io/contains-group-kinds': 'ConfigMap,Deployment.apps,Namespace,Secret,Service',
        'applyset.kubernetes.io/additional-namespaces': 'edge,other',
      },
    });
  });

  it('has none where nobody asks for it, and for nothing', () => {
    expect(applySetParent(environmentNamed('shop', 'shop'), manifests([object('v1', 'Service')]))).toBeNull();
    expect(applySetParent({ ...environmentNamed('shop', 'shop'), reconcile: { applySet: { parent: 'set' } } }, [])).toBeNull(); // prettier-ignore
  });
});
