import { isJsonObject, type Json, type ObjectIdentity } from '../../cluster/object.js';
import type { LiveObject } from '../../reconcile/cluster.js';
import { expectThat, until } from './failure.js';
import type { Line } from './narrator.js';
import type { Pushed } from './people.js';
import { readObjects, short } from './reads.js';
import type { ShopCluster } from './shop-cluster.js';
import { stages, type Service, type Stage } from './team-files.js';
import type { World } from './world.js';

// What the cluster itself says.

export function deploymentOf(world: World, stage: Stage, name: Service): ObjectIdentity {
  return { group: 'apps', version: 'v1', kind: 'Deployment', namespace: world.namespaces[stage], name };
}

export function configMapOf(world: World, stage: Stage, name: Service): ObjectIdentity {
  return { group: '', version: 'v1', kind: 'ConfigMap', namespace: world.namespaces[stage], name };
}

/** A value in an object, by its field names and list positions. */
export function valueIn(object: Json | undefined, ...path: readonly (string | number)[]): Json | undefined {
  let here = object;
  for (const step of path) {
    if (typeof step === 'number') here = Array.isArray(here) ? (here as readonly Json[])[step] : undefined;
    else here = isJsonObject(here) ? here[step] : undefined;
  }
  return here;
}

export const textIn = (object: Json | undefined, ...path: readonly (string | number)[]): string => {
  const value = valueIn(object, ...path);
  return typeof value === 'string' ? value : '';
};

export const imageOf = (object: LiveObject): string =>
  textIn(object, 'spec', 'template', 'spec', 'containers', 0, 'image');
export const replicasOf = (object: LiveObject): number => Number(valueIn(object, 'spec', 'replicas'));
export const annotationOf = (object: LiveObject, name: string): string =>
  textIn(object, 'metadata', 'annotations', `countersign.dev/${name}`);

/** Without most of its digest. */
export const shortImage = (image: string): string => image.replace(/(@sha256:[0-9a-f]{8})[0-9a-f]+$/, '$1…');

export async function readLive(world: World, identity: ObjectIdentity): Promise<LiveObject> {
  const live = await world.cluster?.get(identity);
  expectThat(live != null, `${identity.kind} ${identity.namespace}/${identity.name} is not in the cluster`);
  return live;
}

/**
 * Looks at the cluster from now on until it has this Deployment as that commit wants it; null where there is no cluster yet. What it
 * rejects with is to be awaited later, after what is told first.
 */
export function whenLive(
  world: World,
  stage: Stage,
  service: Service,
  pushed: Pushed,
  image: string,
): Promise<Line> | null {
  if (!world.cluster) return null;
  const line = seeLive(world, world.cluster, deploymentOf(world, stage, service), pushed, image);
  line.catch(() => {});
  return line;
}

async function seeLive(
  world: World,
  cluster: ShopCluster,
  identity: ObjectIdentity,
  pushed: Pushed,
  image: string,
): Promise<Line> {
  const live = await until(
    `Deployment ${identity.namespace}/${identity.name} to run ${shortImage(image)}`,
    async () => {
      const found = await cluster.get(identity);
      return found && imageOf(found) === image ? found : null;
    },
    { givenUp: () => world.ended() },
  );
  const milliseconds = Math.round(performance.now() - pushed.at);
  world.figures.commitToLive.push(milliseconds);
  expectThat(
    annotationOf(live, 'commit') === pushed.commit,
    `the live object names commit ${annotationOf(live, 'commit')}`,
  );
  return {
    mark: 'yes',
    word: 'live',
    text: `Deployment ${identity.namespace}/${identity.name} runs ${shortImage(imageOf(live))}, ${milliseconds} ms after git push`,
    below: [
      `its annotations say: commit ${short(annotationOf(live, 'commit'))}, decision ${annotationOf(live, 'decision')} of the log`,
    ],
    values: { object: { ...identity }, image: imageOf(live), milliseconds },
  };
}

/** Says what still runs while something newer is held back. */
export async function tellHeldBack(
  world: World,
  stage: Stage,
  service: Service,
  expected: { readonly image: string; readonly approved: string | null; readonly answered: string | null },
): Promise<void> {
  expectThat(
    expected.answered === expected.approved,
    `shop/${stage} is at ${expected.answered}, not at its last approved commit`,
  );
  const kept = `shop/${stage} stays at its last approved commit ${short(expected.answered ?? '')}`;
  if (!world.cluster) {
    world.narrator.line({ mark: 'fact', word: 'kept', text: kept });
    return;
  }
  const live = await readLive(world, deploymentOf(world, stage, service));
  expectThat(imageOf(live) === expected.image, `the cluster runs ${imageOf(live)} though it was not approved`);
  world.narrator.line({
    mark: 'fact',
    word: 'kept',
    text: `${kept}; the cluster still runs ${shortImage(imageOf(live))}`,
    values: { environment: `shop/${stage}`, approved: expected.answered, image: imageOf(live) },
  });
}

/** Every object that the service says it applied is in the cluster, with the same commit and decision. Resolves to how many. */
export async function compareInventory(world: World): Promise<number> {
  let compared = 0;
  for (const stage of stages) {
    for (const { object, uid, commitId, decision } of await readObjects(world, stage)) {
      const live = await readLive(world, object);
      const name = `${object.kind} ${object.namespace}/${object.name}`;
      expectThat(live.metadata.uid === uid, `${name} has another uid than the service says`);
      expectThat(annotationOf(live, 'commit') === commitId, `${name} names another commit than the service says`);
      expectThat(decision?.outcome === 'allow', `${name} runs without an allow`);
      expectThat(annotationOf(live, 'decision') === String(decision.index), `${name} names another decision`);
      compared += 1;
    }
  }
  return compared;
}
