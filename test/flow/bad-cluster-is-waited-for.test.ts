import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { oneWorld } from '../support/one-world.js';
import { configMap, eventually, settings, type World } from '../support/world.js';

const SLOW = 'shop/slow';
const WEAK = 'shop/weak';

const nothingWaits = `package countersign.team.waiting

# METADATA
# custom:
#   id: team.waiting
#   scope: object
deny contains "no" if {
	some change in input.changes
	change.after.data.value == "waiting"
}
`;

/** Between the service and the API server: while it is stopped, bytes are taken and nothing is answered. */
class SlowRoad {
  readonly #sockets = new Set<Socket>();
  #stopped = false;

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async to(url: string): Promise<SlowRoad> {
    const port = Number(new URL(url).port);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const road = new SlowRoad(server, (server.address() as AddressInfo).port);
    server.on('connection', (here) => {
      const there = connect(port, '127.0.0.1');
      for (const [socket, other] of [
        [here, there],
        [there, here],
      ] as const) {
        road.#sockets.add(socket);
        socket.on('data', (bytes) => void (road.#stopped || other.write(bytes)));
        socket.on('error', () => {});
        socket.on('close', () => {
          road.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
    return road;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** What was swallowed is lost: connections begin anew. */
  go(): void {
    this.#stopped = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.go();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

describe('when the cluster does not do as it is asked', () => {
  const made: { folder?: string; road?: SlowRoad } = {};
  const here = oneWorld(async (plane) => {
    made.folder = await mkdtemp(join(tmpdir(), 'countersign-roads-'));
    made.road = await SlowRoad.to(plane.url);
    const slow = join(made.folder, 'slow.kubeconfig');
    const port = new URL(plane.url).port;
    writeFileSync(
      slow,
      readFileSync(plane.kubeconfig('countersign'), 'utf8').replaceAll(`:${port}`, `:${made.road.port}`),
    );
    const grants = 'grants: [{repository: shop, namespaces: ["*"]}]';
    return {
      targets: [
        `  - {name: weak, kubeconfig: '${plane.kubeconfig('weak')}', ${grants}}`,
        `  - {name: slow, kubeconfig: '${slow}', ${grants}}`,
      ],
    };
  });
  let replicas = 1;

  afterAll(async () => {
    await made.road?.close();
    if (made.folder) await rm(made.folder, { recursive: true, force: true });
  });

  it('a refusal of its rights is told with the object and the remedy, and nothing is written', async () => {
    const { world, plane } = here;
    const more = [
      `{name: ${WEAK}, path: environments/weak, target: weak, namespace: ${world.namespace}}`,
      `{name: ${SLOW}, path: environments/slow, target: slow, namespace: ${world.namespace}}`,
    ];
    const head = await world.push({
      files: {
        'countersign.yaml': settings(world.namespace, more),
        'environments/weak/settings.yaml': configMap('weak', 'a'),
        'environments/slow/settings.yaml': configMap('slow', 'a'),
      },
    });
    await world.live(head, SLOW);
    const before = await world.snapshot();
    const fault = await world.fault('cluster-refused');
    expect(fault).toMatchObject({
      environment: WEAK,
      trouble: {
        message: expect.stringMatching(/ConfigMap .*weak.*403/) as string,
        remedy: expect.stringContaining("kubeconfig's user") as string,
      },
      entry: { type: 'fault', predicate: { code: 'cluster-refused', environment: WEAK } },
    });
    expect(await world.decision(head, WEAK)).toMatchObject({ outcome: 'allow' });
    expect(await world.environment(WEAK)).toMatchObject({ status: 'failed', trouble: { code: 'cluster-refused' } });
    expect((await world.runs(WEAK)).every((run) => run.outcome === 'failed')).toBe(true);
    expect(await world.snapshot()).toEqual(before);
    expect(world.writes('weak').filter(({ responseStatus }) => responseStatus!.code < 300)).toEqual([]);
    // The other environments are none the worse for it.
    replicas += 1;
    await world.live(await world.pushGood(replicas));

    // With the right, what was approved goes live.
    await letWrite(plane, world);
    const next = await world.push({ files: { 'environments/weak/settings.yaml': configMap('weak', 'b') } });
    await world.live(next, WEAK);
    expect(await world.dana.get(world.path('configmaps', 'weak'))).toMatchObject({ data: { value: 'b' } });
  });

  it('an object that it finds invalid is told in its words, and none of the others is applied', async () => {
    const { world } = here;
    const [before, approved] = [await world.snapshot(), (await world.environment())!.approved];
    const started = new Date().toISOString();
    const invalid = `apiVersion: v1\nkind: Service\nmetadata: {name: cart}\nspec: {ports: [{port: 99999}]}\n`;
    const head = await world.push({
      files: {
        'environments/production/invalid.yaml': invalid,
        'environments/production/also.yaml': configMap('also', 'a'),
      },
    });
    const fault = await world.fault('cluster-refused', started);
    expect(fault.trouble).toMatchObject({
      message: expect.stringMatching(/Service .*cart.*spec\.ports\[0\]\.port/) as string,
      remedy: expect.stringContaining('manifest') as string,
    });
    expect(await world.snapshot()).toEqual(before);
    expect(head).not.toBe(approved);
    replicas += 1;
    await world.live(await world.pushGood(replicas, { delete: ['environments/production/invalid.yaml'] }));
    expect(await world.dana.get(world.path('configmaps', 'also'))).not.toBeNull();
  });

  it('a kind that it does not know is told, and goes live no part of the commit', async () => {
    const { world } = here;
    const before = await world.snapshot();
    const started = new Date().toISOString();
    const path = 'environments/production/unknown.yaml';
    await world.push({
      files: { [path]: 'apiVersion: example.org/v1\nkind: Wonder\nmetadata: {name: w}\n' },
    });
    const fault = await world.fault('kind-unknown', started);
    expect(fault.trouble.message).toContain('Wonder');
    expect(fault.trouble.remedy).toMatch(/CustomResourceDefinition/);
    expect(await world.snapshot()).toEqual(before);
    replicas += 1;
    await world.live(await world.pushGood(replicas, { delete: [path] }));
  });

  it('a cluster that answers nothing delays no other, and gets what was approved when it answers', async () => {
    const { world } = here;
    const started = new Date().toISOString();
    made.road!.stop();
    replicas += 1;
    const head = await world.pushGood(replicas, {
      files: { 'environments/slow/settings.yaml': configMap('slow', 'late') },
    });
    await world.live(head);
    expect(await world.decision(head, SLOW)).toMatchObject({ outcome: 'allow' });
    const fault = await world.fault('cluster-unavailable', started);
    expect(fault).toMatchObject({
      environment: SLOW,
      trouble: { message: expect.stringMatching(/slow did not answer within 15 s/) as string },
      entry: { type: 'fault' },
    });
    expect(await world.dana.get(world.path('configmaps', 'slow'))).toMatchObject({ data: { value: 'a' } });
    made.road!.go();
    await world.live(head, SLOW);
    expect(await world.dana.get(world.path('configmaps', 'slow'))).toMatchObject({ data: { value: 'late' } });
  }, 120_000);

  it('what waited for a cluster is not applied any more when the policy in force denies it by then (invariant 1)', async () => {
    const { world } = here;
    const started = new Date().toISOString();
    made.road!.stop();
    const path = 'environments/slow/settings.yaml';
    const waiting = await world.push({ files: { [path]: configMap('slow', 'waiting') } });
    expect(await world.decision(waiting, SLOW)).toMatchObject({ outcome: 'allow' });
    const more = 'environments/slow/more.yaml';
    const rules = await world.push({
      files: { 'policies/waiting.rego': nothingWaits, [more]: configMap('more', 'waiting') },
      author: world.bo,
    });
    expect(await world.decision(rules, 'governance')).toMatchObject({ outcome: 'allow' });
    expect(await world.decision(rules, SLOW)).toMatchObject({ outcome: 'deny' });
    made.road!.go();
    await world.fault('not-approved', started);
    await eventually('it to say so', async () => {
      const { status, trouble } = (await world.environment(SLOW))!;
      return status === 'failed' && trouble?.code === 'not-approved';
    });
    expect(await world.dana.get(world.path('configmaps', 'slow'))).toMatchObject({ data: { value: 'late' } });
    const mended = await world.push({ files: { [path]: configMap('slow', 'mended') }, delete: [more] });
    await world.live(mended, SLOW);
    expect(await world.dana.get(world.path('configmaps', 'slow'))).toMatchObject({ data: { value: 'mended' } });
  }, 120_000);

  it('nor by way of a commit that only tightens the policy: the change is judged from what is live (invariant 1)', async () => {
    const { world } = here;
    const started = new Date().toISOString();
    const path = 'environments/slow/settings.yaml';
    const live = (await world.environment(SLOW))!.approved;
    made.road!.stop();
    const waiting = await world.push({ files: { [path]: configMap('slow', 'doubtful') } });
    expect(await world.decision(waiting, SLOW)).toMatchObject({ outcome: 'allow', change: { base: live } });
    const rules = await world.push({
      files: { 'policies/doubtful.rego': nothingWaits.replaceAll('waiting', 'doubtful') },
      author: world.bo,
    });
    expect(await world.decision(rules, 'governance')).toMatchObject({ outcome: 'allow' });
    expect(await world.decision(rules, SLOW)).toMatchObject({ outcome: 'deny', change: { base: live } });
    // Nor by another commit on top, that has nothing to do with it.
    const more = await world.push({ files: { 'README.md': 'more\n' } });
    expect(await world.decision(more, SLOW)).toMatchObject({ outcome: 'deny', change: { base: live } });
    made.road!.go();
    await world.fault('not-approved', started);
    expect(await world.dana.get(world.path('configmaps', 'slow'))).toMatchObject({ data: { value: 'mended' } });
    await world.live(await world.push({ files: { [path]: configMap('slow', 'sure') } }), SLOW);
    expect(await world.dana.get(world.path('configmaps', 'slow'))).toMatchObject({ data: { value: 'sure' } });
  }, 120_000);

  it('a cluster that is away is waited for: decisions go on, and the newest approved commit goes live', async () => {
    const { world, plane } = here;
    const before = await world.snapshot();
    const started = new Date().toISOString();
    await plane.killApiServer();
    await world.pushGood(20);
    const head = await world.pushGood(21);
    expect(await world.decision(head)).toMatchObject({ outcome: 'allow' });
    const fault = await world.fault('cluster-unavailable', started);
    expect(fault.trouble).toMatchObject({
      message: expect.stringMatching(/cannot be reached|did not answer/) as string,
      remedy: expect.stringContaining('comes back') as string,
    });
    const ready = (await (await fetch(`${world.url}/readyz`)).json()) as { status: string; reasons: string[] };
    expect(ready).toMatchObject({ status: 'degraded' });
    expect(ready.reasons.join()).toContain('target prod');
    await plane.restartApiServer();
    const now = await world.snapshot();
    expect(now['configmaps/also']).toBe(before['configmaps/also']);
    await world.live(head);
    expect(await world.replicas()).toBe(21);
    await eventually('no trouble to be left', async () => (await world.environment())!.trouble === null);
  }, 180_000);
});

async function letWrite(plane: ControlPlane, world: World): Promise<void> {
  await world.dana.create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: `weak-no-more-${plane.url.slice(-5)}` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'weak' }],
  });
}
