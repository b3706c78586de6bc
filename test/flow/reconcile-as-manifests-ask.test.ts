import { applySetIdOf, applySetParent } from '../../src/change/apply-set.js';
import type { ReconcileSettings } from '../../src/change/reconcile-settings.js';
import { PART_OF } from '../../src/reconcile/own-metadata.js';
import { environmentNamed, manifests } from '../support/approvals.js';
import { configMap, deployment, namespace, until } from '../support/cluster.js';
import { clusterWorlds, type OpenOptions } from '../support/cluster-worlds.js';

const maps = (ns: string) => `/api/v1/namespaces/${ns}/configmaps`;
const jobs = (ns: string) => `/apis/batch/v1/namespaces/${ns}/jobs`;
const deployments = (ns: string) => `/apis/apps/v1/namespaces/${ns}/deployments`;
const ARGO = 'argocd.argoproj.io';
const FLUX = 'kustomize.toolkit.fluxcd.io';

type Described = { metadata: { annotations?: object } };
const annotated = (object: object, annotations: Record<string, string>): object => {
  const { metadata } = object as Described;
  return { ...object, metadata: { ...metadata, annotations: { ...metadata.annotations, ...annotations } } };
};

const job = (ns: string, name: string, hook: string, more: Record<string, string> = {}, text = 'true'): object =>
  annotated(
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name, namespace: ns },
      spec: {
        template: { spec: { restartPolicy: 'Never', containers: [{ name, image: 'job:1', command: [text] }] } },
      },
    },
    { [`${ARGO}/hook`]: hook, ...more },
  );

describe('manifests say how they are reconciled', () => {
  const cluster = clusterWorlds('asked');
  const open = (reconcile: ReconcileSettings = {}, options: OpenOptions = {}) =>
    cluster.open({ ...options, reconcile });

  const written = (ns: string, from = 0) =>
    cluster
      .writes()
      .slice(from)
      .filter(({ objectRef }) => objectRef?.namespace === ns)
      .map(({ verb, objectRef }) => `${verb} ${objectRef?.resource}/${objectRef?.name}`);

  const settle = (path: string, type: 'Complete' | 'Failed') =>
    cluster.dana.edit(`${path}/status`, {
      status: {
        startTime: '2026-11-21T00:00:00Z',
        ...(type === 'Complete' ? { completionTime: '2026-11-21T00:00:01Z', succeeded: 1 } : {}),
        conditions: [
          { type: type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget', status: 'True' },
          { type, status: 'True', message: `it is ${type}`, lastTransitionTime: '2026-11-21T00:00:01Z' },
        ],
      },
    });

  const roll = async (ns: string, name: string) =>
    cluster.dana.edit(`${deployments(ns)}/${name}/status`, {
      status: {
        observedGeneration: (await cluster.dana.must(`${deployments(ns)}/${name}`)).metadata['generation'],
        replicas: 2,
        updatedReplicas: 2,
        readyReplicas: 2,
        availableReplicas: 2,
      },
    });

  it('waits for what it depends on with what is new, and keeps what is live meanwhile', async () => {
    const held = { reason: 'it waits until db is at the approved commit and healthy', remedy: 'See db', until: 0 };
    let waits = false;
    const looks = { count: 0 };
    const waitsFor = () => {
      looks.count += 1;
      return Promise.resolve(waits ? { ...held, until: Date.now() + 50 } : null);
    };
    const { world, ns, begin, apply } = await open({}, { waitsFor });
    await apply('a', [configMap(ns, 'map', { a: '1' })]);
    waits = true;
    const next = await begin('b', [configMap(ns, 'map', { a: '2' })]);
    await until('it waits', () => world.reconciler.state.status === 'suspended');
    expect(world.reconciler.state.trouble).toMatchObject({ message: expect.stringContaining('it waits until db') as string, remedy: 'See db' }); // prettier-ignore
    await cluster.dana.edit(`${maps(ns)}/map`, { data: { a: '3' } });
    const data = async () =>
      ((await cluster.dana.must(`${maps(ns)}/map`)) as unknown as { data: { a: string } }).data.a;
    await until('what is live is kept', async () => (await data()) === '1');
    const { count } = looks;
    await until('it looks again by itself', () => looks.count > count);
    waits = false;
    await until('it goes on', () => world.reconciler.state.applied === next.decision);
    expect(await data()).toBe('2');
    expect(world.reconciler.state.status).toBe('synced');
  });

  it('tells other tools which objects belong together, as an ApplySet of their own kind, and stops to', async () => {
    const ns = 'asked-applyset';
    const set = { applySet: { parent: 'set' } };
    const labels = async (path: string) => (await cluster.dana.must(path)).metadata['labels'] as Record<string, string>;
    const environment = (reconcile: ReconcileSettings) => ({ ...environmentNamed(ns, ns), reconcile });
    const { world } = await open({}, { ns });
    const begin = async (head: string, reconcile: ReconcileSettings) => {
      const members = manifests([namespace(ns), configMap(ns, 'map', {}), deployment(ns, 'cart', 'cart:1')]);
      const parent = applySetParent(environment(reconcile), members);
      const objects = [...members, ...(parent ? [parent] : [])].map(({ object }) => object);
      world.reconciler.approve(await cluster.decisions.approved(environment(reconcile), head.repeat(40), objects));
      await world.reconciler.settled();
      expect(world.reconciler.state.trouble).toBeNull();
    };
    await begin('a', {});
    const before = (await labels(`${maps(ns)}/map`))[PART_OF];
    await begin('b', set);
    const parent = await cluster.dana.must(`${maps(ns)}/set`);
    const id = applySetIdOf({ name: 'set', namespace: ns, kind: 'ConfigMap', group: '' });
    expect(parent.metadata).toMatchObject({
      labels: { 'applyset.kubernetes.io/id': id },
      annotations: { 'applyset.kubernetes.io/contains-group-kinds': 'ConfigMap,Deployment.apps,Namespace' },
    });
    // What Git did not change is known by the new id, too, and nothing is taken for drift.
    expect((await labels(`${maps(ns)}/map`))[PART_OF]).toBe(id);
    expect((await labels(`${deployments(ns)}/cart`))[PART_OF]).toBe(id);
    expect(world.log.drifts).toEqual([]);
    await begin('c', {});
    expect((await labels(`${maps(ns)}/map`))[PART_OF]).toBe(before);
    expect(await cluster.dana.get(`${maps(ns)}/set`)).toBeNull();
  });

  it('goes through sync waves and dependencies in order, each healthy before the next', async () => {
    const { world, ns, begin } = await open();
    const wave = (object: object, number: number) => annotated(object, { [`${ARGO}/sync-wave`]: String(number) });
    const change = await begin('a', [
      wave(configMap(ns, 'third', {}), 3),
      wave(deployment(ns, 'cart', 'cart:1'), 1),
      annotated(wave(configMap(ns, 'dependent', {}), 1), {
        'config.kubernetes.io/depends-on': `apps/namespaces/${ns}/Deployment/cart`,
      }),
      wave(configMap(ns, 'first', {}), -1),
    ]);
    await until('the first waves are live', async () => (await cluster.dana.get(`${deployments(ns)}/cart`)) !== null);
    expect(await cluster.dana.get(`${maps(ns)}/dependent`)).toBeNull();
    await roll(ns, 'cart');
    await until('it is through', () => world.reconciler.state.applied === change.decision);
    expect(written(ns).slice(-4)).toEqual([
      'patch configmaps/first',
      'patch deployments/cart',
      'patch configmaps/dependent',
      'patch configmaps/third',
    ]);
    expect(world.log.runs).toHaveLength(1);
  });

  it('writes nothing of any wave when a later one would be refused, nor of a wave after one that is degraded', async () => {
    const { world, ns, apply, begin } = await open();
    await apply('a', []);
    const late = { [`${ARGO}/sync-wave`]: '5' };
    await apply('b', [configMap(ns, 'early', {}), annotated(configMap(ns, 'Not_A_Name', {}), late)]);
    expect(world.reconciler.state.trouble).toMatchObject({ code: 'cluster-refused' });
    expect(await cluster.dana.get(`${maps(ns)}/early`)).toBeNull();
    await begin('c', [deployment(ns, 'cart', 'cart:1'), annotated(configMap(ns, 'late', {}), late)]);
    await until('the deployment is there', async () => (await cluster.dana.get(`${deployments(ns)}/cart`)) !== null);
    await cluster.dana.edit(`${deployments(ns)}/cart/status`, {
      status: {
        observedGeneration: 1,
        conditions: [
          { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message: 'it ran out of time' },
        ],
      },
    });
    await until('it gives up', () => world.reconciler.state.trouble?.code === 'object-unhealthy');
    expect(world.reconciler.state.trouble?.sentence).toMatch(
      `wave 0 is not healthy: Deployment ${ns}/cart: it ran out of time`,
    );
    expect(await cluster.dana.get(`${maps(ns)}/late`)).toBeNull();
    const before = world.log.runs.length;
    await world.reconciler.settled();
    expect(world.log.runs).toHaveLength(before);
  });

  it.each([
    [{ [`${ARGO}/sync-options`]: 'Sideways=true' }, /sync-options: "Sideways=true" is not supported/],
    [{ [`${ARGO}/sync-options`]: 'ServerSideApply=false' }, /"ServerSideApply=false" is not supported/],
    [{ [`${ARGO}/hook`]: 'MidSync' }, /hook: "MidSync" is not supported/],
    [{ [`${ARGO}/sync-wave`]: 'first' }, /sync-wave: "first" is no whole number/],
    [{ [`${FLUX}/ssa`]: 'never' }, /ssa: "never" is not understood/],
    [{ 'config.kubernetes.io/depends-on': '/namespaces/x/ConfigMap/gone' }, /which this environment does not have/],
  ])('refuses %j by name before anything is written', async (annotations, message) => {
    const { world, ns, apply } = await open();
    const start = cluster.writes().length;
    await apply('a', [annotated(configMap(ns, 'one', {}), annotations)]);
    expect(world.reconciler.state).toMatchObject({ status: 'failed', trouble: { code: 'object-invalid' } });
    expect(world.reconciler.state.trouble!.sentence).toMatch(message);
    expect(cluster.writes()).toHaveLength(start);
  });

  it('runs hooks before and after, once for each state, and deletes them as their policy says', async () => {
    const { world, ns, begin } = await open();
    const objects = (value: string) => [
      job(ns, 'before', 'PreSync'),
      job(ns, 'after', 'PostSync', { [`${ARGO}/hook-delete-policy`]: 'HookSucceeded' }),
      job(ns, 'never', 'Skip'),
      job(ns, 'alarm', 'SyncFail'),
      configMap(ns, 'settings', { value }),
    ];
    // The namespace of the hooks is not among them: hooks before need what they run in.
    await cluster.dana.create('/api/v1/namespaces', namespace(ns));
    const first = await begin('a', objects('1'));
    await until('the first hook runs', async () => (await cluster.dana.get(`${jobs(ns)}/before`)) !== null);
    expect(await cluster.dana.get(`${maps(ns)}/settings`)).toBeNull();
    await settle(`${jobs(ns)}/before`, 'Complete');
    await until('the last hook runs', async () => (await cluster.dana.get(`${jobs(ns)}/after`)) !== null);
    expect(await cluster.dana.get(`${maps(ns)}/settings`)).not.toBeNull();
    await settle(`${jobs(ns)}/after`, 'Complete');
    await until('it is through', () => world.reconciler.state.applied === first.decision);
    await until('its policy is kept', async () => {
      const after = await cluster.dana.get(`${jobs(ns)}/after`);
      return after === null || after.metadata['deletionTimestamp'] !== undefined;
    });
    expect(await cluster.dana.get(`${jobs(ns)}/never`)).toBeNull();
    expect(await cluster.dana.get(`${jobs(ns)}/alarm`)).toBeNull();
    expect(world.log.runs[0].run.planned.filter(({ op }) => op === 'hook')).toHaveLength(3);
    const { uid } = (await cluster.dana.must(`${jobs(ns)}/before`)).metadata;

    // The same state again runs none of them; deleting a hook's object is no drift.
    const inventory = world.log.runs[0].end!.inventory;
    const again = await open({}, { ns, inventory: inventory.values() });
    await again.apply('b', objects('1'));
    expect(again.world.log.runs).toEqual([]);
    expect(again.world.reconciler.state.trouble).toBeNull();
    await world.close();
    await again.begin('c', objects('2'));
    await until('the hook runs anew', async () => {
      const now = await cluster.dana.get(`${jobs(ns)}/before`);
      return now !== null && now.metadata.uid !== uid;
    });
    await settle(`${jobs(ns)}/before`, 'Failed');
    await until('what waits for failures runs', async () => (await cluster.dana.get(`${jobs(ns)}/alarm`)) !== null);
    await settle(`${jobs(ns)}/alarm`, 'Complete');
    await until('it says so', () => again.world.reconciler.state.trouble?.code === 'hook-failed');
    expect(again.world.reconciler.state.trouble?.sentence).toContain(
      `PreSync hook Job ${ns}/before failed: it is Failed`,
    );
    expect((await cluster.dana.must(`${maps(ns)}/settings`))['data']).toEqual({ value: '1' });
    // It does not run again by itself.
    const third = await open({}, { ns, inventory: again.world.log.runs.at(-1)!.end!.inventory.values() });
    await again.world.close();
    await third.apply('d', objects('2'));
    expect(third.world.reconciler.state.trouble).toMatchObject({ code: 'hook-failed' });
    expect(third.world.log.runs).toEqual([]);
  }, 30_000);

  it('replaces what cannot change only where its manifest says so', async () => {
    const { world, ns, apply } = await open();
    const fixed = (value: string, more: Record<string, string> = {}) => ({
      ...annotated(configMap(ns, 'fixed', { value }), more),
      immutable: true,
    });
    await apply('a', [fixed('1')]);
    const { uid } = (await cluster.dana.must(`${maps(ns)}/fixed`)).metadata;
    await apply('b', [fixed('2')]);
    expect(world.reconciler.state.trouble?.sentence).toMatch(/field is immutable.*Force=true/);
    expect((await cluster.dana.must(`${maps(ns)}/fixed`)).metadata.uid).toBe(uid);
    const force = await apply('c', [fixed('3', { [`${ARGO}/sync-options`]: 'Force=true' })]);
    expect(world.reconciler.state).toMatchObject({ trouble: null, applied: force.decision });
    const live = await cluster.dana.must(`${maps(ns)}/fixed`);
    expect(live['data']).toEqual({ value: '3' });
    expect(live.metadata.uid).not.toBe(uid);
    expect(world.log.runs.at(-1)!.run.planned).toMatchObject([{ op: 'replace', identity: { name: 'fixed' } }]);
    await world.reconciler.settled();
    expect(world.log.drifts).toEqual([]);
  });

  it('keeps, merges, makes once or leaves alone what asks for it', async () => {
    const { world, ns, apply } = await open();
    const named = (name: string, annotations: Record<string, string>) =>
      annotated(configMap(ns, name, { a: '1' }), annotations);
    const objects = [
      named('kept', { [`${FLUX}/prune`]: 'disabled' }),
      named('merged', { [`${FLUX}/ssa`]: 'Merge' }),
      named('once', { [`${FLUX}/ssa`]: 'IfNotPresent' }),
      named('ignored', { [`${FLUX}/reconcile`]: 'disabled' }),
    ];
    await apply('a', objects);
    expect(world.reconciler.state.trouble).toBeNull();
    expect(await cluster.dana.get(`${maps(ns)}/ignored`)).toBeNull();
    for (const name of ['merged', 'once']) await cluster.dana.edit(`${maps(ns)}/${name}`, { data: { b: '2' } });
    await cluster.dana.edit(`${maps(ns)}/once`, { data: { a: 'theirs' } });
    await cluster.dana.edit(`${maps(ns)}/merged`, { data: { a: 'drift' } });
    await until('ours is back', async () => {
      const { data } = (await cluster.dana.must(`${maps(ns)}/merged`)) as unknown as { data: { a: string } };
      return data.a === '1';
    });
    expect((await cluster.dana.must(`${maps(ns)}/merged`))['data']).toEqual({ a: '1', b: '2' });
    expect((await cluster.dana.must(`${maps(ns)}/once`))['data']).toEqual({ a: 'theirs', b: '2' });
    expect(world.log.drifts.map(({ identity }) => identity.name)).toEqual(['merged']);
    await apply('b', []);
    expect(world.reconciler.state.trouble).toBeNull();
    expect(await cluster.dana.get(`${maps(ns)}/kept`)).not.toBeNull();
    expect(await cluster.dana.get(`${maps(ns)}/merged`)).toBeNull();
    // An annotation that is put on in the cluster protects nothing: it is drift (DESIGN 9).
    await apply('c', [configMap(ns, 'plain', {})]);
    await cluster.dana.edit(`${maps(ns)}/plain`, { metadata: { annotations: { [`${FLUX}/prune`]: 'disabled' } } });
    await until('it is taken off', () => world.log.drifts.length === 2);
    await apply('d', []);
    expect(await cluster.dana.get(`${maps(ns)}/plain`)).toBeNull();
  });

  it('deletes too much, or what is protected, only with an approval; and follows what finalizers hold', async () => {
    const { world, ns, apply } = await open();
    const many = Array.from({ length: 8 }, (_, i) => configMap(ns, `map-${i}`, {}));
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'disk', namespace: ns },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    };
    await apply('a', [...many, claim]);
    await apply('b', [claim]);
    expect(world.reconciler.state.trouble?.sentence).toMatch(/8 of 10 objects would be deleted, more than 50 %/);
    expect(await cluster.dana.get(`${maps(ns)}/map-0`)).not.toBeNull();
    await apply('c', many);
    expect(world.reconciler.state.trouble?.sentence).toMatch(
      /PersistentVolumeClaim .*disk would be deleted.*protected/,
    );
    await cluster.dana.edit(`${maps(ns)}/map-7`, { metadata: { finalizers: ['example.org/wait'] } });
    const approved = await apply('d', [claim], ['approval-1']);
    expect(world.reconciler.state).toMatchObject({ trouble: null, applied: approved.decision, status: 'progressing' });
    expect(await cluster.dana.get(`${maps(ns)}/map-0`)).toBeNull();
    await until('it says what it waits for', () => /example\.org\/wait/.test(world.reconciler.state.health.reason));
    expect(world.reconciler.objects().map(({ entry }) => entry.identity.name)).toContain('map-7');
    const writes = cluster.writes().length;
    await apply('e', [claim], ['approval-1']);
    expect(cluster.writes()).toHaveLength(writes);
    await cluster.dana.edit(`${maps(ns)}/map-7`, { metadata: { finalizers: null } });
    await until('it is gone', () => world.reconciler.objects().every(({ entry }) => entry.identity.name !== 'map-7'));
  });

  it('adopts what kubectl and Argo CD applied, names the conflicts, and migrates their field managers', async () => {
    const { world, ns, apply } = await open();
    await apply('a', []);
    const last = { 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
    const theirs = annotated(configMap(ns, 'settings', { a: 'old', gone: 'x' }), last);
    await cluster.dana.create(maps(ns), theirs, 'kubectl-client-side-apply');
    await cluster.dana.apply(
      `${maps(ns)}/settings`,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { a: 'argo' } },
      'argocd-controller',
    );
    await apply('b', [configMap(ns, 'settings', { a: 'new' })]);
    const live = await cluster.dana.must(`${maps(ns)}/settings`);
    expect(live['data']).toEqual({ a: 'new' });
    expect(live.metadata['annotations']).not.toHaveProperty(['kubectl.kubernetes.io/last-applied-configuration']);
    expect((live.metadata['managedFields'] as { manager: string }[]).map(({ manager }) => manager)).toEqual([
      'countersign',
    ]);
    const result = world.log.runs.at(-1)!.end!.results[0];
    expect(result).toMatchObject({ op: 'adopt', outcome: 'written' });
    expect(result.taken).toContainEqual({ path: 'data.a', manager: 'argocd-controller', operation: 'Apply' });
  });

  it('takes nothing that belongs to another environment or inventory', async () => {
    const one = await open();
    await one.apply('a', [configMap(one.ns, 'shared', { of: 'one' })]);
    const other = await open();
    await other.apply('a', [configMap(one.ns, 'shared', { of: 'other' })]);
    expect(other.world.reconciler.state.trouble).toMatchObject({ code: 'object-claimed' });
    expect(other.world.reconciler.state.trouble!.sentence).toMatch(
      `belongs to another inventory: environment ${one.ns}`,
    );
    await cluster.dana.create(maps(one.ns), {
      ...configMap(one.ns, 'foreign', {}),
      metadata: { name: 'foreign', annotations: { 'config.k8s.io/owning-inventory': 'of-another-cluster' } },
    });
    await one.apply('b', [configMap(one.ns, 'shared', { of: 'one' }), configMap(one.ns, 'foreign', { a: '1' })]);
    expect(one.world.reconciler.state.trouble!.sentence).toContain('owning-inventory is of-another-cluster');
    expect((await cluster.dana.must(`${maps(one.ns)}/shared`))['data']).toEqual({ of: 'one' });
  });

  it('only reports drift, or does not look for it, where the environment says so', async () => {
    const { world, ns, apply } = await open({
      drift: 'report',
      driftOf: [
        { kind: 'ConfigMap', name: 'off-*', mode: 'off' },
        { kind: 'ConfigMap', name: 'kept', mode: 'correct' },
      ],
    });
    const objects = (value: string) => ['told', 'off-1', 'kept'].map((name) => configMap(ns, name, { a: value }));
    await apply('a', objects('1'));
    for (const name of ['told', 'off-1', 'kept']) await cluster.dana.edit(`${maps(ns)}/${name}`, { data: { a: 'x' } });
    await until('both are recorded', () => world.log.drifts.length === 2 && world.log.runs.at(-1)?.end !== null);
    await world.reconciler.settled();
    expect(world.log.drifts.map(({ identity }) => identity.name).toSorted()).toEqual(['kept', 'told']);
    await until(
      'one is corrected',
      async () => JSON.stringify((await cluster.dana.must(`${maps(ns)}/kept`))['data']) === '{"a":"1"}',
    );
    expect((await cluster.dana.must(`${maps(ns)}/told`))['data']).toEqual({ a: 'x' });
    expect((await cluster.dana.must(`${maps(ns)}/off-1`))['data']).toEqual({ a: 'x' });
    await until('it is told', () => world.reconciler.state.trouble?.code === 'drifted');
    expect(world.reconciler.state).toMatchObject({ status: 'degraded' });
    // Told once, though the object is written again with the same difference.
    await cluster.dana.edit(`${maps(ns)}/told`, { data: { a: 'x' }, metadata: { annotations: { touched: 'yes' } } });
    await until('the newer difference is told', () => world.log.drifts.length === 3);
    await apply('b', objects('1'));
    expect((await cluster.dana.must(`${maps(ns)}/told`))['data']).toEqual({ a: 'x' });
    await apply('c', objects('2'));
    expect((await cluster.dana.must(`${maps(ns)}/told`))['data']).toEqual({ a: '2' });
    expect(world.reconciler.state.trouble).toBeNull();
  });

  it('holds what was changed while it was away, where it only reports that', async () => {
    const settings: ReconcileSettings = { afterOutage: 'report' };
    const { world, ns, apply } = await open(settings);
    const objects = [configMap(ns, 'one', { a: '1' }), configMap(ns, 'two', { a: '1' })];
    await apply('a', objects);
    await world.close();
    await cluster.dana.edit(`${maps(ns)}/one`, { data: { a: 'meanwhile' } });
    const back = await open(settings, { ns, inventory: world.log.runs[0].end!.inventory.values() });
    await back.apply('a', objects);
    expect(back.world.log.drifts).toMatchObject([{ identity: { name: 'one' } }]);
    expect((await cluster.dana.must(`${maps(ns)}/one`))['data']).toEqual({ a: 'meanwhile' });
    await cluster.dana.edit(`${maps(ns)}/two`, { data: { a: 'now' } });
    await until(
      'what is changed now is corrected',
      async () => JSON.stringify((await cluster.dana.must(`${maps(ns)}/two`))['data']) === '{"a":"1"}',
    );
  });

  it('writes nothing while it is suspended, and nothing new outside of its windows, but keeps what is live', async () => {
    const { world, ns, apply } = await open();
    const objects = (value: string) => [configMap(ns, 'one', { a: value })];
    const value = async () =>
      ((await cluster.dana.must(`${maps(ns)}/one`)) as unknown as { data: { a: string } }).data.a;
    const first = await apply('a', objects('1'));
    world.reconciler.configure({ suspend: { reason: 'INC-7' } });
    await apply('b', objects('2'));
    expect(world.reconciler.state).toMatchObject({ status: 'suspended', applied: first.decision });
    expect(world.reconciler.state.trouble!.sentence).toMatch(/it is suspended: INC-7.*countersign resume/);
    await cluster.dana.edit(`${maps(ns)}/one`, { data: { a: 'by hand' } });
    await until('it is recorded', () => world.log.drifts.length === 1 && world.log.runs.at(-1)?.end !== null);
    await world.reconciler.settled();
    expect(await value()).toBe('by hand');

    // Every minute of every day is denied.
    const windows = [{ kind: 'deny', schedule: '* * * * *', duration: 120_000, reason: 'freeze' }] as const;
    world.reconciler.configure({ windows });
    await until('what was live is put back', async () => (await value()) === '1');
    await until('it waits', () => world.reconciler.state.status === 'suspended');
    expect(world.reconciler.state.trouble!.sentence).toContain('"* * * * *" UTC (freeze) denies changes until');
    world.reconciler.configure({ windows, override: { reason: 'INC-8', until: '2999-01-01T00:00:00Z' } });
    await until('the change goes live', async () => (await value()) === '2');
    await until('all is well', () => world.reconciler.state.trouble === null);
  });

  it('leaves fields that are to be ignored to whoever has them, in drift and in deploying', async () => {
    const { world, ns, apply } = await open({
      ignoreDifferences: [
        { kind: 'Deployment', jsonPointers: ['/spec/replicas'] },
        { kind: 'Deployment', jqPathExpressions: ['.spec.template.spec.containers[] | select(.name == "sidecar")'] },
        { kind: 'ConfigMap', managedFieldsManagers: ['robot'] },
      ],
    });
    await apply('a', [deployment(ns, 'cart', 'cart:1'), configMap(ns, 'settings', { a: '1', b: '1' })]);
    await cluster.dana.edit(`${deployments(ns)}/cart`, { spec: { replicas: 7 } });
    await cluster.dana.apply(
      `${deployments(ns)}/cart`,
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'cart' },
        spec: { template: { spec: { containers: [{ name: 'sidecar', image: 'side:1' }] } } },
      },
      'injector',
    );
    await cluster.dana.edit(`${maps(ns)}/settings`, { data: { a: 'robot' } }, 'robot');
    await apply('b', [deployment(ns, 'cart', 'cart:2'), configMap(ns, 'settings', { a: '1', b: '2' })]);
    expect(world.reconciler.state.trouble).toBeNull();
    expect(world.log.drifts).toEqual([]);
    const { spec } = (await cluster.dana.must(`${deployments(ns)}/cart`)) as unknown as {
      spec: { replicas: number; template: { spec: { containers: { name: string; image: string }[] } } };
    };
    expect(spec.replicas).toBe(7);
    expect(spec.template.spec.containers.map(({ image }) => image)).toEqual(['cart:2', 'side:1']);
    expect((await cluster.dana.must(`${maps(ns)}/settings`))['data']).toEqual({ a: 'robot', b: '2' });
  });
});
