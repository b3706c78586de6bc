import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { readEventList } from '../../src/adapters/kubernetes/audit-events.js';
import { startControlPlane, type ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { type AdmissionOptions, type AdmissionServer, startAdmission } from '../../src/api/admission.js';
import { webhookConfiguration } from '../../src/api/admission-manifest.js';
import { identityKey } from '../../src/cluster/object.js';
import { policySources } from '../../src/policy/sources.js';
import type { WriteRequest } from '../../src/reconcile/admission.js';
import { ownCertificate } from '../support/certificate.js';
import { runCli } from '../support/cli.js';
import { configMap, deployment, namespace, Person, until, World } from '../support/cluster.js';
import { DecisionLog, environmentNamed } from '../support/approvals.js';

const NS = 'admitted';
const AUDIT_TOKEN = 'a-token-of-the-audit-webhook';
const settingsPath = `/api/v1/namespaces/${NS}/configmaps/settings`;
const cartPath = `/apis/apps/v1/namespaces/${NS}/deployments/cart`;
/** By TLS: when the client notices depends on who writes first. */
const REFUSED = /certificate required|unknown ca|bad certificate|handshake|other side closed|ECONNRESET|EPIPE|socket/i;
const webhooks = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

const crd = (group: string, version: string, kind: string): object => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${kind.toLowerCase()}s.${group}` },
  spec: {
    group,
    scope: 'Cluster',
    names: { kind, plural: `${kind.toLowerCase()}s`, singular: kind.toLowerCase(), listKind: `${kind}List` },
    versions: [
      {
        name: version,
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
});

describe('a write past Git, on a real API server that asks first', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-admission-'));
  const decisions = new DecisionLog();
  const bypassed: { request: WriteRequest; reason: string }[] = [];
  let plane: ControlPlane;
  let world: World;
  let dana: Person;
  let admin: Person;
  let server: AdmissionServer;
  let complete = true;
  let recordable = true;

  const approve = (head: string, replicas: number) =>
    decisions.approved(environmentNamed(NS, NS), head.repeat(40), [
      namespace(NS),
      configMap(NS, 'settings', { a: '1' }),
      deployment(NS, 'cart', 'cart:1', replicas),
    ]);

  beforeAll(async () => {
    ownCertificate(folder);
    plane = await startControlPlane();
    [dana, admin] = [new Person(plane, 'dana'), new Person(plane, 'admin')];
    world = await World.open(plane, NS);
    world.reconciler.approve(await approve('a', 2));
    await world.reconciler.settled();
    server = await startAdmission(options());
    await configure('Fail');
  }, 120_000);

  afterAll(async () => {
    await server?.close();
    await world?.close();
    await dana?.close();
    await admin?.close();
    await plane?.stop();
    rmSync(folder, { recursive: true });
  });

  const admitted: WriteRequest[] = [];
  const refusedBatches: string[] = [];

  const options = (): AdmissionOptions => ({
    listen: { host: '127.0.0.1', port: 0 },
    certificate: readFileSync(join(folder, 'tls.crt'), 'utf8'),
    key: readFileSync(join(folder, 'tls.key'), 'utf8'),
    settings: { identity: ['countersign'], namespace: 'countersign', controllers: ['system:*'], bypass: ['admin'] },
    view: (target) =>
      target === 'prod'
        ? {
            complete: async () => complete,
            approvedState: (identity) => world.reconciler.approvedState(identityKey(identity)),
            scaled: ({ name, kind }) =>
              world.reconciler.governs((one) => one.name === name && `${one.kind.toLowerCase()}s` === kind),
          }
        : undefined,
    recordBypass: async (_target, write, reason) => {
      if (!recordable) throw new Error('the log is away');
      bypassed.push({ request: write, reason });
    },
    admitted: (_target, write) => void admitted.push(write),
    audit: {
      tokens: new Map([['prod', AUDIT_TOKEN]]),
      received: (target, body) => readEventList(body) !== null && target === 'prod',
      refused: (_target, reason) => void refusedBatches.push(reason),
    },
    onFault: () => undefined,
  });

  async function configure(onFailure: 'Fail' | 'Ignore', port = server.port): Promise<void> {
    const configuration = webhookConfiguration({
      target: 'prod',
      address: { url: `https://127.0.0.1:${port}` },
      authority: readFileSync(join(folder, 'tls.crt'), 'utf8'),
      namespace: 'countersign',
      onFailure,
    });
    await admin.apply(`${webhooks}/countersign`, configuration, 'admin');
  }

  it('is refused, whoever the field manager claims to be', async () => {
    // The API server begins to ask a moment after it was told to.
    await until(
      'writes are refused',
      async () =>
      dana.edit(settingsPath, { data: { a: '2' } }).then(() => false, (error: Error) => /would not be as approved at/.test(error.message)), // prettier-ignore
    );
    await world.reconciler.settled();
    await expect(dana.edit(settingsPath, { data: { a: '3' } }, 'countersign')).rejects.toThrow(
      /ConfigMap admitted\/settings would not be as approved at data\.a.*Change it in Git/,
    );
    await expect(dana.edit(settingsPath, { metadata: { labels: { 'applyset.kubernetes.io/part-of': null } } })).rejects.toThrow(/as approved/); // prettier-ignore
    await expect(dana.delete(settingsPath)).rejects.toThrow(/approved to be there/);
    await expect(dana.edit(cartPath, { spec: { replicas: 5 } })).rejects.toThrow(/spec\.replicas/);
    await expect(dana.edit(`${cartPath}/scale`, { spec: { replicas: 5 } })).rejects.toThrow(/approved with 2 replicas/);
    expect((await dana.must(settingsPath))['data']).toEqual({ a: '1' });
  });

  it('passes where it leaves things as approved, and where nothing is governed', async () => {
    await dana.edit(`${cartPath}/status`, { status: { observedGeneration: 1 } });
    await dana.apply(settingsPath, configMap(NS, 'settings', { a: '1' }), 'kubectl');
    await dana.create(`/api/v1/namespaces/${NS}/configmaps`, configMap(NS, 'mine', { a: '1' }));
    expect(await dana.delete(`/api/v1/namespaces/${NS}/configmaps/mine`)).not.toBeNull();
    expect((await dana.must(cartPath))['status']).toMatchObject({ observedGeneration: 1 });
  });

  it('does not stand in the way of what was approved', async () => {
    world.reconciler.approve(await approve('b', 3));
    await world.reconciler.settled();
    expect((await dana.must(cartPath))['spec']).toMatchObject({ replicas: 3 });
    expect(world.reconciler.state.trouble).toBeNull();
  });

  it('passes by for those who may, if they say why, and only once that is recorded', async () => {
    const edit = { metadata: { annotations: { 'countersign.dev/bypass': 'INC-7: cart is down' } }, data: { a: '9' } };
    await expect(dana.edit(settingsPath, edit)).rejects.toThrow(/as approved/);
    await expect(admin.edit(settingsPath, { data: { a: '9' } })).rejects.toThrow(/as approved/);
    recordable = false;
    await expect(admin.edit(settingsPath, edit)).rejects.toThrow(/admission\.countersign\.dev/);
    recordable = true;
    await admin.edit(settingsPath, edit);
    expect(bypassed).toMatchObject([
      {
        reason: 'INC-7: cart is down',
        request: { user: 'admin', operation: 'UPDATE', identity: { name: 'settings' } },
      },
    ]);
    await world.reconciler.settled();
  });

  it('is refused while it is not known what is approved, unless the cluster is told to go on', async () => {
    complete = false;
    await expect(dana.edit(settingsPath, { data: { a: '4' } })).rejects.toThrow(/admission\.countersign\.dev/);
    await configure('Ignore');
    await until('writes pass', async () => dana.edit(settingsPath, { data: { a: '4' } }).then(() => true, () => false)); // prettier-ignore
    complete = true;
  });

  it('is asked about by nobody but those whom the authority names, where one is', async () => {
    const authority = readFileSync(join(folder, 'tls.crt'), 'utf8');
    const key = readFileSync(join(folder, 'tls.key'), 'utf8');
    const guarded = await startAdmission({ ...options(), clientAuthority: authority });
    const ask = async (certificate: object): Promise<number> => {
      const dispatcher = new Agent({ connect: { ca: authority, ...certificate }, allowH2: false });
      try {
        const body = JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' });
        const url = `https://127.0.0.1:${guarded.port}/admission/prod`;
        return (await request(url, { method: 'POST', body, dispatcher })).statusCode;
      } finally {
        await dispatcher.close();
      }
    };
    try {
      expect(await ask({ cert: authority, key })).toBe(400); // answered, if only to say that this is no question
      await expect(ask({})).rejects.toThrow(REFUSED);
      const stranger = join(folder, 'stranger');
      execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=admission', '-keyout', `${stranger}.key`, '-out', `${stranger}.crt`], { stdio: 'ignore' }); // prettier-ignore
      const theirs = { cert: readFileSync(`${stranger}.crt`), key: readFileSync(`${stranger}.key`) };
      await expect(ask(theirs)).rejects.toThrow(REFUSED);
      // An API server that shows no certificate gets no answer: it does as it was told for that case.
      await configure('Fail', guarded.port);
      await until('it is refused', async () =>
        dana.edit(settingsPath, { metadata: { annotations: { a: '1' } } }).then(() => false, (error: Error) => /failed calling webhook/.test(error.message))); // prettier-ignore
      await configure('Ignore', guarded.port);
      await until('it passes', async () => dana.edit(settingsPath, { metadata: { annotations: { a: '1' } } }).then(() => true, () => false)); // prettier-ignore
    } finally {
      await configure('Ignore');
      await guarded.close();
    }
  });

  it('is judged before that by rules which a cluster has, once they are imported', async () => {
    const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    await admin.create(crds, crd('templates.gatekeeper.sh', 'v1', 'ConstraintTemplate'));
    await admin.create(crds, crd('constraints.gatekeeper.sh', 'v1beta1', 'NeedsOwner'));
    await admin.create(crds, crd('syncset.gatekeeper.sh', 'v1alpha1', 'SyncSet'));
    const rego =
      'package needsowner\n\nviolation[{"msg": "nobody owns it"}] {\n  not input.review.object.metadata.labels.owner\n}\n';
    const template = {
      apiVersion: 'templates.gatekeeper.sh/v1',
      kind: 'ConstraintTemplate',
      metadata: { name: 'needsowner' },
      spec: {
        crd: { spec: { names: { kind: 'NeedsOwner' } } },
        targets: [{ target: 'admission.k8s.gatekeeper.sh', rego }],
      },
    };
    const constraint = {
      apiVersion: 'constraints.gatekeeper.sh/v1beta1',
      kind: 'NeedsOwner',
      metadata: { name: 'all' },
      spec: {},
    };
    const syncSet = { apiVersion: 'syncset.gatekeeper.sh/v1alpha1', kind: 'SyncSet', metadata: { name: 'all' }, spec: { gvks: [{ group: '', version: 'v1', kind: 'Pod' }] } }; // prettier-ignore
    // Served a moment after it was defined, and listed a moment after that: the server's cache of a new kind begins empty.
    const listed = async (path: string) =>
      ((await admin.must(path)) as unknown as { items: unknown[] }).items.length === 1;
    await until('all are listed', async () => {
      try {
        await admin.apply('/apis/templates.gatekeeper.sh/v1/constrainttemplates/needsowner', template, 'kubectl');
        await admin.apply('/apis/constraints.gatekeeper.sh/v1beta1/needsowners/all', constraint, 'kubectl');
        await admin.apply('/apis/syncset.gatekeeper.sh/v1alpha1/syncsets/all', syncSet, 'kubectl');
        return (
          (await listed('/apis/templates.gatekeeper.sh/v1/constrainttemplates')) &&
          (await listed('/apis/constraints.gatekeeper.sh/v1beta1/needsowners')) &&
          (await listed('/apis/syncset.gatekeeper.sh/v1alpha1/syncsets'))
        );
      } catch {
        return false;
      }
    });
    const to = join(folder, 'policies');
    const args = ['policy', 'import', '--kubeconfig', plane.kubeconfig('weak'), '--to', to, '--output', 'json'];
    const { code, stdout, stderr } = await runCli(args);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toEqual({
      templates: 1,
      constraints: 1,
      expansions: 0,
      syncs: 1,
    });
    expect(readFileSync(join(to, 'sync/syncset-all.yaml'), 'utf8')).toContain('kind: Pod');
    expect(readFileSync(join(to, 'templates/needsowner.yaml'), 'utf8')).not.toMatch(/managedFields|uid|status/);
    const bundle = policySources(
      new Map(
        ['templates/needsowner.yaml', 'constraints/needsowner-all.yaml'].map((file) => [
          file,
          readFileSync(join(to, file), 'utf8'),
        ]),
      ),
    );
    expect(bundle.gatekeeper?.rules).toMatchObject([{ id: 'NeedsOwner/all' }]);
    expect(bundle.gatekeeper?.templates[0].sources[0].text).toBe(rego);
  });

  it('takes audit events at the same address, from whoever has the token, and says what it cannot take', async () => {
    const agent = new Agent({ connect: { ca: readFileSync(join(folder, 'tls.crt'), 'utf8') } });
    const send = async (target: string, token: string, body: string): Promise<number> => {
      const answer = await request(`https://127.0.0.1:${server.port}/audit/${target}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
        body,
        dispatcher: agent,
      });
      await answer.body.dump();
      return answer.statusCode;
    };
    try {
      const list = JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'EventList', items: [] });
      expect(await send('prod', AUDIT_TOKEN, list)).toBe(200);
      expect(await send('prod', `${AUDIT_TOKEN}x`, list)).toBe(401);
      expect(await send('other', AUDIT_TOKEN, list)).toBe(401);
      expect(refusedBatches).toEqual([]);
      expect(await send('prod', AUDIT_TOKEN, list.slice(0, -9))).toBe(400);
      expect(refusedBatches).toEqual(['a batch is no EventList of audit.k8s.io/v1']);
    } finally {
      await agent.close();
    }
    // Whom it was asked about, and let pass, is evidence, too.
    expect(admitted.map(({ user }) => user)).toContain('admin');
  });

  it('can be told to a cluster by a manifest that it takes', async () => {
    const { code, stdout } = await runCli(['admission', '--target', 'prod', '--service', 'countersign/admission:443', '--authority', join(folder, 'tls.crt')]); // prettier-ignore
    expect(code).toBe(0);
    const { load } = await import('js-yaml');
    const manifest = load(stdout) as { metadata: { name: string } };
    await admin.apply(`${webhooks}/printed`, { ...manifest, metadata: { name: 'printed' } }, 'admin');
    await admin.delete(`${webhooks}/printed`);
  });
});
