import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { oneWorld } from '../support/one-world.js';
import { cart, configMap, eventually, settings } from '../support/world.js';

const folder = 'environments/production';

describe('a service that is stopped and started', () => {
  const here = oneWorld();

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
});
