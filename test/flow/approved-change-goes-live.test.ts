import { person } from '../../src/adapters/git/scratch-repository.js';
import { mayApprove } from '../support/approving.js';
import { runCli } from '../support/cli.js';
import { oneWorld } from '../support/one-world.js';
import { cart, eventually, PRODUCTION, settings } from '../support/world.js';

describe('a change that needs approvals', () => {
  const here = oneWorld(async () => {
    const people = await Promise.all([person('Ann', 'ann@example.org'), person('Bo', 'bo@example.org')]);
    return { files: { '.countersign/allowed_signers': people.map((one) => mayApprove(one)).join('') } };
  });

  it('is not applied while it waits, and goes live as soon as somebody else approves it (invariants 1, 5)', async () => {
    const { world } = here;
    const strict = settings(world.namespace).replace('registries:', 'approvals: 1, registries:');
    await world.push({ message: 'ask for approvals', files: { 'countersign.yaml': strict } });
    const head = await world.pushGood(3);
    await eventually('it to wait', async () => {
      const state = await world.environment();
      return state?.head === head && state.headOutcome === 'pending';
    });
    expect(await world.replicas()).toBe(1);
    const { code, stderr } = await runCli(
      [
        'approve',
        PRODUCTION,
        '--url',
        world.url,
        '--repository',
        world.repository.path,
        '--key',
        world.bo.keyFile,
        '--yes',
      ],
      { env: { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' } },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await eventually('it to be live', async () => (await world.replicas()) === 3);
    expect(await world.replicas()).toBe(3);
    await world.live(head);
    const entries = await world.entries();
    const of = (type: string): number[] =>
      entries.filter((one) => one.type === type && one.predicate['head'] === head).map(({ index }) => index);
    expect(of('approval')).toHaveLength(1);
    expect(Math.max(...of('decision'))).toBeGreaterThan(of('approval')[0]);
  });

  it('still has drift corrected to what was approved', async () => {
    const { world } = here;
    await world.push({ message: 'more', files: { 'environments/production/cart.yaml': cart(9) } });
    await world.dana.edit(world.path('deployments', 'cart'), { spec: { replicas: 7 } });
    await eventually('the edit to be corrected', async () => (await world.replicas()) === 3);
    expect(await world.replicas()).toBe(3);
  });
});
