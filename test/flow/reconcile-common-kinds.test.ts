import { findOrphans } from '../../src/reconcile/orphans.js';
import { startControlPlane, type ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { configMap, deployment, namespace, Person, until, World } from '../support/cluster.js';
import { DecisionLog, environmentNamed, writesIn } from '../support/approvals.js';

/** Written as people write them: short forms, numbers for quantities, defaults left out. */
function commonKinds(ns: string): object[] {
  const meta = (name: string) => ({ name, namespace: ns, labels: { app: 'cart' } });
  const rbac = 'rbac.authorization.k8s.io';
  const pod = {
    metadata: { labels: { app: 'cart' } },
    spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'a:1', command: ['a'] }] },
  };
  return [
    namespace(ns),
    deployment(ns, 'cart', 'cart:1'),
    configMap(ns, 'settings', { a: '1' }),
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: meta('login'),
      type: 'Opaque',
      stringData: { password: 'x' },
      data: { user: 'YQ==' },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta('robot'), automountServiceAccountToken: false },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta('cart'),
      spec: {
        selector: { app: 'cart' },
        ports: [
          { name: 'http', port: 80 },
          { name: 'm', port: 9090, targetPort: 'metrics' },
        ],
      },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: meta('disk'),
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1024Mi' } } },
    },
    { apiVersion: 'v1', kind: 'ResourceQuota', metadata: meta('quota'), spec: { hard: { cpu: '4000m', pods: 10 } } },
    {
      apiVersion: 'v1',
      kind: 'LimitRange',
      metadata: meta('limits'),
      spec: { limits: [{ type: 'Container', default: { cpu: 0.5 }, defaultRequest: { cpu: 0.1 } }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: meta('queue'),
      spec: {
        serviceName: 'queue',
        selector: { matchLabels: { app: 'queue' } },
        template: {
          metadata: { labels: { app: 'queue' } },
          spec: { containers: [{ name: 'q', image: 'q:1', volumeMounts: [{ name: 'd', mountPath: '/d' }] }] },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: 'd' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
          },
        ],
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: meta('agent'),
      spec: {
        selector: { matchLabels: { app: 'agent' } },
        template: {
          metadata: { labels: { app: 'agent' } },
          spec: { tolerations: [{ operator: 'Exists' }], containers: [{ name: 'a', image: 'a:1' }] },
        },
      },
    },
    { apiVersion: 'batch/v1', kind: 'Job', metadata: meta('once'), spec: { template: { ...pod, metadata: {} } } },
    {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: meta('nightly'),
      spec: { schedule: '0 3 * * *', jobTemplate: { spec: { template: pod } } },
    },
    {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: meta('queue'),
      spec: {
        maxReplicas: 3,
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'queue' },
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
        ],
      },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: meta('cart'),
      spec: { minAvailable: '50%', selector: { matchLabels: { app: 'cart' } } },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: meta('default'),
      spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 80 }] }] },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: meta('cart'),
      spec: {
        rules: [
          {
            host: 'x.example.org',
            http: {
              paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'cart', port: { number: 80 } } } }],
            },
          },
        ],
      },
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'Role',
      metadata: meta('reader'),
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: meta('reader'),
      roleRef: { apiGroup: rbac, kind: 'Role', name: 'reader' },
      subjects: [
        { kind: 'ServiceAccount', name: 'robot' },
        { kind: 'User', name: 'ann' },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name: `all-${ns}` },
      aggregationRule: {
        clusterRoleSelectors: [{ matchLabels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } }],
      },
      rules: [],
    },
    { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: `high-${ns}` }, value: 1000 },
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: `fast-${ns}` },
      provisioner: 'example.org/none',
    },
  ];
}

const isCart = (object: object): boolean => 'kind' in object && object.kind === 'Deployment';

describe('the common kinds, with their controllers at work', () => {
  let plane: ControlPlane;
  let dana: Person;
  const decisions = new DecisionLog();
  const ns = 'common';

  beforeAll(async () => {
    plane = await startControlPlane({ controllers: true });
    dana = new Person(plane, 'dana');
  }, 120_000);

  afterAll(async () => {
    await dana?.close();
    await plane?.stop();
  });

  it('are applied once and then left alone: what controllers and defaults do is no drift, also after a restart', async () => {
    const environment = environmentNamed(ns, ns);
    const world = await World.open(plane, ns);
    world.reconciler.approve(await decisions.approved(environment, 'a'.repeat(40), commonKinds(ns)));
    await world.reconciler.settled();
    expect(world.reconciler.state.trouble?.sentence).toBeUndefined();
    await until('the controllers have worked', async () => {
      const live = await dana.must(`/apis/apps/v1/namespaces/${ns}/deployments/cart`);
      return (
        (live['status'] as { replicas?: number }).replicas === 2 &&
        'deployment.kubernetes.io/revision' in (live.metadata['annotations'] as object)
      );
    });
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await world.reconciler.settled();
    expect(world.log.drifts).toEqual([]);
    expect(world.log.runs).toHaveLength(1);
    const inventory = world.log.runs[0].end!.inventory;
    await world.close();

    const after = writesIn(plane.auditLog, 'countersign').length;
    const again = await World.open(plane, ns, { inventory: inventory.values() });
    again.reconciler.approve(await decisions.approved(environment, 'b'.repeat(40), commonKinds(ns)));
    await again.reconciler.settled();
    expect(again.reconciler.state.trouble?.sentence).toBeUndefined();
    expect(again.log.drifts).toEqual([]);
    expect(again.log.runs).toEqual([]);
    expect(writesIn(plane.auditLog, 'countersign').length - after).toBe(0);
    expect(again.reconciler.state.status).toBe('progressing'); // nothing schedules pods here

    // Nothing of that is an orphan, nor what Kubernetes puts there itself; what somebody else puts there is.
    const orphans = async (): Promise<string[]> => {
      const found = await findOrphans(again.informers.cluster, new Set([ns]), new Set(inventory.keys()));
      expect(found.notRead).toEqual([]);
      return found.orphans.map(({ identity, manager }) => `${identity.kind} ${identity.name} ${manager}`);
    };
    expect(await orphans()).toEqual([]);
    await dana.create(`/api/v1/namespaces/${ns}/secrets`, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'stray', namespace: ns },
      stringData: { password: 'hunter2' },
    });
    expect(await orphans()).toEqual(['Secret stray kubectl-create']);
    expect(await dana.get(`/api/v1/namespaces/${ns}/secrets/stray`)).not.toBeNull();
    await dana.delete(`/api/v1/namespaces/${ns}/secrets/stray`);

    // While a rollout keeps moving the status, new versions still go in at the first try.
    const versions = 8;
    for (let i = 2; i < 2 + versions; i++) {
      const changed = commonKinds(ns).map((object) => (isCart(object) ? deployment(ns, 'cart', `cart:${i}`) : object));
      again.reconciler.approve(await decisions.approved(environment, String(i).repeat(40), changed));
      await again.reconciler.settled();
      expect(again.reconciler.state.trouble?.sentence).toBeUndefined();
    }
    expect(again.log.runs.map(({ end }) => end?.outcome)).toEqual(Array.from({ length: versions }, () => 'succeeded'));
    expect(again.log.drifts).toEqual([]);

    // A deleted namespace takes everything with it, and everything comes back when it is gone.
    const before = (await dana.must(`/api/v1/namespaces/${ns}/configmaps/settings`)).metadata.uid;
    await dana.delete(`/api/v1/namespaces/${ns}`);
    await until(
      'everything is back',
      async () => {
        const back = await dana.get(`/api/v1/namespaces/${ns}/configmaps/settings`);
        return back !== null && back.metadata.uid !== before && again.reconciler.state.trouble === null;
      },
      40_000,
    );
    await again.reconciler.settled();
    expect(again.log.drifts.some(({ type, identity }) => type === 'deleted' && identity.kind === 'Namespace')).toBe(
      true,
    );

    // Going away, they all go.
    again.reconciler.approve(await decisions.approved(environment, 'c'.repeat(40), [namespace(ns)], ['approval-1']));
    await again.reconciler.settled();
    expect(again.reconciler.state.trouble?.sentence).toBeUndefined();
    await until(
      'everything else is gone',
      async () => (await dana.get(`/apis/apps/v1/namespaces/${ns}/deployments/cart`)) === null,
    );
    // What waits for its finalizers is governed until it is gone.
    await until('nothing else is governed', () => again.reconciler.objects().length === 1);
    expect(again.reconciler.objects()[0].entry.identity).toMatchObject({ kind: 'Namespace', name: ns });
    await again.close();
  }, 120_000);
});
