import { CountersignError, toCountersignError } from '../../errors.js';
import {
  allowedChange,
  askBeforePushing,
  deniedThenFixed,
  goLive,
  rolloutsOf,
  rewriteHistory,
  startFollowing,
  unsignedThenSigned,
} from './changes.js';
import { deleteByHand, editBehindItsBack } from './drift.js';
import { exportAndVerify, tamperWithCopy } from './evidence.js';
import { expectThat, StepFailed, until } from './failure.js';
import type { Narrator } from './narrator.js';
import type { ServiceProcess } from './service.js';
import { runCountersign } from './program.js';
import { readEnvironment } from './reads.js';
import type { ShopCluster } from './shop-cluster.js';
import { stages } from './team-files.js';
import type { TeamRepository } from './team-repository.js';
import type { World } from './world.js';

/** What the story needs, from whoever starts and stops things. */
export interface Stage {
  readonly narrator: Narrator;
  readonly makeRepository: () => Promise<TeamRepository>;
  /** Resolves when policy can be judged: a fresh clone builds the Rego compiler first. */
  readonly policyReady: () => Promise<void>;
  /** True if it will take minutes until there is a cluster. */
  readonly clusterTakesLong: boolean;
  readonly cluster: () => Promise<ShopCluster>;
  /** True once the end was asked for: what fails from then on is no failure. */
  readonly stopping: () => boolean;
  /** Starts the service, or starts it again; with null as if the cluster were away. */
  readonly serve: (
    repository: TeamRepository,
    cluster: ShopCluster | null,
  ) => Promise<{ world: World; service: ServiceProcess }>;
}

export interface Outcome {
  /** One line for each step that did not do what it should. */
  readonly failures: readonly string[];
  readonly steps: number;
  readonly world: World | null;
}

/** The whole story in order. Never throws for a step: what failed is told, and returned. */
export async function tellStory(stage: Stage): Promise<Outcome> {
  const telling = new Telling(stage);
  const repository = await telling.step('A team writes down what should run', () => tellRepository(stage));
  if (!repository) return telling.outcome(null);
  await telling.step('Bo asks before pushing', async () => {
    await waitFor(stage.narrator, 'the Rego compiler', stage.policyReady());
    await askBeforePushing(stage.narrator, repository);
  });

  let world: World | null = null;
  if (stage.clusterTakesLong) {
    world = await withoutCluster(stage, telling, repository);
    if (world === null) return telling.outcome(null);
  }
  const first = world === null;
  const title = first ? 'The service starts' : 'The cluster is there: the service starts again, with it';
  const started = await telling.step(title, async () => {
    const cluster = await waitFor(stage.narrator, 'a Kubernetes control plane', stage.cluster());
    return tellService(stage, repository, cluster);
  });
  if (!started) return telling.outcome(world);
  world = started.world;
  const { cluster } = started;
  if (first)
    await telling.step('It reads the repository, and judges what it finds', () => startFollowing(started.world));
  await telling.step('What is approved goes live', () => goLive(started.world));
  await telling.step('Ann rolls out a new cart: allowed', () => allowedChange(started.world, 'cart', '1.2'));
  await telling.step('So does everybody else', () => rolloutsOf(started.world, '1.3'));
  await telling.step('Bo debugs in production: denied, and mended', () =>
    deniedThenFixed(started.world, 'cart', '1.3'),
  );
  await telling.step('Carol forgets to sign', () => unsignedThenSigned(started.world));
  const restore = await telling.step('Bo rewrites history by force', () => rewriteHistory(started.world));
  await telling.step('Dana edits the cluster behind its back', () => editBehindItsBack(started.world, cluster));
  await telling.step('Dana deletes something', () => deleteByHand(started.world, cluster));
  if (restore) await telling.step('Ann gives the branch its history back', restore);
  await telling.step('The evidence leaves the house', () => exportAndVerify(started.world));
  await telling.step('Somebody changes one byte of a copy', () => tamperWithCopy(started.world));
  return telling.outcome(world);
}

/** All that needs no cluster, while the first one is being built. */
async function withoutCluster(stage: Stage, telling: Telling, repository: TeamRepository): Promise<World | null> {
  const started = await telling.step('The service starts, while a control plane is built', () =>
    tellService(stage, repository, null),
  );
  if (!started) return null;
  const { world } = started;
  await telling.step('It reads the repository, and judges what it finds', async () => {
    await startFollowing(world);
    await tellAway(world);
  });
  await telling.step('Bo debugs in production: denied, and mended', () => deniedThenFixed(world, 'catalog', '1.2'));
  await telling.step('The evidence so far', () => exportAndVerify(world));
  return world;
}

/** Nothing is live yet, and the service says why. */
async function tellAway(world: World): Promise<void> {
  for (const name of stages) {
    const { status, trouble } = await until(
      `shop/${name} to say that its cluster is away`,
      async () => {
        const environment = await readEnvironment(world, name);
        return environment.trouble ? environment : null;
      },
      { givenUp: () => world.ended() },
    );
    world.narrator.line({ mark: 'fact', word: status, text: `shop/${name}: ${trouble?.message ?? ''}` });
  }
}

async function tellRepository({ narrator, makeRepository }: Stage): Promise<TeamRepository> {
  narrator.waiting('writing the repository');
  const repository = await makeRepository();
  const { clone } = repository.team.ann;
  const log = (await clone.git('log', '--format=%h%x09%an%x09%s', 'origin/main'))
    .split('\n')
    .map((line) => line.split('\t'));
  const people = [...new Set(log.map(([, author]) => author))].toSorted();
  const files = (await clone.git('ls-tree', '-r', '--name-only', 'origin/main')).split('\n');
  narrator.line({
    mark: 'fact',
    word: 'git',
    text: `${log.length} commits by ${people.join(', ')}; ${files.length} files; newest ${log[0][0]} "${log[0][2]}"`,
  });
  const args = ['commits', '--head', 'origin/main'];
  const { code, stdout, stderr } = await runCountersign(args, clone.path);
  narrator.quote(`countersign ${args.join(' ')}`, stdout || stderr);
  expectThat(code === 0, `commits ended with exit code ${code}`);
  expectThat(
    (stdout.match(/  [a-z]+@example.org  /g) ?? []).length === log.length,
    'not every commit has a known signer',
  );
  narrator.look(`git -C ${clone.path} log --show-signature`);
  return repository;
}

async function tellService<C extends ShopCluster | null>(
  stage: Stage,
  repository: TeamRepository,
  cluster: C,
): Promise<{ world: World; cluster: C }> {
  const { narrator } = stage;
  const { world } = await waitFor(
    narrator,
    'the service, with a database of its own',
    stage.serve(repository, cluster),
  );
  const { service, log } = await world.graphql.query<{
    service: { version: string };
    log: { origin: string; vkey: string };
  }>('{ service { version } log { origin vkey } }');
  narrator.line({
    mark: 'fact',
    word: 'service',
    text: `Countersign ${service.version} answers; its log is ${log.origin}, key ${log.vkey.split('+')[1]}`,
  });
  if (cluster)
    narrator.line({ mark: 'fact', word: 'cluster', text: `${cluster.address}, Kubernetes ${await cluster.version()}` });
  narrator.look(`GraphQL at ${world.graphql.address}/graphql`);
  return { world, cluster };
}

async function waitFor<T>(narrator: Narrator, text: string, work: Promise<T>): Promise<T> {
  narrator.waiting(text);
  return work;
}

class Telling {
  readonly #failures: string[] = [];
  #steps = 0;

  constructor(private readonly stage: Stage) {}

  /** null if it failed. */
  async step<T>(title: string, work: () => Promise<T>): Promise<T | null> {
    const { narrator, stopping } = this.stage;
    if (stopping()) return null;
    this.#steps += 1;
    narrator.chapter(title);
    try {
      return await work();
    } catch (thrown) {
      if (stopping()) return null;
      const said = thrown instanceof StepFailed ? thrown.message : describe(toCountersignError(thrown));
      this.#failures.push(`${title}: ${said.split('\n')[0]}`);
      narrator.line({ mark: 'wrong', word: 'FAILED', text: said });
      return null;
    }
  }

  outcome(world: World | null): Outcome {
    return { failures: this.#failures, steps: this.#steps, world };
  }
}

const describe = (error: CountersignError): string =>
  error.code === 'internal' ? (error.stack ?? error.message) : error.sentence;
