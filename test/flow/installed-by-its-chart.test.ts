import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCluster } from '../../src/adapters/kubernetes/cluster.js';
import { identityKey, identityOf, type KubernetesObject } from '../../src/cluster/object.js';
import { loadConfig } from '../../src/config.js';
import { ClusterEvents } from '../../src/report/cluster-events.js';
import type { News } from '../../src/report/news.js';
import { runCli } from '../support/cli.js';
import { clusterWorlds } from '../support/cluster-worlds.js';
import { configMap, deployment, namespace, Person, until, World } from '../support/cluster.js';
import { environmentNamed } from '../support/approvals.js';
import { objectsIn, renderChart } from '../support/chart.js';

const MANIFESTS = 'install/manifests/install.yaml';
const ACCOUNT = 'system:serviceaccount:countersign:countersign';

/** The plural names of what the chart holds. */
const plural = (kind: string): string => (kind.endsWith('y') ? `${kind.slice(0, -1)}ies` : `${kind}s`).toLowerCase();

function pathOf({ apiVersion, kind, metadata }: KubernetesObject): string {
  const api = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const ns = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return `${api}${ns}/${plural(kind)}/${metadata.name}`;
}

describe('what the chart installs', () => {
  const cluster = clusterWorlds('chart');
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'countersign-chart-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const newToken = async (): Promise<string> => {
    const path = '/api/v1/namespaces/countersign/serviceaccounts/countersign/token';
    const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
    return ((await cluster.dana.create(path, request)) as unknown as { status: { token: string } }).status.token;
  };

  it('is, as it comes, the manifests beside it', async () => {
    const text = await renderChart();
    if (process.env['WRITE_DOCS']) await writeFile(MANIFESTS, text);
    expect(await readFile(MANIFESTS, 'utf8')).toBe(text);
  });

  it('passes our own strict rules for what runs', async () => {
    // Outside of Git, so that the files alone are judged.
    const judged = join(folder, 'judged');
    await cp('install/manifests', judged, { recursive: true });
    const { stdout } = await runCli(['check', judged, '--profile', 'strict', '--output', 'json']);
    const { environments } = JSON.parse(stdout) as { environments: { violations: { rule: string }[] }[] };
    // The image's digest is for whoever builds it to say; everything else is as we tell others to have it.
    expect(environments[0].violations.map(({ rule }) => rule)).toEqual(['images.pinned']);
  });

  it('gives a service.yaml that the service takes', async () => {
    for (const file of ['tls.crt', 'tls.key']) await writeFile(join(folder, file), '');
    const token = { name: 'ops', login: 'ops@example.org', role: 'administrator', sha256: 'a'.repeat(64), repositories: ['*'], environments: ['*'], expires: '2027-01-01T00:00:00Z' }; // prettier-ignore
    const config = {
      tls: { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') },
      repositories: [
        { name: 'shop', url: 'https://git.example.org/shop.git', trust: { commit: '1234567890'.repeat(4) } },
      ],
      targets: [{ name: 'prod', kubeconfig: 'in-cluster', grants: [{ repository: 'shop', namespaces: ['shop'] }] }],
      access: { tokens: [token] },
    };
    const [map] = objectsIn(await renderChart({ config })).filter(({ kind }) => kind === 'ConfigMap');
    const file = join(folder, 'service.yaml');
    await writeFile(file, (map['data'] as Record<string, string>)['service.yaml']);
    const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1', COUNTERSIGN_DATABASE: 'postgres://u@db/c' };
    expect(await loadConfig(file, { data: folder, env })).toMatchObject({
      listen: { host: '0.0.0.0', port: 4100 },
      targets: [{ kubeconfig: 'in-cluster' }],
    });
  });

  it('is taken by a real API server as it is, with every part switched on', async () => {
    const everything = {
      config: { gates: [{ name: 'g', status: { kubeconfig: 'in-cluster' } }] },
      service: { admissionPort: 4443 },
      rbac: {
        namespaces: ['chart-shop'],
        clusterKinds: [{ apiGroups: [''], resources: ['namespaces'] }],
        impersonate: [{ namespace: 'chart-other', serviceAccounts: ['deployer'] }],
        peers: true,
        events: true,
        reports: true,
      },
      files: ['shop-ssh'],
      env: { SHOP_PASSWORD: { secret: 'shop', key: 'password' } },
      serviceMonitor: { create: true },
      image: { digest: `sha256:${'a'.repeat(64)}` },
    };
    await cluster.dana.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', serviceMonitors);
    for (const ns of ['chart-shop', 'chart-other']) await cluster.dana.create('/api/v1/namespaces', namespace(ns));
    for (const object of objectsIn(await readFile('install/manifests/namespace.yaml', 'utf8'))) await cluster.dana.apply(pathOf(object), object, 'kubectl'); // prettier-ignore
    const objects = objectsIn(await renderChart(everything));
    await until('the kind is served', () => cluster.dana.get('/apis/monitoring.coreos.com/v1').then((found) => found !== null)); // prettier-ignore
    // Where it writes as somebody else, it still tells what it did in its own name.
    const telling = objects.filter(({ kind }) => kind === 'Role').map((role) => [role.metadata.namespace, JSON.stringify(role['rules'])]); // prettier-ignore
    expect(telling).toEqual([
      ['chart-shop', expect.stringMatching(/"events".*"policyreports"/)],
      ['chart-other', expect.stringMatching(/"impersonate".*"events".*"policyreports"/)],
    ]);
    for (const object of objects) {
      const applied = await cluster.dana.apply(pathOf(object), object, 'helm');
      expect(identityKey(identityOf(applied!))).toBe(identityKey(identityOf(object)));
    }
    // The namespace enforces the restricted profile: what pods would be made of is asked for by name.
    const workload = objects.find(({ kind }) => kind === 'Deployment') as unknown as { spec: { template: { metadata: object; spec: object } } }; // prettier-ignore
    const { metadata, spec } = workload.spec.template;
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, name: 'one', namespace: 'countersign' },
      spec,
    };
    await cluster.dana.create('/api/v1/namespaces/countersign/pods', pod);
    const weak = { ...pod, metadata: { ...pod.metadata, name: 'root' }, spec: { ...spec, securityContext: { runAsNonRoot: false } } }; // prettier-ignore
    await expect(cluster.dana.create('/api/v1/namespaces/countersign/pods', weak)).rejects.toThrow('restricted');
    await cluster.dana.delete('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/countersign-write');
  });

  describe('with the rights that it gives, and no others', () => {
    let world: World;
    let tokenFile: string;
    let self: Person;
    const ns = 'chart-own';

    beforeAll(async () => {
      await cluster.dana.create('/api/v1/namespaces', namespace(ns));
      for (const object of objectsIn(await renderChart({ rbac: { namespaces: [ns], events: true } }))) {
        if (/Role|ServiceAccount/.test(object.kind)) await cluster.dana.apply(pathOf(object), object, 'helm');
      }
      tokenFile = join(folder, 'token');
      await writeFile(tokenFile, await newToken());
      const kubeconfig = join(folder, 'kubeconfig');
      const own = JSON.parse(await readFile(cluster.plane.kubeconfig('admin'), 'utf8')) as {
        users: { user: object }[];
      };
      own.users = [{ ...own.users[0], user: { tokenFile } }];
      await writeFile(kubeconfig, JSON.stringify(own));
      world = await World.open(cluster.plane, 'chart', { kubeconfig });
      self = new Person(cluster.plane, 'admin', { user: ACCOUNT, group: 'system:serviceaccounts' });
    }, 60_000);
    afterAll(async () => {
      await world?.close();
      await self?.close();
    });

    const may = async (verb: string, group: string, resource: string, where = ''): Promise<boolean> => {
      const spec = { resourceAttributes: { verb, group, resource: resource.split('/')[0], subresource: resource.split('/')[1] ?? '', namespace: where } }; // prettier-ignore
      const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec };
      const answer = await self.create('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', review);
      return (answer as unknown as { status: { allowed: boolean } }).status.allowed;
    };
    const begin = async (head: string, objects: readonly object[]) => {
      const environment = environmentNamed('chart', ns);
      world.reconciler.approve(await cluster.decisions.approved(environment, head.repeat(40), objects));
      await world.reconciler.settled();
      expect(world.reconciler.state.trouble).toBeNull();
    };

    it('applies, watches, corrects and prunes where it may, also after its token was renewed', async () => {
      const map = `/api/v1/namespaces/${ns}/configmaps/map`;
      await begin('a', [configMap(ns, 'map', { a: '1' }), configMap(ns, 'gone', {}), deployment(ns, 'cart', 'cart:1')]);
      await cluster.dana.edit(map, { data: { a: '2' } });
      await until('it is corrected', async () => ((await cluster.dana.must(map)) as unknown as { data: { a: string } }).data.a === '1'); // prettier-ignore
      await writeFile(tokenFile, await newToken());
      await begin('b', [configMap(ns, 'map', { a: '3' }), deployment(ns, 'cart', 'cart:2')]);
      expect(await cluster.dana.get(`/api/v1/namespaces/${ns}/configmaps/gone`)).toBeNull();
      expect(cluster.writes(ns, ACCOUNT).every(({ responseStatus }) => (responseStatus?.code ?? 0) < 300)).toBe(true);
    });

    it('tells what it did as an event of the namespace', async () => {
      const one = await openCluster({ name: 'prod', kubeconfig: join(folder, 'kubeconfig') });
      const troubles: string[] = [];
      const events = new ClusterEvents({
        cluster: one,
        origin: 'log.example.org/chart',
        namespaceOf: () => Promise.resolve(ns),
        onTrouble: ({ message }) => void troubles.push(message),
      });
      const applied: News = { type: 'run.finished', index: 7, id: '7', repository: 'shop', environment: 'chart', outcome: 'succeeded', time: '2026-11-21T10:00:00.000Z', data: { head: 'a'.repeat(40), planned: 2 } }; // prettier-ignore
      try {
        await events.tell(applied);
        await events.tell({ ...applied, index: 9, id: '9' });
      } finally {
        await one.close();
      }
      expect(troubles).toEqual([]);
      const found = (await cluster.dana.must(`/apis/events.k8s.io/v1/namespaces/${ns}/events`)) as unknown as { items: { reason: string; series?: { count: number }; reportingController: string }[] }; // prettier-ignore
      const told = found.items.filter(({ reason }) => reason === 'Applied');
      expect(told).toMatchObject([{ reason: 'Applied', series: { count: 2 } }]);
    });

    it('is refused elsewhere, and says which right is missing', async () => {
      const one = await openCluster({ name: 'prod', kubeconfig: join(folder, 'kubeconfig') });
      try {
        const elsewhere = configMap('default', 'evil', {}) as KubernetesObject;
        await expect(one.apply(elsewhere)).rejects.toMatchObject({ code: 'cluster-refused', message: expect.stringContaining(`User "${ACCOUNT}" cannot patch`) as string }); // prettier-ignore
      } finally {
        await one.close();
      }
    });

    it('has exactly these', async () => {
      const allowed = [
        ['list', 'apps', 'deployments'],
        ['watch', '', 'configmaps'],
        ['create', 'apps', 'deployments', ns],
        ['patch', '', 'configmaps', ns],
        ['delete', 'batch', 'jobs', ns],
        ['create', 'events.k8s.io', 'events', ns],
        ['patch', 'events.k8s.io', 'events', ns],
      ] as const;
      const refused = [
        ['get', '', 'secrets', ns],
        ['list', '', 'secrets'],
        ['list', '', 'nodes'],
        ['create', 'apps', 'deployments', 'default'],
        ['create', 'apps', 'deployments', 'kube-system'],
        ['patch', '', 'configmaps', 'countersign'],
        ['update', '', 'configmaps', ns],
        ['delete', 'events.k8s.io', 'events', ns],
        ['create', 'events.k8s.io', 'events', 'default'],
        ['deletecollection', '', 'configmaps', ns],
        ['create', '', 'pods', ns],
        ['create', '', 'pods/exec', ns],
        ['get', '', 'pods/log', ns],
        ['patch', 'apps', 'deployments/scale', ns],
        ['create', '', 'serviceaccounts/token', ns],
        ['create', '', 'namespaces'],
        ['delete', '', 'namespaces', ns],
        ['create', 'rbac.authorization.k8s.io', 'roles', ns],
        ['create', 'rbac.authorization.k8s.io', 'rolebindings', ns],
        ['escalate', 'rbac.authorization.k8s.io', 'clusterroles'],
        ['bind', 'rbac.authorization.k8s.io', 'clusterroles'],
        ['impersonate', '', 'users'],
        ['impersonate', '', 'serviceaccounts', ns],
        ['create', 'apiextensions.k8s.io', 'customresourcedefinitions'],
        ['create', 'admissionregistration.k8s.io', 'validatingwebhookconfigurations'],
        ['list', 'argoproj.io', 'applications'],
        ['*', '*', '*'],
      ] as const;
      for (const right of allowed) expect([...right, await may(right[0], right[1], right[2], right[3])]).toEqual([...right, true]); // prettier-ignore
      for (const right of refused) expect([...right, await may(right[0], right[1], right[2], right[3])]).toEqual([...right, false]); // prettier-ignore
    });
  });
});

const serviceMonitors = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'servicemonitors.monitoring.coreos.com' },
  spec: {
    group: 'monitoring.coreos.com',
    scope: 'Namespaced',
    names: { kind: 'ServiceMonitor', plural: 'servicemonitors', singular: 'servicemonitor' },
    versions: [
      { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }, // prettier-ignore
    ],
  },
};
