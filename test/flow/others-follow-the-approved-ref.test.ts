import { mkdir, readFile } from 'node:fs/promises';
import { exportBundle } from '../../src/adapters/evidence/export.js';
import { openZip } from '../../src/adapters/evidence/zip.js';
import { readKeys } from '../../src/adapters/keys/file.js';
import { startControlPlane, type ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { openLogForReading } from '../../src/adapters/postgres/open-log.js';
import { parseTrust } from '../../src/audit/policy-file.js';
import { verifyEvidence } from '../../src/audit/verify.js';
import { runCli } from '../support/cli.js';
import { namespace, Person as Client } from '../support/cluster.js';
import { allowedSigners, createRepository, person, type Person, ScratchRepository, temporaryFolder } from '../support/git-fixture.js'; // prettier-ignore
import { startGitServer, type GitServer } from '../support/git-server.js';
import { startTestService, type TestService } from '../support/service.js';
import { sendGithub } from '../support/webhook.js';
import { eventually } from '../support/world.js';

const folder = temporaryFolder();
const SECRET = 'correct horse battery staple';
const REF = 'refs/heads/countersign/approved/shop/production';

interface State {
  readonly status: string;
  readonly approved: string | null;
  readonly trouble: { readonly code: string; readonly message: string } | null;
  readonly gate: {
    readonly ref: string;
    readonly commit: string | null;
    readonly unheard: string | null;
    readonly peers: readonly Record<string, string | null>[];
  } | null;
}

describe('Argo CD and Flux follow a ref that only decisions move', () => {
  let plane: ControlPlane;
  let cluster: Client;
  let server: GitServer;
  let service: TestService;
  let work: ScratchRepository;
  let hosted: ScratchRepository;
  let ann: Person;
  let url: string;

  beforeAll(async () => {
    ann = await person('Ann', 'ann@example.org');
    await mkdir(folder.path('srv'), { recursive: true });
    work = await createRepository(folder.path('work'));
    const begin = await work.commit({
      author: ann,
      message: 'begin',
      files: {
        'countersign.yaml': `apiVersion: countersign.dev/v1
environments:
  - {name: shop/web, path: web, target: gitops, namespace: shop, dependsOn: [shop/production]}
  - {name: shop/production, path: deploy, target: gitops, namespace: shop}
policies: {starter: {profile: off}}
`,
        '.countersign/allowed_signers': allowedSigners([ann]),
        'policies/values.rego': `package countersign.team.values

# METADATA
# custom: {id: team.values, scope: change}
deny contains "this value is not allowed" if input.changes[_].after.data.value == "bad"
`,
        'deploy/map.yaml': map('1'),
        'web/map.yaml': map('1').replace('name: map', 'name: web'),
      },
    });
    hosted = await ScratchRepository.clone(work.path, folder.path('srv', 'shop.git'), '--bare');
    [server, plane] = await Promise.all([
      startGitServer(folder.path('srv'), { countersign: 'push-me' }),
      startControlPlane(),
    ]);
    url = `${server.url}/shop.git`;
    cluster = new Client(plane, 'dana');
    for (const definition of definitions()) await cluster.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition); // prettier-ignore
    await cluster.create('/api/v1/namespaces', namespace('gitops'));
    service = await startTestService(
      `  - name: shop
    url: ${url}
    refs: [refs/heads]
    trust: {commit: ${begin}}
    poll: 200ms
    credentials: {username: countersign, passwordEnv: PUSH}
    webhook: {secretEnv: HOOK}
gates:
  - name: gitops
    status: {kubeconfig: '${plane.kubeconfig('weak')}', urls: ["https://git.example.org/acme/shop.git"]}
    grants: [{repository: shop, namespaces: [shop]}]`,
      { PUSH: 'push-me', HOOK: SECRET },
    );
  }, 240_000);

  afterAll(async () => {
    await service?.close();
    await cluster?.close();
    await Promise.all([server?.close(), plane?.stop()]);
  });

  const state = async (): Promise<State> =>
    (
      await service.query<{ environment: State }>(`{ environment(repository: "shop", name: "shop/production") {
        status approved trouble { code message } gate { ref commit unheard peers { tool kind namespace name revision sync health message } } } }`)
    ).environment;
  const waiting = async () =>
    (
      await service.query<{ environment: State }>(
        '{ environment(repository: "shop", name: "shop/web") { status approved trouble { code message } } }',
      )
    ).environment;
  const push = async (value: string, more: Record<string, string> = {}): Promise<string> => {
    const head = await work.commit({ author: ann, message: value, files: { 'deploy/map.yaml': map(value), ...more } });
    await work.push(hosted.path, 'HEAD:main');
    return head;
  };
  const tip = (): Promise<string> => hosted.git('rev-parse', '--verify', '--quiet', REF).catch(() => 'none');
  const entries = async (type: string) =>
    (
      await service.query<{ entries: { nodes: { index: number; predicate: Record<string, unknown> }[] } }>(
        'query ($type: [EntryType!]) { entries(first: 200, filter: {type: $type}) { nodes { index predicate } } }',
        { type: [type] },
      )
    ).entries.nodes;
  const say = (path: string, status: object) => cluster.edit(`${path}/status`, { status });

  it('is moved to what is allowed, and never to what is denied', async () => {
    const good = await push('2');
    await eventually('it is moved', async () => (await tip()) === good);
    await push('bad');
    const better = await push('3');
    await eventually('it is moved on', async () => (await tip()) === better);
    const bad = await push('bad');
    await eventually('it is denied', async () => {
      const { decisions } = await service.query<{ decisions: { nodes: { outcome: string; change: { head: string } }[] } }>('{ decisions(first: 5) { nodes { outcome change { head } } } }'); // prettier-ignore
      return decisions.nodes.some(({ outcome, change }) => outcome === 'deny' && change.head === bad);
    });
    expect(await tip()).toBe(better);
    await eventually('it is recorded', async () => (await state()).gate?.commit === better);
    expect(await state()).toMatchObject({ status: 'synced', approved: better, trouble: null, gate: { ref: REF } });
    const [decision, runs] = [await entries('decision'), await entries('run')];
    for (const { index, predicate } of runs.filter(({ predicate: { phase } }) => phase === 'started')) {
      const allow = decision.find((one) => one.index === predicate['decision']);
      expect(allow?.predicate).toMatchObject({ outcome: 'allow', head: predicate['head'] });
      expect(allow!.index).toBeLessThan(index);
      const ref = `refs/heads/countersign/approved/${String(predicate['environment'])}`;
      expect(predicate['move']).toMatchObject({ ref, to: predicate['head'] });
    }
  });

  it('is itself no branch that anybody is judged by, though all branches are followed', async () => {
    const { repository } = await service.query<{ repository: { tips: { ref: string }[] } }>(
      '{ repository(name: "shop") { tips { ref } } }',
    );
    expect(repository.tips.map(({ ref }) => ref)).toEqual(['refs/heads/main']);
  });

  it('that somebody pushes is named, logged and moved back', async () => {
    const approved = await tip();
    await work.checkout('mine', 'main');
    const mine = await work.commit({ author: ann, message: 'mine', files: { 'deploy/map.yaml': map('mine') } });
    await work.checkout('main');
    await tell(approved, mine, 'mallory');
    await work.forcePush(hosted.path, `${mine}:${REF}`);
    await eventually('it is moved back', async () => (await tip()) === approved);
    const [push_] = (await entries('push')).filter(({ predicate }) => predicate['ref'] === REF);
    expect(push_.predicate).toMatchObject({ old: approved, new: mine });
    const { drift } = await service.query<{ drift: { nodes: { type: string; object: { kind: string; name: string }; attribution: object }[] } }>('{ drift { nodes { type object { kind name } attribution } } }'); // prettier-ignore
    expect(drift.nodes).toMatchObject([
      {
        type: 'modified',
        object: { kind: 'ApprovedRef', name: REF },
        attribution: { strength: 'likely', user: { name: 'mallory' } },
      },
    ]);
    const { pushes } = await service.query<{ pushes: { nodes: { ref: string; pusher: string | null }[] } }>('{ pushes { nodes { ref pusher } } }'); // prettier-ignore
    expect(pushes.nodes.find(({ ref }) => ref === REF)?.pusher).toBe('github:mallory');
  });

  it('has its followers’ word beside it', async () => {
    const at = await tip();
    const source = { repoURL: 'git@git.example.org:acme/shop.git', targetRevision: 'countersign/approved/shop/production', path: 'deploy' }; // prettier-ignore
    const application = '/apis/argoproj.io/v1alpha1/namespaces/gitops/applications';
    await cluster.create(application, { apiVersion: 'argoproj.io/v1alpha1', kind: 'Application', metadata: { name: 'shop' }, spec: { source } }); // prettier-ignore
    await eventually('it is seen', async () => (await state()).status === 'progressing');
    await say(`${application}/shop`, { sync: { status: 'Synced', revision: at }, health: { status: 'Healthy' } });
    await eventually('it is live', async () => (await state()).status === 'synced');
    expect((await state()).gate?.peers).toEqual([
      { tool: 'Argo CD', kind: 'Application', namespace: 'gitops', name: 'shop', revision: at, sync: 'synced', health: 'healthy', message: '' }, // prettier-ignore
    ]);

    await cluster.create(flux('source', 'v1', 'gitrepositories'), {
      apiVersion: 'source.toolkit.fluxcd.io/v1',
      kind: 'GitRepository',
      metadata: { name: 'shop' },
      spec: { url: 'https://git.example.org/acme/shop', ref: { branch: 'countersign/approved/shop/production' } },
    });
    const kustomizations = flux('kustomize', 'v1', 'kustomizations');
    await cluster.create(kustomizations, {
      apiVersion: 'kustomize.toolkit.fluxcd.io/v1',
      kind: 'Kustomization',
      metadata: { name: 'shop' },
      spec: { sourceRef: { kind: 'GitRepository', name: 'shop' } },
    });
    await say(`${kustomizations}/shop`, {
      observedGeneration: 1,
      conditions: [{ type: 'Ready', status: 'False', message: 'dry-run failed: quota exceeded' }],
    });
    await eventually('it is told', async () => (await state()).status === 'degraded');
    const now = await state();
    expect(now.trouble).toMatchObject({ code: 'object-unhealthy', message: expect.stringContaining('Flux says that Kustomization gitops/shop is degraded: dry-run failed') as string }); // prettier-ignore
    expect(now.gate?.peers.map(({ kind }) => kind)).toEqual(['Application', 'Kustomization']);
    const { stdout } = await runCli(['environments', '--url', service.url]);
    expect(stdout).toContain(`Argo CD says: Application gitops/shop synced at ${at.slice(0, 12)}, healthy`);
    await say(`${kustomizations}/shop`, {
      observedGeneration: 1,
      lastAppliedRevision: `countersign/approved/shop/production@sha1:${at}`,
      conditions: [{ type: 'Ready', status: 'True' }],
    });
    await eventually('all is well', async () => (await state()).status === 'synced');
  });

  it('waits for that of another environment, until those who follow that say that it is live', async () => {
    const web = REF.replace('production', 'web');
    const webTip = (): Promise<string> => hosted.git('rev-parse', '--verify', '--quiet', web).catch(() => 'none');
    const before = await webTip();
    const next = await push('4', { 'web/map.yaml': map('4').replace('name: map', 'name: web') });
    await eventually('the first goes on', async () => (await tip()) === next);
    await eventually('the second waits', async () => (await waiting()).status === 'suspended');
    expect(await waiting()).toMatchObject({ approved: next, trouble: { code: 'suspended', message: expect.stringContaining('it waits until shop/production is at the approved commit') as string } }); // prettier-ignore
    expect(await webTip()).toBe(before);
    await say('/apis/argoproj.io/v1alpha1/namespaces/gitops/applications/shop', { sync: { status: 'Synced', revision: next }, health: { status: 'Healthy' } }); // prettier-ignore
    await say('/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/gitops/kustomizations/shop', {
      observedGeneration: 1,
      lastAppliedRevision: `countersign/approved/shop/production@sha1:${next}`,
      conditions: [{ type: 'Ready', status: 'True' }],
    });
    await eventually('the second follows', async () => (await webTip()) === next);
  });

  it('goes back with a pin, which is a decision like any other', async () => {
    const before = await hosted.head('main~4');
    const settings = await readFile(`${work.path}/countersign.yaml`, 'utf8');
    const pinned = settings.replace(
      'gitops, namespace: shop}',
      `gitops, namespace: shop, pin: {commit: ${before}, reason: INC-9}}`,
    );
    await work.commit({ author: ann, message: 'back', files: { 'countersign.yaml': pinned } });
    await work.push(hosted.path, 'HEAD:main');
    await eventually('it is back', async () => (await tip()) === before);
    const move = (await entries('run')).map(({ predicate }) => predicate['move'] as { to: string; forced: boolean } | undefined); // prettier-ignore
    expect(move.filter((one) => one?.to === before).map((one) => one?.forced)).toContain(true);
    // Their word is about a commit that is no longer approved.
    await eventually('they are behind', async () => (await state()).status === 'progressing');
  });

  it('is proven by the exported log alone: each move after the allow that it is made under', async () => {
    const [keys, log] = [await readKeys(service.data), await openLogForReading(service.data, service.database)];
    const file = folder.path('evidence.zip');
    try {
      await exportBundle(log, keys, file, () => {});
    } finally {
      await log.close();
    }
    const evidence = await openZip(file);
    try {
      const { fault } = await verifyEvidence(evidence, { trust: parseTrust(keys.log.vkey, 'trust') });
      expect(fault ?? null).toBeNull();
    } finally {
      await evidence.close();
    }
  });

  const tell = async (before: string, after: string, name: string) => {
    const told = { ref: REF, before, after, pusher: { name } };
    expect(await sendGithub(`${service.url}/webhook/github/shop`, SECRET, 'push', told)).toBe(202);
  };
});

const flux = (group: string, version: string, plural: string) => `/apis/${group}.toolkit.fluxcd.io/${version}/namespaces/gitops/${plural}`; // prettier-ignore

const map = (value: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {value: "${value}"}\n`;

/** As large as they need to be for their objects' status to be written the way their controllers do. */
function definitions(): object[] {
  const kinds = [
    ['argoproj.io', 'v1alpha1', 'Application', 'applications'],
    ['source.toolkit.fluxcd.io', 'v1', 'GitRepository', 'gitrepositories'],
    ['kustomize.toolkit.fluxcd.io', 'v1', 'Kustomization', 'kustomizations'],
    ['helm.toolkit.fluxcd.io', 'v2', 'HelmRelease', 'helmreleases'],
  ];
  return kinds.map(([group, version, kind, plural]) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  }));
}
