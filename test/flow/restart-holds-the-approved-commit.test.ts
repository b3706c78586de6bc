import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ControlPlane, startControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { runCli } from '../support/cli.js';
import { oneWorld } from '../support/one-world.js';
import { cart, configMap, eventually, PRODUCTION, settings, type World } from '../support/world.js';

const folder = 'environments/production';

const ready = (n: number) => ({ replicas: n, updatedReplicas: n, readyReplicas: n, availableReplicas: n });

async function setStatus(world: World, more: object): Promise<void> {
  const { metadata } = await world.dana.must(world.path('deployments', 'cart'));
  const status = { observedGeneration: metadata['generation'], ...more };
  await world.dana.edit(`${world.path('deployments', 'cart')}/status`, { status });
}

const rebuild = (world: World, ...more: string[]) =>
  runCli(['rebuild', '--config', world.configFile, '--data', world.data, '--reason', 'the cluster is gone', ...more]); // prettier-ignore

describe('a service that is stopped and started', () => {
  const here = oneWorld();
  let other: ControlPlane | undefined;
  afterAll(() => other?.stop());

  it('writes nothing at rest', async () => {
    const { world, plane } = here;
    await world.live(await world.push({ files: { [`${folder}/settings.yaml`]: configMap('settings', 'a') } }));
    await sleep(1_000);
    const size = readFileSync(plane.auditLog, 'utf8').length;
    const entries = (await world.entries()).length;
    await sleep(20_000);
    expect(readFileSync(plane.auditLog, 'utf8').slice(size)).toBe('');
    expect(await world.entries()).toHaveLength(entries);
  });

  it('holds the cluster to the approved commit again, and reports what was changed meanwhile', async () => {
    const { world } = here;
    const approved = (await world.environment())!.approved!;
    const denied = await world.push({ files: { [`${folder}/cart.yaml`]: cart(9, 'cart:latest') } });
    await world.decision(denied);
    await world.stop();
    await world.dana.edit(world.path('deployments', 'cart'), { spec: { replicas: 7 } });
    await world.dana.delete(world.path('configmaps', 'settings'));
    await world.start();
    await eventually('the edit to be corrected', async () => (await world.replicas()) === 1);
    await eventually('the deletion to be corrected', async () => world.dana.get(world.path('configmaps', 'settings')));
    const drift = await eventually('both drifts in the log', async () => {
      const found = (await world.entries('drift')).slice(-2);
      return found.length === 2 ? found : null;
    });
    const kinds = drift.map(({ predicate }) => predicate['type']);
    expect(new Set(kinds)).toEqual(new Set(['deleted', 'modified']));
    const environment = await world.environment();
    expect(environment).toMatchObject({ head: denied, headOutcome: 'deny', approved });
    await world.repository.rewind(approved);
    await world.live(await world.pushGood(2));
  });

  it('holds it as it was defined when it was approved, while another definition waits for an allow', async () => {
    const { world } = here;
    const approved = (await world.environment())!.approved!;
    const narrower = settings(world.namespace).replace('target: prod', 'target: prod, ignore: [settings.yaml]');
    const denied = await world.push({
      author: world.bo,
      files: { 'countersign.yaml': narrower, [`${folder}/cart.yaml`]: cart(9, 'cart:latest') },
    });
    expect(await world.decision(denied, 'governance')).toMatchObject({ outcome: 'allow' });
    expect(await world.decision(denied)).toMatchObject({ outcome: 'deny' });
    await world.stop();
    await world.dana.edit(world.path('deployments', 'cart'), { spec: { replicas: 7 } });
    await world.dana.delete(world.path('configmaps', 'settings'));
    await world.start();
    await eventually('the edit to be corrected', async () => (await world.replicas()) === 2);
    await eventually('the deletion to be corrected', async () => world.dana.get(world.path('configmaps', 'settings')));
    expect(await world.environment()).toMatchObject({ head: denied, headOutcome: 'deny', approved });
    const files = { 'countersign.yaml': settings(world.namespace) };
    await world.live(await world.pushGood(2, { author: world.bo, files }));
  });

  it('starts again with nothing changed, and writes nothing in the cluster', async () => {
    const { world } = here;
    await eventually('every run to have ended', async () =>
      (await world.runs()).every((run) => run.finishedIndex !== null),
    );
    const [before, writes] = [await world.snapshot(), world.writes().length];
    await world.stop();
    await world.start();
    await eventually('it to be synced', async () =>
      ['synced', 'progressing'].includes((await world.environment())!.status),
    );
    await sleep(2_000);
    expect(await world.snapshot()).toEqual(before);
    expect(world.writes()).toHaveLength(writes);
  });

  it('finds what was pushed while it was away', async () => {
    const { world } = here;
    await world.stop();
    await world.pushGood(3);
    const head = await world.pushGood(4);
    await world.start();
    await world.live(head);
    expect(await world.replicas()).toBe(4);
    expect((await world.decision(head)).change.base).not.toBe(head);
  });

  describe('when a rollout fails', () => {
    const failed = { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message: 'out of time' };
    const returned = async () => {
      const { environment } = await here.world.query<{ environment: Shown }>(
        `{ environment(repository: "shop", name: "${PRODUCTION}") { healthy return { from to reason refusal decision { outcome change { operation } } } } }`,
      );
      return environment;
    };
    interface Shown {
      readonly healthy: string;
      readonly return: { readonly decision: unknown; readonly refusal: string | null } | null;
    }
    let good = '';

    it('goes back by itself to what was healthy, and stays there until its branch moves on', async () => {
      const { world } = here;
      const health = 'target: prod, reconcile: {health: {onFailure: return}}';
      const returning = settings(world.namespace).replace('target: prod', health);
      good = await world.pushGood(5, { author: world.bo, files: { 'countersign.yaml': returning } });
      await world.live(good);
      await setStatus(world, { ...ready(5), conditions: [] });
      await eventually('it to be known as healthy', async () => (await returned()).healthy === good);

      const bad = await world.pushGood(6);
      await world.live(bad);
      await setStatus(world, { ...ready(0), conditions: [failed] });
      await eventually('it to go back', async () => (await world.replicas()) === 5);
      const reason = `Deployment ${world.namespace}/cart is degraded: out of time`;
      const back = await eventually('the decision to be named', async () => {
        const now = await returned();
        return now.return?.decision ? now : null;
      });
      const decision = { outcome: 'allow', change: { operation: 'rollback' } };
      expect(back).toEqual({ healthy: good, return: { from: bad, to: good, reason, refusal: null, decision } });
      expect((await world.entries('action')).map(({ predicate }) => predicate)).toMatchObject([
        { action: 'return', from: bad, to: good, environment: PRODUCTION },
      ]);
      const told = await runCli(['environments', '--url', world.url]);
      expect(told.stdout).toContain(`went back from ${bad.slice(0, 12)} by itself: ${reason}`);

      // It fails again there: nothing is known to be better, so it stays, says so, and a restart does not forget it.
      await setStatus(world, { ...ready(0), conditions: [failed] });
      expect((await world.fault('return-refused')).trouble.message).toContain('a return is not followed by another');
      await world.stop();
      await world.start();
      await eventually(
        'it to be known again',
        async () => (await world.environment())!.trouble?.code === 'return-refused',
      );
      expect(await world.environment()).toMatchObject({ approved: good, head: good });
      expect(await world.replicas()).toBe(5);
      await world.live(await world.pushGood(7));
      expect(await returned()).toEqual({ healthy: good, return: null });
    });

    it('stays where it is when policy does not let it go back, and says so', async () => {
      const { world } = here;
      const rego =
        'package countersign.returns\nimport rego.v1\ndeny contains "not by itself" if input.operation == "rollback"\n';
      const bad = await world.pushGood(8, { author: world.bo, files: { 'policies/returns.rego': rego } });
      await world.live(bad);
      await setStatus(world, { ...ready(0), conditions: [failed] });
      const told = await eventually(
        'it to say so',
        async () => {
          const now = await world.environment();
          return now?.trouble?.code === 'return-refused' && now.headOutcome === 'deny' ? now : null;
        },
        async () =>
          JSON.stringify([await world.environment(), await returned(), (await world.decisions()).slice(0, 3)]),
      );
      expect(told).toMatchObject({ approved: bad, head: good, status: 'degraded' });
      expect(told.trouble!.message).toContain(`policy does not allow ${good.slice(0, 12)} now`);
      expect((await world.decision(good)).violations).toMatchObject([{ message: 'not by itself' }]);
      expect(await world.replicas()).toBe(8);
      // It gets well after all: nothing holds it back from following its branch.
      await setStatus(world, { ...ready(8), conditions: [] });
      await eventually('it to be well', async () => (await returned()).healthy === bad);
      await world.live(await world.pushGood(9));
    });
  });

  describe('and whose cluster is lost', () => {
    it('is not rebuilt while the service runs, nor where it is not lost at all', async () => {
      const { world } = here;
      expect((await rebuild(world)).stderr).toMatch(/the service of this folder runs .*Stop it first/);
      await world.stop();
      const { code, stdout } = await rebuild(world);
      expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringMatching(/this is no empty cluster.*\nnot all of it is back   0 of 1/) }); // prettier-ignore
      await world.start();
    });

    it('is rebuilt in one command, whatever keeps others from going live, as it was', async () => {
      const { world } = here;
      // Neither a window, nor drift that is only reported, is about what was live.
      const kept = `reconcile: {drift: report, afterOutage: report, windows: [{kind: deny, schedule: "* * * * *", duration: 2h, reason: audit}]}`;
      const files = { 'countersign.yaml': settings(world.namespace).replace('target: prod', `target: prod, ${kept}`) };
      const head = await world.push({ author: world.bo, files });
      await eventually('it to be held', async () => (await world.environment())!.approved === head);
      const [before, replicas] = [await world.liveObjects(), await world.replicas()];
      const [decisions, events] = [(await world.decisions()).length, (await world.entries()).length];
      await world.stop();
      other = await startControlPlane();
      await world.moveTo(other);
      const { code, stdout, stderr } = await rebuild(world);
      expect({ code, stderr, stdout }).toMatchObject({ code: 0, stderr: '' });
      expect(stdout).toMatch(/^✓ shop shop\/production {3}prod {3}\d objects, \d healthy {3}[\d.]+ s\nrebuilt {3}1 of 1 environments live as approved, \d objects, [\d.]+ s\n$/); // prettier-ignore
      const bare = (found: typeof before) => found.map(({ plural, metadata: { name } }) => `${plural}/${name}`).filter((one) => !one.includes('kube-root-ca')).toSorted(); // prettier-ignore
      expect(bare(await world.liveObjects())).toEqual(bare(before));
      expect(await world.replicas()).toBe(replicas);
      await world.start();
      const actions = (await world.entries('action')).slice(-1);
      expect(actions).toMatchObject([
        { predicate: { action: 'rebuild', environment: PRODUCTION, target: 'prod', head } },
      ]);
      // It is no drift, and nothing was decided anew.
      expect((await world.entries('drift')).filter(({ index }) => index >= events)).toEqual([]);
      expect(await world.decisions()).toHaveLength(decisions);
      await eventually('it to be as before', async () => ['suspended', 'synced', 'progressing'].includes((await world.environment())!.status)); // prettier-ignore
    }, 120_000);
  });
});
