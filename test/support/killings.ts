import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { FlakyApi, type ApiFault } from './flaky-api.js';
import type { Instance } from './instance.js';
import { startPostgres } from './postgres.js';
import { randomness } from './randomness.js';
import type { Run } from './world-queries.js';
import { cart, configMap, eventually, World } from './world.js';

export interface Survival {
  readonly kills: number;
  /** Of the API server. */
  readonly restarts: number;
  /** Requests to the API server that were spoiled. */
  readonly spoiled: number;
  /** Pushes of commits, and those among them that policy denies. */
  readonly pushed: number;
  readonly bad: number;
  /** Entries that the service showed over GraphQL while it was being killed, and the checkpoints. */
  readonly acknowledged: number;
  readonly checkpoints: number;
  readonly entries: number;
  readonly runs: number;
  readonly interrupted: number;
  /** In the API server's audit log, each planned by a run that was logged before it and not over. */
  readonly writes: number;
}

export interface Killings {
  readonly kills: number;
  /** Kills of the API server, in between. */
  readonly restarts?: number;
  /** The share of requests that fail with 409, 429, 500 or not at all. */
  readonly faults?: number;
  readonly seed: number;
  /** Two processes at one database, each of which may be killed; otherwise one on its embedded database. */
  readonly instances?: 1 | 2;
  readonly say?: (line: string) => void;
}

/**
 * Kills processes of the service at random moments of a stream of pushes, their starts included, and starts them again; the API server, too.
 * Throws if anything that was seen is lost or changed, if the log does not verify, if something is live that no logged allow explains, if
 * the API server's audit log has a write that no run of ours had planned then, or if the last allowed commit does not go live.
 */
export async function surviveKillings(plane: ControlPlane, killings: Killings): Promise<Survival> {
  const { seed, faults = 0, instances = 1 } = killings;
  const random = randomness(seed);
  const server = instances > 1 ? await startPostgres() : null;
  const api = await FlakyApi.start(plane);
  const kinds: ApiFault[] = ['409', '429', '500', 'timeout'];
  // From a line of its own: how many requests there are, no seed says.
  const chance = randomness(seed + 1);
  api.fault = () => (chance() < faults ? kinds[Math.floor(chance() * kinds.length)] : null);
  const database = server ? { database: await server.database() } : {};
  const world = await World.prepare({ plane, child: true, poll: '100ms', kubeconfig: api.kubeconfig, others: instances - 1, ...database }); // prettier-ignore
  let survival: Survival;
  try {
    survival = await survive(world, plane, api, random, killings);
  } finally {
    await world.close();
    await api.stop();
    await server?.stop();
  }
  const left = world.orphans();
  if (left.length > 0) throw new Error(`still running: ${left.join(', ')}`);
  return survival;
}

async function survive(
  world: World,
  plane: ControlPlane,
  api: FlakyApi,
  random: () => number,
  { kills, restarts = 0, say = () => {} }: Killings,
): Promise<Survival> {
  const { instances } = world;
  await Promise.all(instances.map((instance) => instance.start()));
  world.ask(instances[0]);
  await world.live(world.genesis);
  const seen = new Seen(world);
  const pushes = new Pushes(world, random);
  pushes.start();
  try {
    for (const event of shuffled(kills, restarts, random)) {
      if (event === 'restart') {
        await seen.somethingNew(6_000);
        await plane.killApiServer();
        await sleep(random() * 1_000);
        await plane.restartApiServer();
        say('API server killed and restarted');
        continue;
      }
      const victim = instances[Math.floor(random() * instances.length)];
      // Some die while they start, some soon after, and most in the thick of their work: about when they write.
      const kind = random();
      const starting = kind < 0.2;
      if (!victim.isRunning) await (starting ? victim.spawn() : victim.start());
      if (kind > 0.45) await seen.somethingNew(6_000);
      const until = Date.now() + random() * (starting ? 1_500 : kind > 0.45 ? 500 : 1_500);
      while (Date.now() < until) {
        if (!starting) await seen.look();
        await sleep(20);
      }
      await victim.kill();
      say(`killed ${victim.name}${starting ? ', while it started' : ''}; ${seen.entries.size} entries seen`);
    }
  } finally {
    await pushes.stop();
  }
  const last = await world.push({ message: 'the last', files: pushes.good(77) });
  // As many as are left: all of them only after what the dead did was taken over.
  if (!instances.some(({ isRunning }) => isRunning)) await instances[0].start();
  world.ask(instances.find(({ isRunning }) => isRunning)!);
  await world.live(last);
  for (const instance of instances) if (!instance.isRunning) await instance.start();
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
    restarts,
    spoiled: api.spoiled.length,
    pushed: pushes.count,
    bad: pushes.bad,
    acknowledged: seen.entries.size,
    checkpoints: seen.checkpoints.size,
    entries: entries.length,
    runs: runs.length,
    interrupted: runs.filter((run) => run.outcome === 'interrupted').length,
    writes: world.writes().length,
  };
}

function shuffled(kills: number, restarts: number, random: () => number): ('kill' | 'restart')[] {
  const events = [...Array<'kill'>(kills).fill('kill'), ...Array<'restart'>(restarts).fill('restart')];
  for (let i = events.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [events[i], events[j]] = [events[j], events[i]];
  }
  return events;
}

/** What the service has shown to anybody: none of it may ever be otherwise. */
class Seen {
  /** Index to leaf hash. */
  readonly entries = new Map<number, string>();
  /** Decisions and pushes whose row named an index. */
  readonly rows = new Map<string, number>();
  readonly checkpoints = new Set<string>();
  #looks = 0;

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
    const able = this.world.instances.filter((one: Instance) => one.isRunning && one.url !== '');
    if (able.length === 0) return;
    // Now this one, now that one: they show the same.
    this.world.ask(able[this.#looks++ % able.length]);
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
