import { identityOf, type KubernetesObject } from '../cluster/object.js';
import type { LiveObject } from '../reconcile/cluster.js';
import { compare } from '../reconcile/drift.js';
import { formatPath } from '../reconcile/managed-fields.js';
import { blame, sinceWhen, type FieldOrigin } from './blame.js';
import { isKind } from './blame-question.js';
import { blameText, type BlameLine } from './blame-text.js';

const cart = (replicas: number, image: string): KubernetesObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'cart', namespace: 'shop' },
  spec: { replicas, template: { spec: { containers: [{ name: 'cart', image, ports: [{ containerPort: 80 }] }] } } },
});

const container = { 'f:image': {}, 'f:name': {}, 'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } } }; // prettier-ignore
const entry = (manager: string, operation: string, fieldsV1: object, more: object = {}): object => ({
  manager,
  operation,
  time: '2026-11-21T00:00:00Z',
  fieldsType: 'FieldsV1',
  fieldsV1,
  ...more,
});

function live(): LiveObject {
  const { metadata, ...rest } = structuredClone(cart(5, 'cart:2')) as unknown as {
    metadata: object;
    spec: { template: { spec: { containers: Record<string, unknown>[]; dnsPolicy?: string } } };
  };
  rest.spec.template.spec.dnsPolicy = 'ClusterFirst';
  rest.spec.template.spec.containers[0]['ports'] = [{ containerPort: 80, protocol: 'TCP' }];
  const inner = { 'f:template': { 'f:spec': { 'f:containers': { 'k:{"name":"cart"}': container } } } };
  return {
    ...rest,
    status: { replicas: 5 },
    metadata: {
      ...metadata,
      uid: 'u',
      resourceVersion: '9',
      labels: { team: 'a' },
      annotations: { 'countersign.dev/commit': 'c' },
      managedFields: [
        entry('countersign', 'Apply', { 'f:metadata': { 'f:annotations': {} }, 'f:spec': inner }),
        entry('kubectl-edit', 'Update', { 'f:spec': { 'f:replicas': {} }, 'f:metadata': { 'f:labels': { 'f:team': {} } } }), // prettier-ignore
        entry('kube-controller-manager', 'Update', { 'f:status': { 'f:replicas': {} } }, { subresource: 'status' }),
      ],
    },
  } as unknown as LiveObject;
}

const kindOf = (kind: string, group = '') => ({ kind, group });

const line = (path: string, more: Partial<BlameLine> = {}): BlameLine => ({
  path,
  value: 1,
  by: 'git',
  differs: false,
  commitId: '1'.repeat(40),
  isExact: true,
  commit: {
    author: { name: 'Bo', email: 'bo@example.org' },
    signature: { principal: null, status: 'none', key: null },
  },
  operation: 'push',
  decision: { approvals: [] },
  decisionIndex: 4,
  appliedAt: null,
  attribution: null,
  drift: null,
  ...more,
});

describe('blame', () => {
  it('finds for each field the change since which it has its value, or whoever else wrote it', () => {
    const object = live();
    const versions = [cart(3, 'cart:2'), cart(2, 'cart:2'), null, cart(3, 'cart:2'), cart(3, 'cart:1')];
    const sent = versions[0]!;
    const { differences } = compare(sent, object);
    const fields = blame({ live: object, shown: object, sent, differences, versions });
    const of = (path: string): FieldOrigin | undefined =>
      fields.find((field) => formatPath(field.path) === path)?.origin;
    expect(of('spec.replicas')).toMatchObject({
      by: 'outside',
      differs: true,
      attribution: { manager: 'kubectl-edit' },
    });
    expect(of('metadata.labels.team')).toMatchObject({ by: 'outside', differs: true });
    // It was deleted in between: what made it again is what it is from.
    expect(of('spec.template.spec.containers[name=cart].image')).toEqual({ by: 'git', version: 1 });
    expect(of('spec.template.spec.containers[name=cart].ports[containerPort=80,protocol=TCP].containerPort')).toEqual({
      by: 'git',
      version: 1,
    });
    expect(of('spec.template.spec.containers[name=cart].ports[containerPort=80,protocol=TCP].protocol')).toEqual({ by: 'server' }); // prettier-ignore
    expect(of('spec.template.spec.dnsPolicy')).toEqual({ by: 'server' });
    expect(of('metadata.annotations["countersign.dev/commit"]')).toEqual({ by: 'countersign' });
    expect(of('status.replicas')).toMatchObject({ by: 'outside', differs: false, attribution: { subresource: 'status' } }); // prettier-ignore
    expect(fields.map(({ path }) => formatPath(path)).filter((path) => /uid|managedFields|resourceVersion/.test(path))).toEqual([]); // prettier-ignore
    expect(sinceWhen(['spec', 'replicas'], versions)).toBe(0);
    expect(sinceWhen(['spec', 'paused'], versions)).toBeNull();
  });

  it('tells what was taken away', () => {
    const object = live();
    const { replicas: _gone, ...spec } = object['spec'] as Record<string, never>;
    const without = { ...object, spec } as LiveObject;
    const sent = cart(3, 'cart:2');
    const fields = blame({ live: without, shown: without, sent, differences: compare(sent, without).differences, versions: [sent] }); // prettier-ignore
    expect(fields.at(-1)).toMatchObject({ path: ['spec', 'replicas'], value: undefined, origin: { by: 'outside' } });
  });

  it('takes kinds by the words that kubectl takes', () => {
    for (const word of ['deploy', 'deployment', 'Deployments', 'deployments.apps']) expect(isKind(word, kindOf('Deployment', 'apps'))).toBe(true); // prettier-ignore
    expect(isKind('ingresses', kindOf('Ingress', 'networking.k8s.io'))).toBe(true);
    expect(isKind('networkpolicies.networking.k8s.io', kindOf('NetworkPolicy', 'networking.k8s.io'))).toBe(true);
    expect(isKind('deployment.other', kindOf('Deployment', 'apps'))).toBe(false);
    expect(isKind('svc', kindOf('ServiceAccount'))).toBe(false);
  });

  it('is told with the common origin last, each line once', () => {
    const evidence = { strength: 'hint', source: 'managedFields', manager: 'robot', time: null };
    const text = blameText({
      object: { object: identityOf(cart(1, 'x')), repository: 'shop', environment: 'prod', health: 'healthy' },
      isThere: true,
      fields: [
        line('spec.a'),
        line('spec.b'),
        line('spec.c', { commitId: '2'.repeat(40), decisionIndex: 7, operation: 'rollback', isExact: false }),
        line('spec.d', { by: 'outside', differs: true, attribution: evidence, drift: { index: 9, supplements: [] } }),
        line('status.x', { by: 'outside', attribution: evidence }),
        line('spec.e', { by: 'server' }),
      ],
      drift: [],
    });
    expect(text).toEqual([
      'Deployment shop/cart   shop prod   healthy',
      '',
      'spec.d                         1   outside Git: robot (managed fields: hint), entry 9',
      'spec.c                         1   2222222 or older Bo <bo@example.org> (not signed)  rollback  decision 7',
      'status.x (1 field)             robot (managed fields: hint)',
      'everything else that Git has   1111111 Bo <bo@example.org> (not signed)  decision 4',
      'defaults (1 field)             the API server',
    ]);
  });
});
