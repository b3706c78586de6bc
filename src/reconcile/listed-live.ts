import { manifestOf, serverMetadata } from '../cluster/manifest-of.js';
import { identityKey, identityOf, type KubernetesObject } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { LiveEnvironment, LiveEnvironments } from '../review/judge-live.js';
import type { ApiKind, Cluster, LiveObject } from './cluster.js';
import { ownAnnotations, PART_OF } from './own-metadata.js';

/** What runs, as a fresh listing of its cluster shows it: with whatever others changed and the server added since our last run. */
export class ListedLive implements LiveEnvironments {
  constructor(
    private readonly recorded: LiveEnvironments,
    private readonly clusterOf: (target: string) => Cluster | undefined,
    private readonly redactor: Redactor,
  ) {}

  async *all(repository: string | null, environment?: string): AsyncIterable<LiveEnvironment> {
    for await (const live of this.recorded.all(repository, environment)) {
      const cluster = this.clusterOf(live.target);
      yield cluster ? await this.#listed(live, cluster) : live;
    }
  }

  teams(live: LiveEnvironment): Promise<ReadonlyMap<string, readonly string[]>> {
    return this.recorded.teams(live);
  }

  /** What was recorded, with the reason, where the cluster cannot be asked. */
  async #listed(live: LiveEnvironment, cluster: Cluster): Promise<LiveEnvironment> {
    const wanted = new Set(live.objects.map(({ object }) => identityKey(identityOf(object))));
    const found = new Map<string, KubernetesObject>();
    try {
      for (const kind of await kindsOf(
        live.objects.map(({ object }) => object),
        cluster,
      )) {
        await cluster.list(kind, undefined, (one) => {
          const key = identityKey(identityOf(one));
          if (wanted.has(key))
            found.set(key, this.redactor.redact(manifestOf(one, ADDED, (name) => OF_TOOLS.has(name))));
          return bare(one);
        });
      }
    } catch (thrown) {
      return { ...live, listing: toCountersignError(thrown) };
    }
    const objects = live.objects.flatMap(({ object, source }) => {
      const now = found.get(identityKey(identityOf(object)));
      return now ? [{ object: now, source }] : [];
    });
    return { ...live, objects, listing: 'listed' };
  }
}

/** Each once; without those that the server no longer serves, of which nothing runs. */
async function kindsOf(objects: readonly KubernetesObject[], cluster: Cluster): Promise<readonly ApiKind[]> {
  const kinds = new Map<string, ApiKind>();
  for (const object of objects) {
    const { group, version, kind } = identityOf(object);
    const name = `${group}/${version}/${kind}`;
    if (kinds.has(name)) continue;
    try {
      kinds.set(name, await cluster.kind({ group, version, kind }));
    } catch (thrown) {
      if (!(thrown instanceof CountersignError) || thrown.code !== 'kind-unknown') throw thrown;
    }
  }
  return [...kinds.values()];
}

/** Nothing of a long list is held but what was asked for, and that without its secrets. */
function bare({ apiVersion, kind, metadata: { name, uid, resourceVersion } }: LiveObject): LiveObject {
  return { apiVersion, kind, metadata: { name, uid, resourceVersion } };
}

const ADDED = new Set<string>(serverMetadata);
const OF_TOOLS = new Set<string>([...ownAnnotations, 'kubectl.kubernetes.io/last-applied-configuration', PART_OF]);
