import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { json } from 'node:stream/consumers';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCluster } from '../../src/adapters/kubernetes/cluster.js';
import { readKubeconfig, readServiceAccount } from '../../src/adapters/kubernetes/kubeconfig.js';
import { ApiTransport } from '../../src/adapters/kubernetes/transport.js';
import { CountersignError } from '../../src/errors.js';
import { ApprovedChange } from '../../src/reconcile/gate.js';
import { reconcile } from '../../src/reconcile/run.js';
import { ownCertificate } from '../support/certificate.js';
import { configMap, deployment, namespace, until } from '../support/cluster.js';
import { clusterWorlds } from '../support/cluster-worlds.js';
import { environmentNamed, redactor, RunRecorder } from '../support/approvals.js';

const pathOf = (ns: string, name: string) => `/api/v1/namespaces/${ns}/configmaps/${name}`;

describe('what must not be written is not written', () => {
  const cluster = clusterWorlds('refuse');
  const { open } = cluster;

  const approve = (ns: string, head: string, objects: readonly object[]) =>
    cluster.decisions.approved(environmentNamed(ns, ns), head.repeat(40), objects);

  const writes = (user = 'countersign') => cluster.writes(undefined, user).length;

  it('refuses a change that was cast around the gate (invariant 1)', async () => {
    const { world, ns } = await open();
    const honest = await approve(ns, 'a', [namespace(ns)]);
    const forged = [
      Object.assign({}, honest, { objects: honest.objects }),
      Object.create(ApprovedChange.prototype),
      Object.create(honest),
      Object.assign(Object.create(ApprovedChange.prototype) as object, honest),
      new Proxy(honest, {}),
      JSON.parse(JSON.stringify(honest)),
    ] as ApprovedChange[];
    const start = writes();
    const parts = {
      cluster: world.informers.cluster,
      log: new RunRecorder(),
      redactor,
      mayWrite: () => {},
      now: () => new Date(),
    };
    const situation = { inventory: new Map(), live: new Map(), expected: new Map() };
    for (const change of forged) {
      expect(() => world.reconciler.approve(change)).toThrow(
        expect.objectContaining({ code: 'not-approved' }) as Error,
      );
      await expect(
        reconcile(change, { reason: 'deploy', epoch: 1, situation, drifts: [] }, parts),
      ).rejects.toMatchObject({
        code: 'not-approved',
      });
    }
    // Nor can an honest one be made to hold something else.
    expect(() => (honest.objects as unknown[]).push(1)).toThrow(/not extensible|read only|not.*assign/i);
    expect(() => Object.assign(honest.objects[0].object.metadata, { name: 'other' })).toThrow(
      /not extensible|read only|not.*assign/i,
    );
    expect(() => Object.assign(honest, { decision: 99 })).toThrow(/not extensible|read only|not.*assign/i);
    expect(writes() - start).toBe(0);
    expect(parts.log.runs).toEqual([]);
  });

  it('refuses an environment outside its grants, before it looks at anything', async () => {
    const { world, ns } = await open({ grants: [{ repository: 'shop', namespaces: ['shop'], kinds: ['*'] }] });
    const start = writes();
    world.reconciler.approve(
      await approve(ns, 'a', [configMap('shop', 'fine', {}), configMap('kube-system', 'evil', {})]),
    );
    await world.reconciler.settled();
    expect(world.reconciler.state).toMatchObject({ status: 'refused', trouble: { code: 'environment-not-granted' } });
    expect(world.reconciler.state.trouble!.sentence).toContain('ConfigMap kube-system/evil');
    expect(writes() - start).toBe(0);
    expect(world.log.runs).toEqual([]);
  });

  it('refuses a kind that the cluster does not know, naming it, and applies it once it does', async () => {
    const { world, ns } = await open();
    const start = writes();
    const objects = [
      namespace(ns),
      { apiVersion: 'none.example.org/v1', kind: 'Nothing', metadata: { name: 'x', namespace: ns } },
    ];
    world.reconciler.approve(await approve(ns, 'a', objects));
    await world.reconciler.settled();
    expect(world.reconciler.state).toMatchObject({ status: 'failed', trouble: { code: 'kind-unknown' } });
    expect(world.reconciler.state.trouble!.sentence).toContain('Nothing in none.example.org/v1');
    expect(writes() - start).toBe(0);
  });

  it('refuses an object that claims a namespace its kind does not live in', async () => {
    const { world, ns } = await open({ grants: [{ repository: 'shop', namespaces: ['*'], kinds: ['*'] }] });
    const sneaky = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: `x-${ns}`, namespace: ns },
      rules: [],
    };
    world.reconciler.approve(await approve(ns, 'a', [sneaky]));
    await world.reconciler.settled();
    expect(world.reconciler.state).toMatchObject({ status: 'failed', trouble: { code: 'object-invalid' } });
  });

  it('changes nothing when one of several objects would be refused, and says which and why', async () => {
    const { world, ns } = await open();
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns)]));
    await world.reconciler.settled();
    const start = writes();
    const broken = deployment(ns, 'Not_A_Name', 'x:1');
    world.reconciler.approve(await approve(ns, 'b', [namespace(ns), configMap(ns, 'first', {}), broken]));
    await world.reconciler.settled();
    expect(world.reconciler.state).toMatchObject({ status: 'failed', trouble: { code: 'cluster-refused' } });
    expect(world.reconciler.state.trouble!.sentence).toMatch(/Deployment .*Not_A_Name.*422/);
    expect(writes() - start).toBe(0);
    expect(world.log.runs.at(-1)!.end).toMatchObject({ outcome: 'failed', trouble: { code: 'cluster-refused' } });
    // The next approved change is not held up by the pause after a refusal.
    world.reconciler.approve(await approve(ns, 'c', [namespace(ns), configMap(ns, 'first', {})]));
    await world.reconciler.settled();
    expect(world.reconciler.state.trouble).toBeNull();
  });

  it('says that the namespace is missing', async () => {
    const { world, ns } = await open();
    const start = writes();
    world.reconciler.approve(await approve(ns, 'a', [configMap(ns, 'lost', {})]));
    await world.reconciler.settled();
    expect(world.reconciler.state.trouble!.sentence).toContain(`namespaces "${ns}" not found`);
    expect(writes() - start).toBe(0);
  });

  let noSayer: { readonly url: string; readonly authority: string; readonly close: () => void };
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-webhook-'));
    const files = ownCertificate(folder);
    const [cert, key] = await Promise.all([readFile(files.certificate), readFile(files.key)]);
    await rm(folder, { recursive: true });
    const server = createHttps({ cert, key }, (request, response) => void refuse(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    noSayer = { url: `https://127.0.0.1:${port}/`, authority: cert.toString('base64'), close: () => server.close().closeAllConnections() }; // prettier-ignore
  });
  afterAll(() => noSayer?.close());

  /** A ConfigMap of a namespace whose ConfigMaps such a webhook is asked about. */
  const judgedBy = async (ns: string, name: string, clientConfig: object): Promise<object> => {
    await cluster.dana.create('/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations', {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: `${name}-${ns}` },
      webhooks: [
        {
          name,
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          clientConfig,
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ns } },
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['*'], resources: ['configmaps'] }],
        },
      ],
    });
    // A new configuration counts a moment after it was made.
    const path = `/api/v1/namespaces/${ns}/configmaps?dryRun=All&x=`;
    await until('it counts', () => cluster.dana.create(path, configMap(ns, 'probe', {})).then(() => false, () => true)); // prettier-ignore
    return configMap(ns, 'judged', {});
  };

  it.each<[string, (ns: string) => Promise<object>, RegExp]>([
    [
      'a namespace that is being deleted',
      async (ns) => {
        await cluster.dana.delete(`/api/v1/namespaces/${ns}`);
        return configMap(ns, 'late', {});
      },
      /ConfigMap .*late \(403\).*because it is being terminated.*is being deleted: it is applied when that is made again/,
    ],
    [
      'a quota that is used up',
      async (ns) => {
        const path = `/api/v1/namespaces/${ns}/resourcequotas`;
        const hard = { 'count/configmaps': '1' };
        await cluster.dana.create(path, {
          apiVersion: 'v1',
          kind: 'ResourceQuota',
          metadata: { name: 'few' },
          spec: { hard },
        });
        await cluster.dana.edit(`${path}/few/status`, { status: { hard, used: hard } });
        return configMap(ns, 'one-more', {});
      },
      /\(403\).*exceeded quota: few.*Raise the ResourceQuota/,
    ],
    [
      'a webhook that is away',
      (ns) => judgedBy(ns, 'away.example.org', { url: 'https://127.0.0.1:1/' }),
      /failed calling webhook "away\.example\.org"/,
    ],
    [
      'a webhook that says no',
      (ns) => judgedBy(ns, 'no.example.org', { url: noSayer.url, caBundle: noSayer.authority }),
      /ConfigMap .*judged \(403\).*admission webhook "no\.example\.org" denied the request: not on a Friday.*An admission rule of the cluster says no/,
    ],
    [
      'an admission rule that says no',
      async (ns) => {
        const api = '/apis/admissionregistration.k8s.io/v1';
        const name = `no-${ns}.example.org`;
        await cluster.dana.create(`${api}/validatingadmissionpolicies`, {
          apiVersion: 'admissionregistration.k8s.io/v1',
          kind: 'ValidatingAdmissionPolicy',
          metadata: { name },
          spec: {
            matchConstraints: {
              namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ns } },
              resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }], // prettier-ignore
            },
            validations: [{ expression: 'false', message: 'no more of these' }],
          },
        });
        await cluster.dana.create(`${api}/validatingadmissionpolicybindings`, {
          apiVersion: 'admissionregistration.k8s.io/v1',
          kind: 'ValidatingAdmissionPolicyBinding',
          metadata: { name },
          spec: { policyName: name, validationActions: ['Deny'] },
        });
        await until('it counts', () =>
          cluster.dana
            .create(`/api/v1/namespaces/${ns}/configmaps?dryRun=All&x=`, configMap(ns, 'probe', {}))
            .then(() => false)
            .catch(() => true),
        );
        return configMap(ns, 'judged', {});
      },
      /ConfigMap .*judged \(422\).*no more of these.*An admission rule of the cluster says no/,
    ],
    [
      'an object of 1.5 MB',
      (ns) => Promise.resolve(configMap(ns, 'large', { text: 'x'.repeat(1_500_000) })),
      /ConfigMap .*large \(422\).*Too long/,
    ],
    [
      'a name that is too long',
      (ns) => Promise.resolve(configMap(ns, 'n'.repeat(300), {})),
      /\(422\).*must be no more than 253/,
    ],
  ])('says what is wrong with %s, in its status and its log, and writes nothing', async (_, prepare, message) => {
    const { world, ns } = await open();
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns)]));
    await world.reconciler.settled();
    const object = await prepare(ns);
    const start = writes();
    world.reconciler.approve(await approve(ns, 'b', [namespace(ns), object]));
    await until('it says so', () => message.test(world.reconciler.state.trouble?.sentence ?? ''));
    expect(world.reconciler.state.status).toBe('failed');
    expect(writes() - start).toBe(0);
    await until('it is recorded', () => message.test(world.log.runs.at(-1)?.end?.trouble?.sentence ?? ''));
  });

  it('goes on where it was when its credentials, which expired in the middle of a run, are renewed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-token-'));
    const token = join(folder, 'token');
    const config = JSON.parse(await readFile(cluster.plane.kubeconfig('countersign'), 'utf8')) as {
      users: { user: { token?: string; tokenFile?: string } }[];
    };
    const good = config.users[0].user.token!;
    config.users[0].user = { tokenFile: token };
    await writeFile(token, good);
    await writeFile(join(folder, 'config'), JSON.stringify(config));
    const { world, ns } = await open({ kubeconfig: join(folder, 'config') });
    world.log.beforeStart = async () => {
      await writeFile(token, 'expired');
      world.log.beforeStart = () => {};
    };
    const change = await approve(ns, 'a', [namespace(ns), configMap(ns, 'settings', { a: '1' })]);
    world.reconciler.approve(change);
    await until('it says so', () => /\(401\)/.test(world.reconciler.state.trouble?.message ?? ''));
    expect(world.reconciler.state.trouble!.remedy).toContain('Renew the credentials');
    expect(world.log.runs[0].end).toMatchObject({ outcome: 'failed', trouble: { code: 'cluster-refused' } });
    await writeFile(token, good);
    await until('it is applied', () => world.reconciler.state.applied === change.decision);
    expect(await cluster.dana.get(pathOf(ns, 'settings'))).not.toBeNull();
    await rm(folder, { recursive: true });
  });

  it('goes on by itself where a program gives its credentials, and those expire in the middle of a run', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-exec-'));
    const [config, token] = [JSON.parse(await readFile(cluster.plane.kubeconfig('countersign'), 'utf8')), join(folder, 'token')] as [{ users: { user: object }[] }, string]; // prettier-ignore
    const good = (config.users[0].user as { token: string }).token;
    const answer = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'TOKEN' },
    };
    const script = `echo run >> ${folder}/runs; echo '${JSON.stringify(answer)}' | sed "s/TOKEN/$(cat ${token})/"`;
    config.users[0].user = { exec: { apiVersion: answer.apiVersion, command: 'sh', args: ['-c', script], interactiveMode: 'Never' } }; // prettier-ignore
    // What it gave at first is no longer taken when the run begins.
    await writeFile(token, 'expired');
    await writeFile(join(folder, 'config'), JSON.stringify(config));
    const { world, ns } = await open({ kubeconfig: join(folder, 'config'), allowExec: true });
    const change = await approve(ns, 'a', [namespace(ns), configMap(ns, 'settings', { a: '1' })]);
    world.reconciler.approve(change);
    await until('it says so', () => /\(401\)/.test(world.reconciler.state.trouble?.message ?? ''));
    await writeFile(token, good);
    await until('it is applied', () => world.reconciler.state.applied === change.decision);
    const runs = async () => (await readFile(join(folder, 'runs'), 'utf8')).length;
    const before = await runs();
    await cluster.dana.edit(pathOf(ns, 'settings'), { data: { a: '2' } });
    await until('it is corrected', async () => ((await cluster.dana.must(pathOf(ns, 'settings'))) as unknown as { data: { a: string } }).data.a === '1'); // prettier-ignore
    expect(await runs()).toBe(before);
    await rm(folder, { recursive: true });
  });

  it('says what right its user lacks, and goes on once it has it', async () => {
    const { world, ns } = await open({ user: 'weak' });
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns)]));
    await world.reconciler.settled();
    expect(world.reconciler.state).toMatchObject({ status: 'failed', trouble: { code: 'cluster-refused' } });
    expect(world.reconciler.state.trouble!.sentence).toMatch(
      /User "weak" cannot patch.*Give the kubeconfig's user the right/,
    );
    expect(await cluster.dana.get(`/api/v1/namespaces/${ns}`)).toBeNull();
  });

  it('writes in the name of its environment’s own account, with that one’s rights and no others', async () => {
    const ns = 'least';
    const { dana } = cluster;
    const account = (name: string) => ({ user: `system:serviceaccount:${ns}:${name}`, groups: [] });
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${ns}`;
    const role = (name: string, rule: object): object => ({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name, namespace: ns }, rules: [rule] }); // prettier-ignore
    const binding = (name: string, subject: object): object => ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name, namespace: ns },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [subject],
    });
    const weak = { kind: 'User', name: 'weak', apiGroup: 'rbac.authorization.k8s.io' };
    const verbs = ['get', 'create', 'update', 'patch', 'delete'];
    await dana.create('/api/v1/namespaces', namespace(ns));
    await dana.create(`${rbac}/roles`, role('deploy', { apiGroups: [''], resources: ['configmaps'], verbs }));
    await dana.create(`${rbac}/rolebindings`, binding('deploy', { kind: 'ServiceAccount', name: 'deployer', namespace: ns })); // prettier-ignore
    const { world } = await open({ ns, user: 'weak', as: account('deployer') });
    world.reconciler.approve(await approve(ns, 'a', [configMap(ns, 'settings', { a: '1' })]));
    await world.reconciler.settled();
    // Not even in that name, as long as nobody lets it.
    expect(world.reconciler.state.trouble?.message).toMatch(
      /User "weak" cannot impersonate resource "serviceaccounts"/,
    );
    await dana.create(`${rbac}/roles`, role('act', { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['impersonate'], resourceNames: ['deployer'] })); // prettier-ignore
    await dana.create(`${rbac}/rolebindings`, binding('act', weak));
    const change = await approve(ns, 'b', [configMap(ns, 'settings', { a: '1' })]);
    world.reconciler.approve(change);
    await until('it is applied', () => world.reconciler.state.applied === change.decision);
    await dana.edit(pathOf(ns, 'settings'), { data: { a: 'by hand' } });
    await until('it is corrected', async () => {
      const live = (await dana.must(pathOf(ns, 'settings'))) as unknown as { data: object };
      return JSON.stringify(live.data) === '{"a":"1"}';
    });
    expect(world.log.drifts).toHaveLength(1);
    const written = cluster.writes(ns, 'weak').map((event) => event.impersonatedUser?.username);
    expect(new Set(written)).toEqual(new Set([account('deployer').user]));
    // What the account may not do, the environment may not either.
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'more', namespace: ns },
      stringData: { a: 'b' },
    };
    world.reconciler.approve(await approve(ns, 'c', [configMap(ns, 'settings', { a: '2' }), secret]));
    await until('it is refused', () => world.reconciler.state.trouble?.code === 'cluster-refused');
    expect((await dana.must(pathOf(ns, 'settings')))['data']).toEqual({ a: '1' });
    // Nor may it act as another.
    const { world: other } = await open({ ns, user: 'weak', as: account('admin') });
    other.reconciler.approve(await approve(ns, 'd', [configMap(ns, 'settings', { a: '3' })]));
    await other.reconciler.settled();
    expect(other.reconciler.state.trouble?.message).toMatch(/cannot impersonate/);
  });

  it('writes nothing while the log cannot record it (invariant 7), and goes on by itself', async () => {
    const { world, ns } = await open();
    world.log.fail = new CountersignError('database-unavailable', 'the database is down', { retry: true });
    const start = writes();
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns)]));
    await world.reconciler.settled();
    expect(world.reconciler.state).toMatchObject({ status: 'failed', trouble: { code: 'database-unavailable' } });
    expect(writes() - start).toBe(0);
    world.log.fail = null;
    await until('it is applied', () => world.reconciler.state.trouble === null);
    expect(await cluster.dana.get(`/api/v1/namespaces/${ns}`)).not.toBeNull();
  });

  it('does not overwrite a hand edit that nobody has seen: it is recorded first', async () => {
    const { world, ns } = await open();
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns), configMap(ns, 'settings', { a: '1', b: '1' })]));
    await world.reconciler.settled();
    let edits = 0;
    world.log.beforeStart = async () => {
      // In the moment between the look at the object and the write to it.
      if (edits++ === 0) await cluster.dana.edit(pathOf(ns, 'settings'), { data: { b: 'by hand' } });
    };
    const second = await approve(ns, 'b', [namespace(ns), configMap(ns, 'settings', { a: '2', b: '1' })]);
    world.reconciler.approve(second);
    await until('both are done', () => world.reconciler.state.applied === second.decision);
    expect(world.log.drifts).toMatchObject([
      { fields: [{ path: 'data.b', live: 'by hand' }], attribution: { manager: 'kubectl-edit' } },
    ]);
    expect((await cluster.dana.must(pathOf(ns, 'settings')))['data']).toEqual({ a: '2', b: '1' });
  });

  it('stops a run when a newer decision or another holder of the lease takes over', async () => {
    const { world, ns } = await open();
    const first = await approve(ns, 'a', [namespace(ns), configMap(ns, 'old', {})]);
    const second = await approve(ns, 'b', [namespace(ns), configMap(ns, 'new', {})]);
    world.log.beforeStart = (run) => {
      if (run.decision === first.decision) world.reconciler.approve(second);
    };
    world.reconciler.approve(first);
    await until('the second is applied', () => world.reconciler.state.applied === second.decision);
    expect(world.log.runs[0].end).toMatchObject({ outcome: 'superseded' });
    expect(await cluster.dana.get(pathOf(ns, 'old'))).toBeNull();
    expect(() => world.reconciler.approve(first)).toThrow(expect.objectContaining({ code: 'run-superseded' }) as Error);
    await world.reconciler.settled();
    const start = writes();
    world.log.beforeStart = () => {
      world.epoch++; // we slept, and somebody else holds the lease
      world.log.beforeStart = () => Promise.reject(new CountersignError('log-conflict', 'not the holder'));
    };
    await cluster.dana.edit(pathOf(ns, 'new'), { data: { x: 'y' } });
    await until('the run has ended', () => world.log.runs.at(-1)?.end?.outcome === 'superseded');
    expect(writes() - start).toBe(0);
  });

  it('leaves an environment of another name, or repository, alone', async () => {
    const { world, ns } = await open();
    const other = await approve('other', 'a', [namespace(ns)]);
    expect(() => world.reconciler.approve(other)).toThrow(expect.objectContaining({ code: 'not-approved' }) as Error);
  });

  it('says that the cluster is away, and brings it to what is approved when it is back', async () => {
    const { world, ns } = await open();
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns), configMap(ns, 'settings', { a: '1' })]));
    await world.reconciler.settled();
    await cluster.plane.killApiServer();
    await until('it says so', () => world.reconciler.state.trouble?.code === 'cluster-unavailable');
    world.reconciler.approve(await approve(ns, 'b', [namespace(ns), configMap(ns, 'settings', { a: '2' })]));
    await world.reconciler.settled();
    expect(world.reconciler.state).toMatchObject({
      status: 'failed',
      trouble: { code: 'cluster-unavailable', retry: true },
    });
    await cluster.plane.restartApiServer();
    await until(
      'it is applied',
      async () =>
        (await cluster.dana.get(pathOf(ns, 'settings')).catch(() => null))?.['data'] !== undefined &&
        world.reconciler.state.trouble === null,
    );
    expect((await cluster.dana.must(pathOf(ns, 'settings')))['data']).toEqual({ a: '2' });
    // And drift is seen again by the watch.
    await cluster.dana.edit(pathOf(ns, 'settings'), { data: { a: '3' } });
    await until(
      'it is corrected',
      async () => JSON.stringify((await cluster.dana.must(pathOf(ns, 'settings')))['data']) === '{"a":"2"}',
    );
  }, 60_000);

  it('gives up on a cluster that accepts a connection and never answers', async () => {
    const silent: Server = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const folder = await mkdtemp(join(tmpdir(), 'countersign-silent-'));
    try {
      const { port } = silent.address() as { port: number };
      const config = await readFile(cluster.plane.kubeconfig('countersign'), 'utf8');
      await writeFile(join(folder, 'config'), config.replace(/https:\/\/127\.0\.0\.1:\d+/, `http://127.0.0.1:${port}`));
      const slow = await openCluster({
        name: 'slow',
        kubeconfig: join(folder, 'config'),
        deadlines: { request: 300, silence: 300 },
      });
      await expect(slow.kind({ group: '', version: 'v1', kind: 'ConfigMap' })).rejects.toMatchObject({
        code: 'cluster-unavailable',
        message: expect.stringContaining('cluster slow did not answer within 0.3 s') as string,
      });
      await slow.close();
    } finally {
      silent.close();
      await rm(folder, { recursive: true });
    }
  });

  it('speaks as the service account of its pod, with the token that is there now', async () => {
    const pod = await mkdtemp(join(tmpdir(), 'countersign-pod-'));
    const before = { ...process.env };
    const mount = join(pod, 'var/run/secrets/kubernetes.io/serviceaccount');
    await mkdir(mount, { recursive: true });
    const known = await readKubeconfig(cluster.plane.kubeconfig('countersign'));
    const token = (await known.authorization())!.replace('Bearer ', '');
    await writeFile(join(mount, 'ca.crt'), known.authority!);
    await writeFile(join(mount, 'token'), token);
    const { hostname, port } = new URL(cluster.plane.url);
    Object.assign(process.env, { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port });
    try {
      const transport = new ApiTransport('pod', await readServiceAccount(pod));
      const ask = (): Promise<unknown> =>
        transport.call({ method: 'GET', path: '/api/v1/namespaces/default', subject: { text: 'Namespace default' } });
      expect(await ask()).toMatchObject({ metadata: { name: 'default' } });
      await writeFile(join(mount, 'token'), 'revoked');
      await expect(ask()).rejects.toMatchObject({ code: 'cluster-refused' });
      await writeFile(join(mount, 'token'), `${token}\n`);
      expect(await ask()).toMatchObject({ metadata: { name: 'default' } });
      await transport.close();
    } finally {
      process.env = before;
      await rm(pod, { recursive: true });
    }
  });

  it('refuses a kubeconfig that would run a program', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-exec-'));
    try {
      const config = JSON.parse(await readFile(cluster.plane.kubeconfig('countersign'), 'utf8')) as {
        users: { user: object }[];
      };
      config.users[0].user = { exec: { command: '/bin/touch', args: ['/tmp/pwned'] } };
      await writeFile(join(folder, 'config'), JSON.stringify(config));
      await expect(openCluster({ name: 'x', kubeconfig: join(folder, 'config') })).rejects.toMatchObject({
        code: 'config-invalid',
      });
      await expect(openCluster({ name: 'x', kubeconfig: join(folder, 'none') })).rejects.toMatchObject({
        code: 'config-invalid',
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

/** A webhook's no. */
async function refuse(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { request: asked } = (await json(request)) as { request: { uid: string } };
  const answer = { uid: asked.uid, allowed: false, status: { message: 'not on a Friday', code: 403 } };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }));
}
