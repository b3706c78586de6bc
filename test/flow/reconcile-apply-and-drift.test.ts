import { configMap, deployment, namespace, until } from '../support/cluster.js';
import { clusterWorlds } from '../support/cluster-worlds.js';
import { environmentNamed } from '../support/approvals.js';

const pathOf = (ns: string, name: string) => `/api/v1/namespaces/${ns}/configmaps/${name}`;
const deploymentPath = (ns: string, name: string) => `/apis/apps/v1/namespaces/${ns}/deployments/${name}`;

describe('an approved change on a real API server', () => {
  const cluster = clusterWorlds('shop');
  const { open } = cluster;

  const approve = (ns: string, head: string, objects: readonly object[]) =>
    cluster.decisions.approved(environmentNamed(ns, ns), head.repeat(40).slice(0, 40), objects);

  const writes = () => cluster.writes().length;

  it('is applied in order, says where it came from, and is recorded before and after', async () => {
    const { world, ns } = await open();
    const objects = [deployment(ns, 'cart', 'cart:1'), configMap(ns, 'settings', { a: '1' }), namespace(ns)];
    const change = await approve(ns, 'a', objects);
    let before = -1;
    world.log.beforeStart = () => {
      before = writes();
    };
    const start = writes();
    world.reconciler.approve(change);
    await world.reconciler.settled();
    expect(world.reconciler.state).toMatchObject({ trouble: null, applied: change.decision });
    expect(before).toBe(start); // nothing was written before the start was durable (invariant 1)
    const [{ run, end }] = world.log.runs;
    expect(run.planned.map(({ op, identity }) => `${op} ${identity.kind}`)).toEqual([
      'create Namespace',
      'create ConfigMap',
      'create Deployment',
    ]);
    expect(end).toMatchObject({
      outcome: 'succeeded',
      results: [{ outcome: 'written' }, { outcome: 'written' }, { outcome: 'written' }],
    });
    expect(writes() - start).toBe(3);
    const live = await cluster.dana.must(deploymentPath(ns, 'cart'));
    expect(live.metadata['annotations']).toEqual({
      'countersign.dev/commit': change.head,
      'countersign.dev/environment': ns,
      'countersign.dev/decision': String(change.decision),
    });
    expect(world.reconciler.state.status).toBe('progressing'); // no controllers run here
  });

  it('writes nothing when nothing differs, also after a restart that remembers only the inventory', async () => {
    const { world, ns } = await open();
    const objects = [namespace(ns), configMap(ns, 'settings', { a: '1' }), deployment(ns, 'cart', 'cart:1')];
    world.reconciler.approve(await approve(ns, 'a', objects));
    await world.reconciler.settled();
    const after = writes();
    world.reconciler.approve(await approve(ns, 'b', objects));
    await world.reconciler.settled();
    expect(world.reconciler.state.trouble).toBeNull();
    const { world: again } = await open({ ns, inventory: world.log.runs[0].end!.inventory.values() });
    again.reconciler.approve(await approve(ns, 'c', objects));
    await again.reconciler.settled();
    expect(again.reconciler.state.trouble).toBeNull();
    expect(again.log.runs).toEqual([]);
    expect(writes() - after).toBe(0);
  });

  it('writes exactly the one object that Git changed, and leaves the provenance of the others', async () => {
    const { world, ns } = await open();
    const first = await approve(ns, 'a', [
      namespace(ns),
      configMap(ns, 'one', { a: '1' }),
      configMap(ns, 'two', { a: '1', gone: 'x' }),
    ]);
    world.reconciler.approve(first);
    await world.reconciler.settled();
    const after = writes();
    const second = await approve(ns, 'b', [
      namespace(ns),
      configMap(ns, 'one', { a: '1' }),
      configMap(ns, 'two', { a: '2' }),
    ]);
    world.reconciler.approve(second);
    await world.reconciler.settled();
    expect(
      cluster
        .writes()
        .slice(after)
        .map((event) => event.objectRef?.name),
    ).toEqual(['two']);
    const two = await cluster.dana.must(pathOf(ns, 'two'));
    expect(two['data']).toEqual({ a: '2' });
    expect(two.metadata['annotations']).toMatchObject({ 'countersign.dev/commit': second.head });
    expect((await cluster.dana.must(pathOf(ns, 'one'))).metadata['annotations']).toMatchObject({
      'countersign.dev/commit': first.head,
    });
  });

  it('prunes what Git no longer has, but only the very object that it made', async () => {
    const { world, ns } = await open();
    const three = ['keep', 'ours', 'theirs'].map((name) => configMap(ns, name, { a: '1' }));
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns), ...three]));
    await world.reconciler.settled();
    await world.reconciler.stop(); // while nobody watches, somebody makes an object of the same name and labels
    const before = await cluster.dana.must(pathOf(ns, 'theirs'));
    await cluster.dana.delete(pathOf(ns, 'theirs'));
    await cluster.dana.create(`/api/v1/namespaces/${ns}/configmaps`, {
      ...configMap(ns, 'theirs', { precious: 'yes' }),
      metadata: { name: 'theirs', labels: before.metadata['labels'], annotations: before.metadata['annotations'] },
    });
    await cluster.dana.create(`/api/v1/namespaces/${ns}/configmaps`, {
      ...configMap(ns, 'labelled', {}),
      metadata: { name: 'labelled', labels: before.metadata['labels'] },
    });
    const { world: again } = await open({ ns, inventory: world.log.runs[0].end!.inventory.values() });
    again.reconciler.approve(await approve(ns, 'b', [namespace(ns), three[0]]));
    await again.reconciler.settled();
    expect(again.reconciler.state.trouble).toBeNull();
    expect(await cluster.dana.get(pathOf(ns, 'ours'))).toBeNull();
    expect((await cluster.dana.must(pathOf(ns, 'theirs')))['data']).toEqual({ precious: 'yes' });
    expect(await cluster.dana.get(pathOf(ns, 'labelled'))).not.toBeNull();
    expect([...again.log.runs[0].end!.inventory.keys()].toSorted()).toEqual([
      `/ConfigMap/${ns}/keep`,
      `/Namespace//${ns}`,
    ]);
  });

  it('is restored after a hand edit, which is attributed and recorded before it is corrected', async () => {
    const { world, ns } = await open();
    const change = await approve(ns, 'a', [namespace(ns), deployment(ns, 'cart', 'cart:1')]);
    world.reconciler.approve(change);
    await world.reconciler.settled();
    const seen: unknown[] = [];
    world.log.beforeStart = async () => {
      seen.push((await cluster.dana.must(deploymentPath(ns, 'cart')))['spec']);
    };
    const began = Date.now();
    await cluster.dana.edit(deploymentPath(ns, 'cart'), { spec: { replicas: 5 } });
    await until(
      'two replicas again',
      async () =>
        ((await cluster.dana.must(deploymentPath(ns, 'cart')))['spec'] as { replicas: number }).replicas === 2,
    );
    expect(Date.now() - began).toBeLessThan(1_000);
    await world.reconciler.settled();
    expect(seen).toMatchObject([{ replicas: 5 }]); // still as edited when the evidence became durable (invariant 12)
    expect(world.log.drifts).toMatchObject([
      {
        type: 'modified',
        identity: { kind: 'Deployment', name: 'cart' },
        fields: [{ type: 'changed', path: 'spec.replicas', desired: 2, live: 5 }],
        attribution: { strength: 'hint', manager: 'kubectl-edit', operation: 'Update' },
        decision: change.decision,
      },
    ]);
    expect(world.log.runs.at(-1)).toMatchObject({ run: { reason: 'repair' }, end: { outcome: 'succeeded' } });
    expect((await cluster.dana.must(deploymentPath(ns, 'cart'))).metadata['annotations']).toMatchObject({
      'countersign.dev/commit': change.head,
    });
  });

  it('loses what others put beside it: fields, containers, labels, and fields under our own name', async () => {
    const { world, ns } = await open();
    world.reconciler.approve(
      await approve(ns, 'a', [namespace(ns), deployment(ns, 'cart', 'cart:1'), configMap(ns, 'settings', { a: '1' })]),
    );
    await world.reconciler.settled();
    await cluster.dana.apply(
      deploymentPath(ns, 'cart'),
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'cart', labels: { extra: 'yes' } },
        spec: {
          template: { spec: { nodeSelector: { disk: 'ssd' }, containers: [{ name: 'miner', image: 'miner:1' }] } },
        },
      },
      'dana-tool',
    );
    await until('the drift is corrected', () => world.log.drifts.length === 1 && world.log.runs.at(-1)?.end !== null);
    expect(world.log.drifts[0].fields.map(({ type, path }) => `${type} ${path}`).toSorted()).toEqual([
      'added metadata.labels.extra',
      'added spec.template.spec.containers[name=miner]',
      'added spec.template.spec.nodeSelector',
    ]);
    expect(world.log.drifts[0].attribution).toMatchObject({ manager: 'dana-tool', operation: 'Apply' });
    const live = await cluster.dana.must(deploymentPath(ns, 'cart'));
    expect(live.metadata['labels']).not.toHaveProperty('extra');
    expect((live['spec'] as { template: { spec: { containers: unknown[] } } }).template.spec.containers).toHaveLength(
      1,
    );
    await cluster.dana.edit(pathOf(ns, 'settings'), { data: { smuggled: 'x' } }, 'countersign');
    await until('the second drift', () => world.log.drifts.length === 2 && world.log.runs.at(-1)?.end !== null);
    expect((await cluster.dana.must(pathOf(ns, 'settings')))['data']).toEqual({ a: '1' });
    expect(world.log.drifts[1].fields).toMatchObject([{ type: 'added', path: 'data.smuggled', live: 'x' }]);
  });

  it('is made again when it was deleted, or had its label taken off', async () => {
    const { world, ns } = await open();
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns), configMap(ns, 'settings', { a: '1' })]));
    await world.reconciler.settled();
    await cluster.dana.delete(pathOf(ns, 'settings'));
    await until('it is back', async () => (await cluster.dana.get(pathOf(ns, 'settings'))) !== null);
    await world.reconciler.settled();
    expect(world.log.drifts).toMatchObject([{ type: 'deleted', attribution: { strength: 'none' } }]);
    await cluster.dana.edit(pathOf(ns, 'settings'), { metadata: { labels: null } });
    await until(
      'the label is back',
      async () => 'labels' in (await cluster.dana.must(pathOf(ns, 'settings'))).metadata,
    );
    await world.reconciler.settled();
    expect(world.log.drifts[1]).toMatchObject({ type: 'modified', attribution: { strength: 'none' } });
  });

  it('keeps the values of Secrets out of what is recorded', async () => {
    const { world, ns } = await open();
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'login', namespace: ns },
      stringData: { password: 'hunter2' },
    };
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns), secret]));
    await world.reconciler.settled();
    await cluster.dana.edit(`/api/v1/namespaces/${ns}/secrets/login`, {
      data: { password: Buffer.from('swordfish').toString('base64') },
    });
    await until('the drift is corrected', () => world.log.drifts.length === 1 && world.log.runs.at(-1)?.end !== null);
    const live = await cluster.dana.must(`/api/v1/namespaces/${ns}/secrets/login`);
    expect(live['data']).toEqual({ password: Buffer.from('hunter2').toString('base64') });
    const told = JSON.stringify(
      world.log.runs.map(({ run, drifts, end }) => ({ run, drifts, end: { ...end, inventory: [...end!.inventory] } })),
    );
    for (const word of ['hunter2', 'swordfish']) {
      expect(told).not.toContain(word);
      expect(told).not.toContain(Buffer.from(word).toString('base64'));
    }
    expect(world.log.drifts[0].fields).toMatchObject([
      { path: 'data.password', desired: expect.stringContaining('hmac') as string },
    ]);
  });

  it('does not fight for ever: what is changed back each time is corrected ever more seldom, and told', async () => {
    const { world, ns } = await open();
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns), configMap(ns, 'settings', { a: '1' })]));
    await world.reconciler.settled();
    let edits = 0;
    const edit = async (): Promise<void> => {
      await cluster.dana.edit(pathOf(ns, 'settings'), { data: { a: `edit ${edits++}` } }, 'rival');
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const told = `ConfigMap ${ns}/settings is changed again and again`;
    await until(
      'it is told',
      async () => {
        await edit();
        const { status, trouble } = world.reconciler.state;
        return status === 'degraded' && trouble?.code === 'cluster-conflict' && trouble.sentence.includes(told);
      },
      60_000,
    );
    expect(world.log.drifts.length).toBeGreaterThan(4);
    const before = world.log.drifts.length;
    for (const stop = Date.now() + 1_500; Date.now() < stop;) await edit();
    expect(edits).toBeGreaterThan(20);
    expect(world.log.drifts.length).toBeLessThan(before + 4);
    // When the other gives up, it ends as approved.
    await until(
      'it is corrected',
      async () => JSON.stringify((await cluster.dana.must(pathOf(ns, 'settings')))['data']) === '{"a":"1"}',
    );
    await until('all is well', () => world.reconciler.state.trouble === null);
  });

  it('asks the server nothing and writes nothing at rest', async () => {
    const { world, ns } = await open();
    world.reconciler.approve(await approve(ns, 'a', [namespace(ns), configMap(ns, 'settings', { a: '1' })]));
    await world.reconciler.settled();
    const after = writes();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(writes() - after).toBe(0);
  });

  it('applies a definition and an object of it in one commit', async () => {
    const { world, ns } = await open();
    const group = `${ns}.example.org`;
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
    world.reconciler.approve(await approve(ns, 'a', [cart, definition, namespace(ns)]));
    await world.reconciler.settled();
    expect(world.reconciler.state.trouble).toBeNull();
    const path = `/apis/${group}/v1/namespaces/${ns}/carts/mine`;
    await cluster.dana.edit(path, { spec: { wheels: 3 } });
    await until(
      'four wheels again',
      async () => ((await cluster.dana.must(path))['spec'] as { wheels: number }).wheels === 4,
    );
  });
});
