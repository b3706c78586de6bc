import type { HealthStatus } from '../cluster/health.js';
import { identityKey, type ObjectIdentity } from '../cluster/object.js';
import { CountersignError, type ErrorCode } from '../errors.js';
import { RolloutWatch, type RolloutSight } from './rollout-watch.js';

const cart: ObjectIdentity = { group: 'apps', version: 'v1', kind: 'Deployment', namespace: 'shop', name: 'cart' };
const pay = { ...cart, name: 'pay' };
const MINUTE = 60_000;

const seen = (
  states: readonly (readonly [ObjectIdentity, HealthStatus])[],
  applied: number | null = 7,
  code?: ErrorCode,
): RolloutSight => ({
  applied,
  trouble: code ? new CountersignError(code, `it is ${code}`) : null,
  objects: states.map(([identity, status]) => ({ identity, health: { status, reason: `it is ${status}` } })),
});

describe('a rollout', () => {
  it('is healthy when all of it is live and nothing is on the way', () => {
    const watch = new RolloutWatch(7);
    watch.begun(0);
    expect(watch.look(seen([[cart, 'healthy']], 6), MINUTE, 1)).toBeNull();
    expect(watch.look(seen([[cart, 'progressing']]), MINUTE, 2)).toBeNull();
    expect(watch.look(seen([[cart, 'suspended']]), MINUTE, 3)).toEqual({ outcome: 'healthy' });
  });

  it('fails at once by what it made degraded, and by a hook that failed', () => {
    const watch = new RolloutWatch(7);
    expect(watch.look(seen([[cart, 'degraded'], [pay, 'progressing']]), MINUTE, 0)).toEqual({ outcome: 'unhealthy', reason: 'Deployment shop/cart is degraded: it is degraded' }); // prettier-ignore
    expect(watch.look(seen([[cart, 'healthy']], 6, 'hook-failed'), MINUTE, 0)).toMatchObject({ outcome: 'unhealthy', reason: 'it is hook-failed' }); // prettier-ignore
    // A wave that is not healthy ends its run before all is live.
    expect(watch.look(seen([[cart, 'degraded']], 6, 'object-unhealthy'), MINUTE, 0)?.outcome).toBe('unhealthy');
  });

  it('fails when its time is over, counted anew from when all of it is live', () => {
    const watch = new RolloutWatch(7);
    expect(watch.dueAt(MINUTE)).toBe(Infinity);
    watch.begun(0);
    expect(watch.look(seen([[cart, 'progressing']]), MINUTE, 50_000)).toBeNull();
    expect(watch.look(seen([[cart, 'progressing']]), MINUTE, 109_999)).toBeNull();
    expect(watch.dueAt(MINUTE)).toBe(110_000);
    expect(watch.look(seen([[cart, 'missing']]), MINUTE, 110_000)).toEqual({ outcome: 'unhealthy', reason: 'Deployment shop/cart is missing: it is missing, after 60 s' }); // prettier-ignore
  });

  it('is not judged by a cluster that is away or refuses, however long', () => {
    const watch = new RolloutWatch(7);
    watch.begun(0);
    for (const code of ['cluster-unavailable', 'cluster-refused', 'suspended'] as const)
      expect(watch.look(seen([[cart, 'degraded']], 6, code), MINUTE, 9 * MINUTE)).toBeNull();
    expect(watch.look(seen([[cart, 'missing']], 7, 'cluster-unavailable'), MINUTE, 9 * MINUTE)).toBeNull();
  });

  it('is not judged at once by what was degraded before, unless that was mended in between', () => {
    const watch = new RolloutWatch(7, [identityKey(cart)]);
    expect(watch.look(seen([[cart, 'degraded']]), MINUTE, 0)).toBeNull();
    expect(watch.look(seen([[cart, 'progressing']]), MINUTE, 1)).toBeNull();
    expect(watch.look(seen([[cart, 'degraded']]), MINUTE, 2)?.outcome).toBe('unhealthy');
    const other = new RolloutWatch(7, [identityKey(cart)]);
    expect(other.look(seen([[cart, 'degraded']]), MINUTE, 0)).toBeNull();
    expect(other.look(seen([[cart, 'degraded']]), MINUTE, MINUTE)?.outcome).toBe('unhealthy');
  });

  it('names a few of many objects', () => {
    const many = Array.from({ length: 8 }, (_, i) => [{ ...cart, name: `c${i}` }, 'degraded'] as const);
    expect(new RolloutWatch(7).look(seen(many), MINUTE, 0)).toMatchObject({ reason: expect.stringMatching(/c4 is degraded: it is degraded; and 3 more$/) as string }); // prettier-ignore
  });
});
