import { person } from '../../src/adapters/git/scratch-repository.js';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventFaults, isSigned, startReceiver, type Receiver } from '../support/cloud-events.js';
import { oneWorld } from '../support/one-world.js';
import { refused } from '../support/refused.js';
import { cart, configMap, eventually, PRODUCTION } from '../support/world.js';

const fileOf = (name: string): string => `environments/production/${name}.yaml`;

describe('a commit that policy does not allow', () => {
  let receiver: Receiver;
  const secret = 'a secret of some length';
  const here = oneWorld(async (plane) => {
    receiver = await startReceiver();
    const file = join(plane.directory, 'hook');
    await writeFile(file, secret);
    const limits = `notifications:
  - {name: ops, url: '${receiver.url}', secretFile: ${file}, types: [decision.*, run.finished, drift.*], environments: [shop/*]}
  - {name: chat, url: '${receiver.url}', types: [decision.recorded], outcomes: [deny], text: '{outcome}: {summary}'}`;
    return { limits, target: 'events: true' };
  });
  afterAll(() => receiver.close());

  it('is never applied: the last approved one stays (invariant 1)', async () => {
    const { world } = here;
    const files = { 'environments/production/cart.yaml': cart(7, 'cart:latest') };
    const decision = await refused(world, { files });
    expect(decision.violations).toContainEqual(
      expect.objectContaining({
        rule: 'images.pinned',
        source: { path: 'environments/production/cart.yaml', line: expect.any(Number) as number },
        fix: expect.any(String) as string,
      }),
    );
    expect((await world.environment())!.approved).toBe(world.genesis);
  });

  it('is told to whoever is configured to hear of it, as a signed CloudEvent or in one line for a chat', async () => {
    const { world } = here;
    const told = await eventually('it to be told', async () => {
      const denied = receiver.received.filter(({ body }) => body.includes('images.pinned'));
      return denied.length === 2 ? denied : null;
    });
    const [event] = told.filter(({ headers }) => headers['content-type']?.startsWith('application/cloudevents+json'));
    expect(isSigned(event, secret)).toBe(true);
    const said = JSON.parse(event.body) as Record<string, unknown>;
    expect(eventFaults(said)).toEqual([]);
    const [{ index, change }] = await world.decisions();
    expect(said).toMatchObject({
      id: String(index),
      source: '//log.example.org/world',
      type: 'dev.countersign.decision.recorded',
      repository: 'shop',
      environment: PRODUCTION,
      outcome: 'deny',
      data: { head: change.head, rules: ['images.pinned', 'images.registries'] },
    });
    // Neither who it was nor what they wrote.
    expect(event.body).not.toMatch(/Ann|example\.org\/cart|cart:latest/);
    const chat = told.find((one) => one !== event)!;
    expect(JSON.parse(chat.body)).toEqual({
      text: `deny: shop ${PRODUCTION}: deny ${change.head.slice(0, 12)}: images.pinned, images.registries`,
    });
    expect(chat.headers['webhook-signature']).toBeUndefined();
  });

  it('is told later where nobody took it, in order, and /metrics says so meanwhile', async () => {
    const { world } = here;
    receiver.state.answer = 503;
    const before = receiver.received.length;
    await refused(world, { files: { 'environments/production/cart.yaml': cart(7, 'other:latest') } });
    const failing = async (): Promise<boolean> =>
      /notifications_failing_seconds\{destination="ops"\} [0-9.]*[1-9]/.test(
        await (await fetch(`${world.url}/metrics`)).text(),
      );
    await eventually('it to be seen', failing);
    await world.dana.edit(world.path('deployments', 'cart'), { spec: { replicas: 9 } });
    await eventually('the edit to be corrected', async () => (await world.replicas()) === 1);
    receiver.state.answer = 204;
    const told = await eventually('all of it to be told', async () => {
      const news = receiver.received.slice(before).filter(({ headers }) => headers['webhook-signature']);
      return news.length >= 3 ? news : null;
    });
    const events = told.map(({ body }) => JSON.parse(body) as { id: string; type: string });
    expect(events.map(({ type }) => type.replace('dev.countersign.', ''))).toEqual([
      'decision.recorded',
      'drift.found',
      'run.finished',
    ]);
    expect(events.map(({ id }) => Number(id))).toEqual(events.map(({ id }) => Number(id)).toSorted((a, b) => a - b));
    await eventually('it to be well', async () => !(await failing()));
  });

  it('is told in the cluster, and so is a drift of the object that drifted', async () => {
    const { world } = here;
    const events = async () => {
      const path = `/apis/events.k8s.io/v1/namespaces/${world.namespace}/events`;
      const { items } = (await world.dana.must(path)) as unknown as { items: Record<string, unknown>[] };
      return items.filter((one) => one['reportingController'] === 'countersign.dev/countersign');
    };
    const reasons = async (reason: string) => (await events()).filter((one) => one['reason'] === reason);
    const [denied] = await eventually('it to be told', async () => {
      const found = await reasons('Denied');
      return found.length > 0 ? found : null;
    });
    expect(denied).toMatchObject({
      type: 'Warning',
      note: expect.stringMatching(/^shop\/production: deny [0-9a-f]{12}: images\.pinned/) as string,
      regarding: { kind: 'Namespace', name: world.namespace },
    });
    // The same again is one event, which may be told of an earlier drift, too.
    const drifted = async () => {
      const all = (await reasons('Drifted')) as {
        regarding?: { kind: string; name: string };
        series?: { count: number };
      }[];
      const ofCart = all.filter(({ regarding }) => regarding?.kind === 'Deployment' && regarding.name === 'cart');
      return { events: ofCart.length, times: ofCart.length === 0 ? 0 : (ofCart[0].series?.count ?? 1) };
    };
    const { times: before } = await drifted();
    const deployment = world.path('deployments', 'cart');
    for (const replicas of [8, 9]) {
      await world.dana.edit(deployment, { spec: { replicas } });
      await eventually('the edit to be corrected', async () => (await world.replicas()) === 1);
    }
    await eventually('both to be told', async () => (await drifted()).times >= before + 2);
    expect(await drifted()).toMatchObject({ events: 1 });
  });

  it('does not keep the last approved one from being repaired', async () => {
    const { world } = here;
    await world.dana.edit(world.path('deployments', 'cart'), { spec: { replicas: 9 } });
    await eventually('the edit to be corrected', async () => (await world.replicas()) === 1);
    await eventually('its record', async () => (await world.runs())[0]?.finishedIndex);
    const [run] = await world.runs();
    expect(run).toMatchObject({
      reason: 'repair',
      outcome: 'succeeded',
      decision: { change: { head: world.genesis } },
    });
    // The evidence is in the log before the run that destroys it (invariant 12).
    const [drift] = (await world.entries('drift')).slice(-1);
    expect(drift.predicate).toMatchObject({ type: 'modified', object: { kind: 'Deployment', name: 'cart' } });
    expect(drift.index).toBeLessThan(run.startedIndex!);
  });

  it('nor when the edit comes in the very moment of our own write', async () => {
    const { world } = here;
    // Objects of its own: one that is changed back over and over is corrected ever more seldom.
    const [even, odd] = ['deleted', 'edited'];
    const both = { [fileOf(even)]: cart(1, undefined, even), [fileOf(odd)]: cart(1, undefined, odd) };
    await world.live(await world.pushGood(1, { files: both }));
    for (let replicas = 11; replicas < 17; replicas += 1) {
      const name = replicas % 2 ? odd : even;
      await world.push({ files: { [fileOf(name)]: cart(replicas, undefined, name) } });
      await eventually('the write', async () => (await world.replicas(name)) === replicas, undefined, undefined, 1);
      if (name === odd) await world.dana.edit(world.path('deployments', name), { spec: { replicas: 99 } });
      else await world.dana.delete(world.path('deployments', name));
      await eventually('the edit to be corrected', async () => (await world.replicas(name)) === replicas);
    }
    const drift = (await world.entries('drift')).map(({ predicate }) => predicate['type']);
    expect(drift).toEqual(expect.arrayContaining(['modified', 'deleted']));
  });

  it('is passed over by the next one that is allowed, which goes live', async () => {
    const { world } = here;
    await world.live(await world.pushGood(2));
    expect(await world.replicas()).toBe(2);
  });

  it('is a range: what a denied commit brought in is judged again with the one on top of it', async () => {
    const { world } = here;
    const base = (await world.environment())!.approved;
    const denied = await world.push({
      message: 'bad',
      files: { 'environments/production/other.yaml': cart(1, 'other:latest', 'other') },
    });
    const onTop = await world.push({
      message: 'innocent, on top',
      files: { 'environments/production/settings.yaml': configMap('settings', 'a') },
    });
    const decision = await world.decision(onTop);
    expect(decision).toMatchObject({ outcome: 'deny', change: { base, head: onTop } });
    expect(decision.violations.map(({ rule }) => rule)).toContain('images.pinned');
    expect(await world.dana.get(world.path('configmaps', 'settings'))).toBeNull();
    const fix = await world.push({
      message: 'fix',
      files: { 'environments/production/other.yaml': cart(1, undefined, 'other') },
    });
    await world.live(fix);
    expect(await world.dana.get(world.path('configmaps', 'settings'))).not.toBeNull();
    expect(denied).not.toBe(onTop);
  });

  it('is denied when nobody signed it, or somebody unknown did, whatever name it bears (invariant 6)', async () => {
    const { world } = here;
    const [before, writes] = [await world.snapshot(), world.writes().length];
    const base = (await world.environment())!.approved!;
    // Mallory says he is Ann, and signs with a key of his own.
    const mallory = { ...(await person('Mallory', 'mallory@example.org')), name: 'Ann', email: 'ann@example.org' };
    for (const sign of [false, mallory] as const) {
      const head = await world.pushGood(6, { sign, author: world.ann, message: 'trust me' });
      const decision = await world.decision(head);
      expect(decision.outcome).toBe('deny');
      expect(decision.violations).toContainEqual(expect.objectContaining({ rule: 'commits.signed', commit: head }));
      await world.repository.rewind(base);
      // Back at what was approved: seen as such, so that the next commit is judged on its own.
      await eventually('the branch to be back', async () => (await world.environment())?.head === base);
    }
    expect(await world.snapshot()).toEqual(before);
    expect(world.writes()).toHaveLength(writes);
    await world.live(await world.pushGood(3));
  });

  it('is denied when it rewrites the branch past the approved commit, until that is back', async () => {
    const { world } = here;
    const approved = (await world.environment())!.approved!;
    const [before, writes] = [await world.snapshot(), world.writes().length];
    await world.repository.rewind(`${approved}~1`);
    const rewritten = await world.pushGood(8, { message: 'as if it had never been' });
    const decision = await world.decision(rewritten);
    expect(decision).toMatchObject({
      outcome: 'deny',
      entry: { predicate: { head: rewritten, outcome: 'deny', environment: PRODUCTION } },
    });
    expect(decision.violations).toContainEqual(
      expect.objectContaining({
        rule: 'reading.history-rewritten',
        message: expect.stringContaining(approved.slice(0, 7)) as string,
        fix: expect.stringContaining(approved.slice(0, 12)) as string,
      }),
    );
    // One move or, if it was looked at in between, two.
    const kinds = (await world.entries('push')).slice(-2).map(({ predicate }) => predicate['kind']);
    expect(['forced', 'rewound,advanced']).toContain(kinds[1] === 'forced' ? 'forced' : kinds.join());
    expect(await world.snapshot()).toEqual(before);
    expect(world.writes()).toHaveLength(writes);

    await world.repository.rewind(approved);
    await world.live(await world.pushGood(4));
    expect(await world.replicas()).toBe(4);
  });
});
