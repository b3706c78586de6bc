import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { randomness } from './randomness.js';
import type { Run } from './world-queries.js';
import { cart, configMap, eventually, World } from './world.js';

export interface Survival {
  readonly kills: number;
  /** Pushes of commits, and those among them that policy denies. */
  readonly pushed: number;
  readonly bad: number;
  /** Entries that the service showed over GraphQL while it was being killed, and the checkpoints. */
  readonly acknowledged: number;
  readonly checkpoints: number;
  readonly entries: number;
  readonly runs: number;
  readonly interrupted: number;
}

/**
 * Kills the service (a process of its own, on the embedded database) at random moments of a stream of pushes, its starts included,
 * and starts it again. Throws if anything that was seen is lost or changed, if the log does not verify, if something is live
 * that no logged allow explains, or if the last allowed commit does not go live.
 */
export async function surviveKillings(
  plane: ControlPlane,
  { kills, seed, say = () => {} }: { kills: number; seed: number; say?: (line: string) => void },
): Promise<Survival> {
  const world = await World.prepare({ plane, child: true, poll: '100ms' });
  let survival: Survival;
  try {
    survival = await survive(world, kills, randomness(seed), say);
  } finally {
    await world.close();
  }
  const left = world.orphans();
  if (left.length > 0) throw new Error(`still running: ${left.join(', ')}`);
  return survival;
}

async function survive(
  world: World,
  kills: number,
  random: () => number,
  say: (line: string) => void,
): Promise<Survival> {
  await world.start();
  await world.live(world.genesis);
  const seen = new Seen(world);
  const pushes = new Pushes(world, random);
  pushes.start();
  try {
    for (let killed = 1; killed <= kills; killed += 1) {
      // Some die while they start, some soon after, and most in the thick of their work: about when they write.
      const kind = random();
      const starting = kind < 0.2;
      if (killed > 1) {
        if (starting) await world.spawn();
        else await world.start();
      }
      if (kind > 0.45) await seen.somethingNew(6_000);
      const until = Date.now() + random() * (starting ? 1_500 : kind > 0.45 ? 500 : 1_500);
      while (Date.now() < until) {
        if (!starting) await seen.look();
        await sleep(20);
      }
      await world.kill();
      say(`killed ${killed} of ${kills}${starting ? ', while it started' : ''}; ${seen.entries.size} entries seen`);
    }
  } finally {
    await pushes.stop();
  }
  await world.start();
  const last = await world.push({ message: 'the last', files: pushes.good(77) });
  await world.live(last);
  await seen.look();
  const open = async (): Promise<Run[]> =>
    (await world.runs()).filter((run) => run.outcome === 'running' || run.finishedIndex === null);
  await eventually(
    'every run to have its end in the log',
    async () => (await open()).length === 0,
    async () => JSON.stringify(await open()),
  );
  if ((await world.replicas()) !== 77) throw new Error('the last allowed commit is not live');
  await world.check({ replay: true });
  for (const checkpoint of seen.someCheckpoints()) await world.verifyLog({ earlier: checkpoint });
  const [entries, runs] = [await world.entries(), await world.runs()];
  seen.compare(entries);
  return {
    kills,
    pushed: pushes.count,
    bad: pushes.bad,
    acknowledged: seen.entries.size,
    checkpoints: seen.checkpoints.size,
    entries: entries.length,
    runs: runs.length,
    interrupted: runs.filter((run) => run.outcome === 'interrupted').length,
  };
}

/** What the service has shown to anybody: none of it may ever be otherwise. */
class Seen {
  /** Index to leaf hash. */
  readonly entries = new Map<number, string>();
  /** Decisions and pushes whose row named an index. */
  readonly rows = new Map<string, number>();
  readonly checkpoints = new Set<string>();

  constructor(private readonly world: World) {}

  /** Resolves when there is an entry that was not there before, and after so many milliseconds anyway. */
  async somethingNew(patience: number): Promise<void> {
    await this.look();
    const [before, until] = [this.entries.size, Date.now() + patience];
    while (this.entries.size === before && Date.now() < until) {
      await sleep(20);
      await this.look();
    }
  }

  async look(): Promise<void> {
    try {
      this.checkpoints.add(await this.world.checkpoint());
      for (const { id, index } of await this.world.decisions()) if (index !== null) this.rows.set(id, index);
      for (const { index, leafHash } of await this.world.entries()) {
        const before = this.entries.get(index);
        if (before !== undefined && before !== leafHash) throw new Error(`entry ${index} changed`);
        this.entries.set(index, leafHash);
      }
    } catch (error) {
      // It may be stopping or away; a contradiction may not be overlooked.
      if (/changed/.test((error as Error).message)) throw error;
    }
  }

  compare(entries: readonly { index: number; leafHash: string; type: string; predicate: object }[]): void {
    for (const [index, leafHash] of this.entries) {
      if (entries[index]?.leafHash !== leafHash)
        throw new Error(`entry ${index} was shown, and is now another or gone`);
    }
    for (const [id, index] of this.rows) {
      if ((entries[index]?.predicate as { id?: string } | undefined)?.id !== id)
        throw new Error(`decision ${id} is not entry ${index}`);
    }
  }

  /** First, last and some between: each is checked by a pass over the whole log. */
  someCheckpoints(): string[] {
    const all = [...this.checkpoints];
    const step = Math.max(1, Math.floor(all.length / 4));
    return all.filter((_, i) => i % step === 0 || i === all.length - 1);
  }
}

/** Somebody who keeps committing: some of it good, some of it bad, some mending what was bad. */
class Pushes {
  count = 0;
  bad = 0;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly world: World,
    private readonly random: () => number,
  ) {}

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  good(replicas: number): Record<string, string> {
    return {
      'environments/production/cart.yaml': cart(replicas),
      'environments/production/settings.yaml': configMap('settings', String(this.count)),
    };
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const files = this.good(1 + Math.floor(this.random() * 9));
      const bad = this.random() < 0.35;
      if (bad) files['environments/production/cart.yaml'] = cart(50, 'registry.elsewhere.example/cart:latest');
      await this.world.push({ message: bad ? 'bad' : 'good', files });
      this.count += 1;
      if (bad) this.bad += 1;
      await sleep(50 + this.random() * 500);
    }
  }
}
