import { startControlPlane, type ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { forgetPeople } from '../../src/adapters/git/scratch-repository.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { cart, closeEvaluator, eventually, World } from '../support/world.js';

describe('a denied commit', () => {
  let plane: ControlPlane;
  let postgres: TestPostgres;
  let world: World;

  beforeAll(async () => {
    [plane, postgres] = await Promise.all([startControlPlane(), startPostgres()]);
    world = await World.open({ plane, database: await postgres.database() });
  }, 180_000);

  afterEach(async () => {
    await world.check();
  });

  afterAll(async () => {
    await world?.close();
    expect(world?.orphans()).toEqual([]);
    await closeEvaluator();
    await forgetPeople();
    await Promise.all([plane?.stop(), postgres?.stop()]);
  }, 60_000);

  it('is never applied, and the last approved one stays (invariant 1)', async () => {
    const before = await world.snapshot();
    const writes = world.writes().length;
    const head = await world.push({ files: { 'environments/production/cart.yaml': cart(7, 'cart:latest') } });
    const decision = await world.decision(head);
    expect(decision).toMatchObject({
      outcome: 'deny',
      entry: { type: 'decision', predicate: { head, outcome: 'deny' } },
    });
    expect(decision.violations).toContainEqual(
      expect.objectContaining({
        rule: 'images.pinned',
        source: { path: 'environments/production/cart.yaml', line: expect.any(Number) as number },
        fix: expect.any(String) as string,
      }),
    );
    expect(await world.environment()).toMatchObject({ head, headOutcome: 'deny', approved: world.genesis });
    expect(await world.snapshot()).toEqual(before);
    expect(world.writes()).toHaveLength(writes);
  });

  it('does not stop the last approved one from being repaired', async () => {
    await world.dana.edit(world.path('deployments', 'cart'), { spec: { replicas: 9 } });
    await eventually('the edit to be corrected', async () => (await world.replicas()) === 1);
    const [run] = await world.runs();
    expect(run).toMatchObject({
      reason: 'repair',
      outcome: 'succeeded',
      decision: { change: { head: world.genesis } },
    });
  });

  it('is followed by a good one that goes live', async () => {
    await world.live(await world.pushGood(2));
    expect(await world.replicas()).toBe(2);
  });
});
