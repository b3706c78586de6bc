import { startControlPlane, type ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { configMap, namespace, Person, until, World } from '../support/cluster.js';
import { DecisionLog, environmentNamed, writesIn } from '../support/approvals.js';
import { FlakyApi, type ApiFault } from '../support/flaky-api.js';

/** Seeded, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('a cluster that fails now and then', () => {
  let plane: ControlPlane;
  let dana: Person;
  let api: FlakyApi;

  beforeAll(async () => {
    plane = await startControlPlane();
    dana = new Person(plane, 'dana');
    api = await FlakyApi.start(plane);
  }, 120_000);

  afterAll(async () => {
    await dana?.close();
    await api?.stop();
    await plane?.stop();
  });

  it.each([1, 2, 3])(
    'ends as approved, every write planned and recorded before it (seed %i)',
    async (seed) => {
      const next = random(seed);
      const ns = `faults-${seed}`;
      const environment = environmentNamed(ns, ns);
      const decisions = new DecisionLog();
      const faults: ApiFault[] = ['reset', 'lost', '409', '429', '500'];
      api.fault = () => (next() < 0.15 ? faults[Math.floor(next() * faults.length)] : null);
      api.spoiled.length = 0;
      const world = await World.open(plane, ns, { kubeconfig: api.kubeconfig, request: 2_000 });
      const names = ['a', 'b', 'c', 'd', 'e', 'f'];
      let wanted: Record<string, string> = {};
      try {
        for (let round = 1; round <= 8; round++) {
          const kept = names.filter(() => next() < 0.8);
          wanted = Object.fromEntries(kept.map((name) => [name, String(Math.floor(next() * 3))]));
          const objects = [
            namespace(ns),
            ...Object.entries(wanted).map(([name, value]) => configMap(ns, name, { value })),
          ];
          const change = await decisions.approved(environment, String(round).repeat(40), objects);
          world.reconciler.approve(change);
          if (next() < 0.5) await dana.edit(`/api/v1/namespaces/${ns}/configmaps/a`, { data: { value: 'by hand' } });
          // Some are applied in full, others overtaken on the way.
          if (next() < 0.7)
            await until('it is applied', () => world.reconciler.state.applied === change.decision, 30_000);
        }
        api.fault = () => null;
        const last = decisions.size - 1;
        await until(
          'the last is applied',
          () => world.reconciler.state.applied === last && world.reconciler.state.trouble === null,
          30_000,
        );
        await world.reconciler.settled();
      } finally {
        await world.close();
      }
      const list = (await dana.must(`/api/v1/namespaces/${ns}/configmaps`))['items'] as unknown as {
        metadata: { name: string };
        data: { value: string };
      }[];
      const live = Object.fromEntries(
        list
          .filter(({ metadata }) => metadata.name.length === 1)
          .map(({ metadata, data }) => [metadata.name, data.value]),
      );
      expect(live).toEqual(wanted);
      expect(api.spoiled.length).toBeGreaterThan(0);

      // Invariant 1, from the API server's own record: each write was in the plan of a run that was durable before it.
      for (const event of writesIn(plane.auditLog, 'countersign')) {
        const { resource, name, namespace: where } = event.objectRef!;
        if (where !== ns && name !== ns) continue;
        const kind = resource === 'namespaces' ? 'Namespace' : 'ConfigMap';
        const explained = world.log.runs.some(
          ({ run, at }) =>
            at <= Date.parse(event.stageTimestamp) &&
            run.planned.some(
              ({ op, identity }) =>
                identity.kind === kind && identity.name === name && (event.verb === 'delete') === (op === 'prune'),
            ),
        );
        expect([event.verb, name, explained]).toEqual([event.verb, name, true]);
      }
      // Invariant 12: what was edited by hand while it was governed is on record.
      expect(
        world.log.drifts.every(
          ({ attribution }) => attribution.manager === 'kubectl-edit' || attribution.strength === 'none',
        ),
      ).toBe(true);
    },
    120_000,
  );

  it('is found again when it was away from the beginning, and a deleted definition comes back with its objects', async () => {
    const ns = 'late';
    const group = 'late.example.org';
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `carts.${group}` },
      spec: {
        group,
        names: { kind: 'Cart', plural: 'carts', singular: 'cart', listKind: 'CartList' },
        scope: 'Namespaced',
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        ],
      },
    };
    const cart = {
      apiVersion: `${group}/v1`,
      kind: 'Cart',
      metadata: { name: 'mine', namespace: ns },
      spec: { wheels: 4 },
    };
    const world = await World.open(plane, ns, { kubeconfig: api.kubeconfig, request: 2_000 });
    try {
      api.fault = () => 'reset';
      world.reconciler.approve(
        await new DecisionLog().approved(environmentNamed(ns, ns), 'a'.repeat(40), [namespace(ns), definition, cart]),
      );
      await until(
        'it says that the cluster is away',
        () => world.reconciler.state.trouble?.code === 'cluster-unavailable',
      );
      api.fault = () => null;
      await until('it is applied', () => world.reconciler.state.applied === 0, 20_000);
      await dana.delete(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/carts.${group}`);
      const path = `/apis/${group}/v1/namespaces/${ns}/carts/mine`;
      await until('the definition is gone', async () => (await dana.get(path)) === null);
      await until(
        'both are back',
        async () => (await dana.get(path)) !== null && world.reconciler.state.trouble === null,
        30_000,
      );
      expect(world.log.drifts.map(({ type, identity }) => `${type} ${identity.kind}`)).toContain(
        'deleted CustomResourceDefinition',
      );
    } finally {
      await world.close();
    }
  }, 90_000);
});
