import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { toCountersignError } from '../../errors.js';
import { buildControlPlane, buildRego, controlPlaneIsBuilt } from './builds.js';
import { openNarrator, type Narrator } from './narrator.js';
import { freePort, ServiceProcess, writeServiceFile } from './service.js';
import { ShopCluster, writeAbsentKubeconfig } from './shop-cluster.js';
import { tellStory, type Outcome, type Stage as StoryStage } from './story.js';
import { suggestQuery } from './reads.js';
import type { Stage } from './team-files.js';
import { makeTeamRepository, type TeamRepository } from './team-repository.js';
import type { Figures, World } from './world.js';
import { openWorkspace, type Workspace } from './workspace.js';

export interface DemoOptions {
  readonly exit: boolean;
  readonly kubeconfig?: string;
  readonly keep?: string;
  readonly output: 'text' | 'json';
}

const USUAL_PORT = 4100;

/** Resolves to the exit code, when everything that was started is stopped. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const narrator = openNarrator(options.output);
  const signal = nextSignal();
  const demo = new Demo(options, narrator);
  try {
    const outcome = await Promise.race([demo.tell(), signal]);
    if (typeof outcome === 'number') return outcome;
    const code = outcome.failures.length === 0 ? 0 : 1;
    if (options.exit || outcome.world === null) return code;
    await demo.invite(outcome.world);
    const ended = await Promise.race([signal, demo.serviceEnds()]);
    // Ctrl-C is how this ends when all is well.
    return typeof ended === 'number' ? code : 1;
  } catch (error) {
    narrator.line({ mark: 'wrong', word: 'FAILED', text: toCountersignError(error).sentence });
    return 2;
  } finally {
    await demo.stop();
    narrator.close();
  }
}

/** Starts, and stops in reverse order, whatever the story needs. */
class Demo {
  readonly #started = performance.now();
  readonly #building = new AbortController();
  readonly #figures: Figures = { commitToLive: [], driftToCorrected: [] };
  readonly #namespaces: Readonly<Record<Stage, string>>;
  #workspace: Workspace | null = null;
  #cluster: Promise<ShopCluster> | null = null;
  #service: ServiceProcess | null = null;
  #stopping = false;

  constructor(
    private readonly options: DemoOptions,
    private readonly narrator: Narrator,
  ) {
    // In a cluster of the user's, names that nobody else has.
    const prefix = options.kubeconfig === undefined ? 'shop' : `countersign-demo-${randomBytes(3).toString('hex')}`;
    this.#namespaces = { staging: `${prefix}-staging`, production: `${prefix}-production` };
  }

  async tell(): Promise<Outcome> {
    const { options, narrator } = this;
    const workspace = await openWorkspace(options.keep);
    this.#workspace = workspace;
    const long = options.kubeconfig === undefined && !controlPlaneIsBuilt();
    const build = { onProgress: (line: string) => narrator.waiting(line), signal: this.#building.signal };
    const policy = buildRego(build);
    // One build at a time: two would only be slower, and the smaller one lets the story go on.
    policy.catch(() => {});
    if (options.kubeconfig === undefined) {
      this.#cluster = policy
        .then(() => (long ? buildControlPlane(build) : undefined))
        .then(() => ShopCluster.ours(workspace.kubeconfig, this.#namespaces));
    } else {
      this.#cluster = ShopCluster.theirs(resolve(options.kubeconfig), this.#namespaces);
      await this.#cluster; // no story in a cluster that cannot be reached
    }
    this.#cluster.catch(() => {}); // told by the step that waits for it
    const port = await freePort(options.exit ? 0 : USUAL_PORT);
    const stage: StoryStage = {
      narrator,
      makeRepository: () => makeTeamRepository(workspace.root, this.#namespaces),
      policyReady: () => policy,
      clusterTakesLong: long,
      cluster: () => this.#cluster!,
      stopping: () => this.#stopping,
      serve: (repository, cluster) => this.#serve(workspace, port, repository, cluster),
    };
    const outcome = await tellStory(stage);
    this.#summarise(outcome);
    return outcome;
  }

  async #serve(
    workspace: Workspace,
    port: number,
    repository: TeamRepository,
    cluster: ShopCluster | null,
  ): Promise<{ world: World; service: ServiceProcess }> {
    await this.#service?.stop();
    const { kubeconfig } = this.options;
    const { url, genesis } = repository;
    if (!cluster) await writeAbsentKubeconfig(workspace.kubeconfig);
    await writeServiceFile(workspace.serviceFile, {
      port,
      url,
      genesis,
      kubeconfig: kubeconfig === undefined ? workspace.kubeconfig : resolve(kubeconfig),
      auditLog: cluster?.auditLog ?? null,
      namespaces: this.#namespaces,
    });
    const { serviceFile: configFile, data, serviceLog: logFile } = workspace;
    const service = await ServiceProcess.start({ configFile, data, logFile, port });
    this.#service = service;
    if (this.#stopping) await service.stop();
    const world: World = {
      narrator: this.narrator,
      workspace,
      repository,
      namespaces: this.#namespaces,
      graphql: service.graphql,
      cluster,
      figures: this.#figures,
      ended: () => service.ended(),
    };
    return { world, service };
  }

  #summarise({ failures, steps }: Outcome): void {
    if (this.#stopping) return;
    const { narrator } = this;
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(1);
    const { commitToLive, driftToCorrected } = this.#figures;
    narrator.chapter('In figures');
    const figure = (word: string, milliseconds: readonly number[], what: string): void => {
      if (milliseconds.length === 0) return;
      const text = `median ${median(milliseconds)} ms from ${what} (${milliseconds.join(', ')})`;
      narrator.line({ mark: 'fact', word, text });
    };
    figure('live', commitToLive, 'git push to live in the cluster');
    figure('corrected', driftToCorrected, 'the edit to corrected');
    const text = `${steps - failures.length} of ${steps} steps did what they should, in ${seconds} s`;
    narrator.line({
      mark: failures.length === 0 ? 'yes' : 'wrong',
      word: failures.length === 0 ? 'done' : 'FAILED',
      text,
      below: failures,
      values: { steps, failures, seconds: Number(seconds), ...this.#figures },
    });
    const workspace = this.#workspace;
    if (!workspace) return;
    if (workspace.kept) {
      narrator.look(`countersign verify ${workspace.evidence} --trust ${workspace.trust}`);
      narrator.look(`countersign serve --config ${workspace.serviceFile} --data ${workspace.data}`);
    } else if (failures.length > 0) {
      narrator.look('the same with --keep DIR, then DIR/service.log');
    }
  }

  /** How to go on by hand while everything runs. */
  async invite(world: World): Promise<void> {
    const { narrator } = this;
    const { graphql, workspace, repository, cluster, namespaces } = world;
    narrator.chapter('Still running, until Ctrl-C');
    narrator.look(`GraphQL at ${graphql.address}/graphql, for example:`);
    narrator.look(`curl --json '${JSON.stringify({ query: '{ log { size rootHash } }' })}' ${graphql.address}/graphql`);
    for (const query of [
      '{ decisions(filter: {outcome: [deny]}) { nodes { environment violations { rule message } index } } }',
      '{ drift { nodes { object { kind name } attribution detectedAt correctedAt } } }',
      '{ objects { nodes { object { kind namespace name } commit { subject author { name } } decision { index } } } }',
    ]) {
      await suggestQuery(world, query);
    }
    narrator.look(`edit and push as Ann: cd ${repository.team.ann.clone.path}`);
    if (cluster?.own)
      narrator.look(`kubectl --kubeconfig ${workspace.kubeconfig} -n ${namespaces.production} get deployments`);
    narrator.look(`the service's own words: ${workspace.serviceLog}`);
  }

  /** Resolves if the service ends though nobody asked it to. */
  async serviceEnds(): Promise<string> {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      const why = this.#service?.ended() ?? null;
      if (why === null) continue;
      this.narrator.line({ mark: 'wrong', word: 'FAILED', text: why });
      return why;
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#building.abort();
    this.narrator.waiting('stopping what was started');
    await this.#service?.stop();
    // A cluster that never came was told by the step that waited for it.
    const cluster = await this.#cluster?.catch(() => null);
    try {
      await cluster?.close();
    } catch (error) {
      this.narrator.line({ mark: 'wrong', word: 'FAILED', text: toCountersignError(error).sentence });
    }
    await this.#workspace?.remove();
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : Math.round((sorted[middle - 1] + sorted[middle]) / 2);
}

/** The first SIGINT or SIGTERM, as its exit code; the second ends us at once. */
function nextSignal(): Promise<number> {
  return new Promise((resolve) => {
    for (const [name, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      process.once(name, () => {
        process.once(name, () => process.exit(code));
        resolve(code);
      });
    }
  });
}
