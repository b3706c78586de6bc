import { expectThat, until } from './failure.js';
import type { Stage } from './team-files.js';
import type { World } from './world.js';

// What the demo asks of the service's GraphQL. Every line it prints comes from one of these answers, from the log or from the cluster.

export interface ReadCommit {
  readonly id: string;
  readonly subject: string;
  readonly author: { readonly name: string };
  readonly signature: {
    readonly status: string;
    readonly principal: string | null;
    readonly key: string | null;
    readonly reason: string | null;
  };
}

export interface ReadObject {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface ReadViolation {
  readonly rule: string;
  readonly message: string;
  readonly controls: readonly string[];
  readonly place: { readonly file: string; readonly line: number | null };
  readonly source: { readonly path: string; readonly line: number } | null;
  readonly object: ReadObject | null;
  readonly commit: string | null;
  readonly fix: string | null;
}

export interface ReadDecision {
  readonly id: string;
  readonly outcome: 'allow' | 'deny' | 'pending' | 'error';
  readonly index: number | null;
  readonly milliseconds: number;
  readonly rulesRun: number;
  readonly rulesPassed: number;
  readonly error: { readonly message: string } | null;
  readonly violations: readonly ReadViolation[];
  readonly change: {
    readonly base: string | null;
    readonly head: string;
    readonly objectChangeCount: number;
    readonly commits: readonly ReadCommit[];
    readonly push: { readonly kind: string; readonly index: number | null } | null;
  } | null;
}

export interface ReadEnvironment {
  readonly name: string;
  readonly status: string;
  readonly trouble: { readonly message: string; readonly remedy: string | null } | null;
  readonly head: string | null;
  readonly headOutcome: string | null;
  readonly approved: string | null;
  readonly headDecision: ReadDecision | null;
}

const OBJECT = 'group version kind namespace name';
const COMMIT = 'id subject author { name } signature { status principal key reason }';
const DECISION = `id outcome index milliseconds rulesRun rulesPassed error { message }
  violations { rule message controls place { file line } source { path line } object { ${OBJECT} } commit fix }
  change { base head objectChangeCount commits { ${COMMIT} } push { kind index } }`;
const ENVIRONMENT = `name status trouble { message remedy } head headOutcome approved headDecision { ${DECISION} }`;

export async function readEnvironment(world: World, stage: Stage): Promise<ReadEnvironment> {
  const { environment } = await world.graphql.query<{ environment: ReadEnvironment | null }>(
    `query ($name: String!) { environment(repository: "shop", name: $name) { ${ENVIRONMENT} } }`,
    { name: `shop/${stage}` },
  );
  expectThat(environment !== null, `GraphQL knows no environment shop/${stage}`);
  return environment;
}

/** The environment once this commit is judged there and the decision is in the log. */
export async function readJudged(
  world: World,
  stage: Stage,
  head: string,
): Promise<ReadEnvironment & { headDecision: ReadDecision }> {
  return until(
    `a decision on ${short(head)} for shop/${stage}`,
    async () => {
      const answer = await world.graphql.query<{ environment: ReadEnvironment | null }>(
        `query ($name: String!) { environment(repository: "shop", name: $name) { ${ENVIRONMENT} } }`,
        { name: `shop/${stage}` },
      );
      const { environment } = answer;
      if (environment?.head !== head || environment.headDecision?.index == null) return null;
      return { ...environment, headDecision: environment.headDecision };
    },
    { givenUp: () => world.ended(), every: 60 },
  );
}

export interface ReadLiveObject {
  readonly object: ReadObject;
  readonly uid: string;
  readonly commitId: string;
  readonly health: string;
  readonly healthReason: string;
  readonly source: { readonly path: string; readonly line: number };
  readonly decision: { readonly index: number | null; readonly outcome: string } | null;
}

export async function readObjects(world: World, stage: Stage): Promise<readonly ReadLiveObject[]> {
  const { objects } = await world.graphql.query<{ objects: { nodes: readonly ReadLiveObject[] } }>(
    `query ($name: String!) { objects(first: 200, filter: { repository: "shop", environment: $name }) { nodes {
      object { ${OBJECT} } uid commitId health healthReason source { path line } decision { index outcome } } } }`,
    { name: `shop/${stage}` },
  );
  return objects.nodes;
}

export interface ReadRun {
  readonly reason: string;
  readonly outcome: string;
  readonly startedIndex: number | null;
  readonly finishedIndex: number | null;
  readonly trouble: { readonly message: string } | null;
  readonly decision: { readonly index: number | null } | null;
}

export interface Supplement {
  readonly strength: string;
  readonly source: string;
  readonly user: { readonly name: string };
  readonly verb: string;
}

export interface ReadDrift {
  readonly id: string;
  readonly object: ReadObject;
  readonly type: string;
  readonly fields: unknown;
  readonly attribution: Readonly<Record<string, unknown>> | null;
  /** What came after the first evidence, the newest last. */
  readonly supplements: readonly Supplement[];
  readonly strength: string | null;
  readonly detectedAt: string;
  readonly correctedAt: string | null;
  readonly index: number | null;
  readonly run: ReadRun | null;
}

const RUN = 'reason outcome startedIndex finishedIndex trouble { message } decision { index }';

/** Drift of one object, newest first. */
export async function readDrift(world: World, { kind, namespace, name }: ReadObject): Promise<readonly ReadDrift[]> {
  const { drift } = await world.graphql.query<{ drift: { nodes: readonly ReadDrift[] } }>(
    `query ($filter: DriftFilter!) { drift(first: 20, filter: $filter) { nodes {
      id object { ${OBJECT} } type fields attribution supplements strength detectedAt correctedAt index run { ${RUN} } } } }`,
    { filter: { kind, namespace, name } },
  );
  return drift.nodes;
}

export interface ReadLog {
  readonly origin: string;
  readonly vkey: string;
  readonly size: number;
  readonly rootHash: string;
}

export async function readLog(world: World): Promise<ReadLog> {
  const { log } = await world.graphql.query<{ log: ReadLog }>('{ log { origin vkey size rootHash } }');
  return log;
}

/** How many entries of each type there are; types without any are left out. */
export async function readEntryCounts(world: World): Promise<ReadonlyMap<string, number>> {
  const types = ['genesis', 'service', 'push', 'decision', 'run', 'drift', 'fault', 'export', 'action', 'key'];
  const counts = await world.graphql.query<Record<string, { totalCount: number }>>(
    `{ ${types.map((type) => `${type}: entries(first: 1, filter: { type: [${type}] }) { totalCount }`).join(' ')} }`,
  );
  return new Map(types.map((type) => [type, counts[type].totalCount] as const).filter(([, count]) => count > 0));
}

/** Shows a query to try, once it has been tried. */
export async function suggestQuery(world: World, query: string): Promise<void> {
  await world.graphql.query(query);
  world.narrator.look(`GraphQL   ${query}`);
}

/** Seven digits, as `git log --oneline` has them. */
export const short = (commit: string): string => commit.slice(0, 7);
