import { setTimeout as sleep } from 'node:timers/promises';
import { identityKey, identityOf, isJsonObject, type JsonObject, type KubernetesObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { GroupVersionKind } from '../policy/gatekeeper/expansion.js';
import { fitsGlob, type SyncSettings } from '../policy/gatekeeper/sync.js';
import type { LiveInventory } from '../review/review.js';
import type { Cluster, LiveObject } from './cluster.js';
import { Informer } from './informer.js';

export interface InventoryLimits {
  /** Of all that is held of one cluster, as JSON. */
  readonly bytes: number;
  /** Milliseconds that a decision waits for a kind that was not looked at yet. */
  readonly patience: number;
}

const LIMITS: InventoryLimits = { bytes: 32 * 2 ** 20, patience: 15_000 };
/** Milliseconds after which a kind that no decision asked for is no longer watched. */
const IDLE = 3_600_000;
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

interface Watched {
  readonly informer: Informer;
  readonly leave: () => void;
  used: number;
}

/** What runs in the clusters, of the kinds that policies are told of: watched from the first decision that asks for a kind on. */
export class WatchedInventory implements LiveInventory {
  readonly #targets: ReadonlyMap<string, WatchedCluster>;

  constructor(clusters: ReadonlyMap<string, Cluster>, limits: InventoryLimits = LIMITS) {
    this.#targets = new Map([...clusters].map(([name, cluster]) => [name, new WatchedCluster(cluster, limits)]));
  }

  async read(target: string, sync: SyncSettings): Promise<readonly KubernetesObject[]> {
    return (await this.#targets.get(target)?.read(sync)) ?? [];
  }

  async close(): Promise<void> {
    await Promise.all([...this.#targets.values()].map((cluster) => cluster.close()));
  }
}

class WatchedCluster {
  readonly #watched = new Map<string, Promise<Watched | null>>();
  /** Bytes of each object that is held. */
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly limits: InventoryLimits,
  ) {}

  async read({ kinds, excludedNamespaces }: SyncSettings): Promise<readonly KubernetesObject[]> {
    await this.#dropIdle();
    const lists = await Promise.all(kinds.map((kind) => this.#objects(kind)));
    const excluded = (name: string): boolean => excludedNamespaces.some((pattern) => fitsGlob(pattern, name));
    return lists.flat().filter(({ apiVersion, kind, metadata }) => {
      const isNamespace = apiVersion === 'v1' && kind === 'Namespace';
      return !excluded(isNamespace ? metadata.name : (metadata.namespace ?? ''));
    });
  }

  async close(): Promise<void> {
    for (const name of this.#watched.keys()) await this.#drop(name);
  }

  async #objects(kind: GroupVersionKind): Promise<readonly LiveObject[]> {
    const watched = await this.#watch(kind);
    if (!watched) return []; // a kind that is not served has no objects
    watched.used = Date.now();
    const { informer } = watched;
    const patience = new AbortController();
    const late = sleep(this.limits.patience, null, { signal: patience.signal }).then(
      () => {
        throw new CountersignError('cluster-unavailable', `cluster ${this.cluster.name} did not list its ${informer.kind.plural} in time`, { retry: true }); // prettier-ignore
      },
      () => {},
    );
    try {
      await Promise.race([informer.synced(), late]);
    } finally {
      patience.abort();
    }
    // What was seen before the watch broke may be long gone.
    if (informer.trouble) throw informer.trouble;
    return [...informer.objects()];
  }

  async #watch(kind: GroupVersionKind): Promise<Watched | null> {
    const name = `${kind.group}/${kind.version}/${kind.kind}`;
    const known = this.#watched.get(name) ?? this.#begin(name, kind);
    this.#watched.set(name, known);
    try {
      const watched = await known;
      if (!watched) this.#watched.delete(name); // asked again the next time: it may have been defined
      return watched;
    } catch (thrown) {
      this.#watched.delete(name);
      throw thrown;
    }
  }

  async #begin(name: string, wanted: GroupVersionKind): Promise<Watched | null> {
    let kind;
    try {
      kind = await this.cluster.kind(wanted);
    } catch (thrown) {
      if (thrown instanceof CountersignError && thrown.code === 'kind-unknown') return null;
      throw thrown;
    }
    const keep = (live: LiveObject): LiveObject => this.#keep(name, live);
    const informer = new Informer(this.cluster, kind, { labelSelector: null, keep });
    const leave = informer.listen({
      changed: (key, live) => {
        if (!live) this.#forget(`${name} ${key}`);
      },
      reachable: () => {},
    });
    return { informer, leave, used: Date.now() };
  }

  /** Throws `inventory-too-large`: what is left out could be what policy looks for. */
  #keep(name: string, live: LiveObject): LiveObject {
    const kept = withoutBookkeeping(live);
    const key = `${name} ${identityKey(identityOf(kept))}`;
    this.#forget(key);
    const size = Buffer.byteLength(JSON.stringify(kept));
    if (this.#bytes + size > this.limits.bytes) {
      throw new CountersignError('inventory-too-large', `what policy is told of cluster ${this.cluster.name} is more than ${this.limits.bytes / 2 ** 20} MiB`, { remedy: 'Name fewer kinds in its SyncSets, or exclude namespaces from sync in its Config' }); // prettier-ignore
    }
    this.#sizes.set(key, size);
    this.#bytes += size;
    return kept;
  }

  #forget(key: string): void {
    this.#bytes -= this.#sizes.get(key) ?? 0;
    this.#sizes.delete(key);
  }

  async #dropIdle(): Promise<void> {
    for (const [name, watched] of this.#watched) {
      const used = (await watched.catch(() => null))?.used;
      if (used !== undefined && used < Date.now() - IDLE) await this.#drop(name);
    }
  }

  async #drop(name: string): Promise<void> {
    const watched = await this.#watched.get(name)?.catch(() => null);
    this.#watched.delete(name);
    watched?.leave();
    await watched?.informer.stop();
    for (const key of this.#sizes.keys()) if (key.startsWith(`${name} `)) this.#forget(key);
  }
}

/** What tools keep about an object, and no rule looks for. Last-applied would tell of a Secret what its values no longer do. */
function withoutBookkeeping(live: LiveObject): LiveObject {
  const { managedFields: _managed, annotations, ...metadata } = live.metadata;
  const own: JsonObject = isJsonObject(annotations) ? annotations : {};
  const { [LAST_APPLIED]: _applied, ...kept } = own;
  return { ...live, metadata: { ...metadata, ...(Object.keys(kept).length > 0 ? { annotations: kept } : {}) } }; // prettier-ignore
}
