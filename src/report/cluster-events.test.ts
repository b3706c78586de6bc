import type { KubernetesObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { LiveObject } from '../reconcile/cluster.js';
import { ClusterEvents } from './cluster-events.js';
import type { News } from './news.js';

const denied: News = {
  type: 'decision.recorded',
  index: 2,
  id: '2',
  repository: 'shop',
  environment: 'shop/production',
  outcome: 'deny',
  time: '2026-11-21T10:00:00.000Z',
  data: { head: '8be0d41f'.repeat(5), rules: ['images.pinned'] },
};

/** A fake of the port, to inject faults; the real API server is in test/flow. */
function cluster(refuses = false) {
  const events = new Map<string, KubernetesObject>();
  return {
    events,
    get: async ({ name }: { name: string }) => (events.get(name) ?? null) as LiveObject | null,
    apply: async (object: KubernetesObject) => {
      if (refuses) throw new CountersignError('cluster-refused', 'events are forbidden');
      events.set(object.metadata.name, object);
      return object as LiveObject;
    },
  };
}

describe('events of a cluster', () => {
  const troubles: string[] = [];
  const told = (to: ReturnType<typeof cluster>, now = new Date(denied.time)) =>
    new ClusterEvents({
      cluster: to,
      origin: 'log.example.org/prod',
      namespaceOf: async (repository) => (repository === 'shop' ? 'shop' : null),
      onTrouble: ({ message }) => void troubles.push(message),
      now: () => now,
    });

  it('are one for the same again, with a count', async () => {
    const there = cluster();
    const events = told(there);
    for (let i = 0; i < 3; i += 1) await events.tell(denied);
    await events.tell({ ...denied, data: { ...denied.data, rules: ['commits.signed'] } });
    expect([...there.events.values()]).toMatchObject([
      { reason: 'Denied', type: 'Warning', note: 'shop/production: deny 8be0d41f8be0: images.pinned', series: { count: 3 }, eventTime: '2026-11-21T10:00:00.000000Z', regarding: { kind: 'Namespace', namespace: 'shop', name: 'shop' } }, // prettier-ignore
      { note: 'shop/production: deny 8be0d41f8be0: commits.signed' },
    ]);
  });

  it('are of what goes there, and not more than so many at once', async () => {
    const there = cluster();
    const events = told(there);
    await events.tell({ ...denied, repository: 'pay' });
    await events.tell({ ...denied, type: 'fault.recorded' });
    expect(there.events.size).toBe(0);
    for (let i = 0; i < 60; i += 1) await events.tell({ ...denied, data: { head: String(i), rules: [] } });
    expect(there.events.size).toBe(24);
  });

  it('that are refused are told of once, and stand in nobody’s way', async () => {
    const events = told(cluster(true));
    await events.tell(denied);
    await events.tell(denied);
    expect(troubles).toEqual(['events are forbidden']);
  });
});
