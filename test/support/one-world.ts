import { forgetPeople } from '../../src/adapters/git/scratch-repository.js';
import { startControlPlane, type ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { startPostgres, type TestPostgres } from './postgres.js';
import { World, type WorldOptions } from './world.js';

export interface OneWorld {
  readonly world: World;
  readonly plane: ControlPlane;
}

type Options = Omit<WorldOptions, 'plane' | 'database'>;

/**
 * One control plane, one database and one world for the tests of a `describe`; after each test the whole world is checked, after
 * the last one also that every decision replays and nothing is left of it.
 */
export function oneWorld(options: Options | ((plane: ControlPlane) => Promise<Options>) = {}): OneWorld {
  const made: { world?: World; plane?: ControlPlane; postgres?: TestPostgres } = {};

  beforeAll(async () => {
    [made.plane, made.postgres] = await Promise.all([startControlPlane(), startPostgres()]);
    const chosen = typeof options === 'function' ? await options(made.plane) : options;
    made.world = await World.open({ plane: made.plane, database: await made.postgres.database(), ...chosen });
  }, 240_000);

  afterEach(async () => {
    await made.world?.check();
  }, 60_000);

  afterAll(async () => {
    const { world, plane, postgres } = made;
    try {
      await world?.check({ replay: true });
    } finally {
      await world?.close();
      await Promise.all([plane?.stop(), postgres?.stop(), forgetPeople()]);
    }
    const left = world?.orphans() ?? [];
    if (left.length > 0) throw new Error(`still running: ${left.join(', ')}`);
  }, 120_000);

  return {
    get world() {
      return made.world!;
    },
    get plane() {
      return made.plane!;
    },
  };
}
