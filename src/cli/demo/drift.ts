import { isJsonObject, type Json, type JsonObject, type ObjectIdentity } from '../../cluster/object.js';
import { expectThat, until } from './failure.js';
import { configMapOf, deploymentOf, readLive, replicasOf, valueIn } from './live.js';
import type { LiveObject } from '../../reconcile/cluster.js';
import { readDrift, readEnvironment, short, suggestQuery, type ReadDrift } from './reads.js';
import type { ShopCluster } from './shop-cluster.js';
import type { World } from './world.js';

// Chapters about the cluster: what happens there behind Git's back.

/** Dana scales a Deployment by hand; it is attributed, logged, and only then corrected. */
export async function editBehindItsBack(world: World, cluster: ShopCluster): Promise<void> {
  const { narrator } = world;
  const web = deploymentOf(world, 'production', 'web');
  const approved = replicasOf(await readLive(world, web));
  const known = new Set((await readDrift(world, web)).map(({ id }) => id));
  const answer = await cluster.edit(web, { spec: { replicas: approved + 3 } });
  const edited = performance.now();
  narrator.line({
    mark: 'no',
    word: 'edited',
    text: `Deployment ${web.namespace}/${web.name}: replicas ${approved} → ${replicasOf(answer)}, by a client that calls itself ${managerOf(answer)}`,
  });
  narrator.waiting('the drift to be seen');
  const back = await until(
    `replicas of ${web.name} to be ${approved} again`,
    async () => {
      const live = await cluster.get(web);
      return live && replicasOf(live) === approved ? live : null;
    },
    { givenUp: () => world.ended() },
  );
  const milliseconds = Math.round(performance.now() - edited);
  world.figures.driftToCorrected.push(milliseconds);
  const drift = await corrected(world, web, known);
  narrator.line(driftLine(drift));
  narrator.line({
    mark: 'mended',
    word: 'corrected',
    text: `replicas are ${replicasOf(back)} again, ${milliseconds} ms after the edit; run logged as entries ${drift.run?.startedIndex} and ${drift.run?.finishedIndex}`,
    values: { object: { ...web }, milliseconds },
  });
  expectThat(drift.type === 'modified', `the drift is called ${drift.type}`);
  expectThat(
    JSON.stringify(drift.attribution ?? {}).includes('kubectl-edit'),
    'the drift is attributed to nobody, or another',
  );
  await name(world, cluster, drift);
  const { headOutcome, approved: commit } = await readEnvironment(world, 'production');
  narrator.line({
    mark: 'fact',
    word: 'kept',
    text: `shop/production is still held at ${short(commit ?? '')}, the last approved commit; the branch's head stays "${headOutcome}"`,
  });
  await suggestQuery(
    world,
    '{ drift(first: 1) { nodes { attribution supplements strength detectedAt correctedAt entry { index predicate } } } }',
  );
}

/** Dana deletes a ConfigMap; it comes back. */
export async function deleteByHand(world: World, cluster: ShopCluster): Promise<void> {
  const { narrator } = world;
  const config = configMapOf(world, 'production', 'catalog');
  const before = await readLive(world, config);
  const known = new Set((await readDrift(world, config)).map(({ id }) => id));
  await cluster.delete(config);
  const deleted = performance.now();
  narrator.line({
    mark: 'no',
    word: 'deleted',
    text: `ConfigMap ${config.namespace}/${config.name}, uid ${before.metadata.uid.slice(0, 8)}…`,
  });
  narrator.waiting('it to come back');
  const back = await until(
    `ConfigMap ${config.name} to come back`,
    async () => {
      const live = await cluster.get(config);
      return live && live.metadata.uid !== before.metadata.uid ? live : null;
    },
    { givenUp: () => world.ended() },
  );
  const milliseconds = Math.round(performance.now() - deleted);
  world.figures.driftToCorrected.push(milliseconds);
  const drift = await corrected(world, config, known);
  narrator.line(driftLine(drift));
  expectThat(drift.type === 'deleted', `the drift is called ${drift.type}`);
  expectThat(
    JSON.stringify(valueIn(back, 'data')) === JSON.stringify(valueIn(before, 'data')),
    'it came back with other data',
  );
  narrator.line({
    mark: 'mended',
    word: 'corrected',
    text: `it is back after ${milliseconds} ms, uid ${back.metadata.uid.slice(0, 8)}…, with the same data`,
    values: { object: { ...config }, milliseconds },
  });
  await name(world, cluster, drift);
}

/** Who did it, as the API server authenticated them: its audit events come a moment after the write. */
async function name(world: World, cluster: ShopCluster, { id, object }: ReadDrift): Promise<void> {
  if (cluster.auditLog === null) return;
  world.narrator.waiting("the API server's audit event");
  const told = await until(
    `the API server's audit event of ${object.kind} ${object.name}`,
    async () => (await readDrift(world, object)).find((one) => one.id === id)?.supplements.at(-1),
    { givenUp: () => world.ended() },
  );
  const { user, verb, source, strength } = told;
  world.narrator.line({
    mark: 'fact',
    word: 'named',
    text: `it was ${user.name}: a ${verb} that the API server authenticated, by its ${source} event (evidence: ${strength})`,
    values: { object, supplement: told },
  });
  expectThat(user.name === 'dana', `the audit event names ${user.name}`);
}

/** Who wrote an object last, as its managed fields say. */
function managerOf(object: LiveObject): string {
  const managers = valueIn(object, 'metadata', 'managedFields');
  const entries = Array.isArray(managers) ? (managers as readonly Json[]).filter(isJsonObject) : [];
  const last = entries.toSorted((a, b) => textOf(b['time']).localeCompare(textOf(a['time'])));
  return textOf(last.find(({ operation }) => operation === 'Update')?.['manager']);
}

/** The newest drift of this object that was not there before, once it is corrected and everything about it is in the log. */
async function corrected(world: World, object: ObjectIdentity, known: ReadonlySet<string>): Promise<ReadDrift> {
  const drift = await until(
    `the drift of ${object.kind} ${object.name} to be recorded as corrected`,
    async () => {
      const fresh = (await readDrift(world, object)).filter(({ id }) => !known.has(id));
      return fresh.find(({ correctedAt, run }) => correctedAt !== null && run?.finishedIndex != null);
    },
    { givenUp: () => world.ended() },
  );
  // Invariant 12: recorded, with attribution, before it is corrected.
  const { index, run } = drift;
  expectThat(
    index !== null && run?.startedIndex != null && index < run.startedIndex,
    `drift is entry ${index}, its correction ${run?.startedIndex}`,
  );
  return drift;
}

function driftLine({ object, type, fields, attribution, strength, detectedAt, correctedAt, index }: ReadDrift): {
  mark: 'no';
  word: string;
  text: string;
  below: string[];
  values: Readonly<Record<string, unknown>>;
} {
  return {
    mark: 'no',
    word: 'drift',
    text: `${object.kind} ${object.namespace}/${object.name} ${type}   entry ${index}, before it was corrected`,
    below: [
      ...fieldTexts(fields as Json),
      `by ${whoText(attribution)} (evidence: ${textOf(attribution?.['strength']) || 'none'})`,
      `seen ${timeOf(detectedAt)}, corrected ${timeOf(correctedAt)} UTC`,
    ],
    values: { object, type, fields, attribution, strength, detectedAt, correctedAt, index },
  };
}

function whoText(attribution: ReadDrift['attribution']): string {
  const value = (name: string): string => textOf(attribution?.[name]);
  if (!value('manager')) return 'somebody who left no trace in the object';
  return `${value('manager')} (${[value('operation'), value('time')].filter(Boolean).join(' at ')}, from ${value('source')})`;
}

function fieldTexts(fields: Json): string[] {
  if (!Array.isArray(fields)) return [];
  return (fields as readonly Json[]).filter(isJsonObject).slice(0, 5).map(fieldText);
}

function fieldText({ path, type, approved, desired, live }: JsonObject): string {
  const wanted = approved ?? desired;
  return `${typeof path === 'string' ? path : JSON.stringify(path)}: approved ${JSON.stringify(wanted)}, found ${JSON.stringify(live)} (${textOf(type)})`;
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const timeOf = (at: string | null): string => at?.slice(11, 23) ?? '';
