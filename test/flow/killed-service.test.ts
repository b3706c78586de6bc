import { startControlPlane, type ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { forgetPeople } from '../../src/adapters/git/scratch-repository.js';
import { surviveKillings } from '../support/killings.js';

describe('a service that is killed', () => {
  let plane: ControlPlane;

  beforeAll(async () => {
    plane = await startControlPlane();
  }, 120_000);

  afterAll(async () => {
    await plane?.stop();
    await forgetPeople();
  });

  it('loses nothing it has shown, applies nothing unapproved, and goes on where it was (invariants 1 and 3)', async () => {
    // SEED repeats what a failed run printed.
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    process.stdout.write(`killed-service: SEED=${seed}\n`);
    const survival = await surviveKillings(plane, { kills: 10, seed });
    expect(survival).toMatchObject({ kills: 10 });
    expect(survival.acknowledged).toBeGreaterThan(10);
    process.stdout.write(`killed-service: ${JSON.stringify(survival)}\n`);
  }, 300_000);
});
