import { setTimeout as sleep } from 'node:timers/promises';
import { type CountersignError, toCountersignError } from '../errors.js';
import { isJsonObject, type Json } from '../cluster/object.js';
import type { Cluster, LiveObject } from './cluster.js';
import { Informer } from './informer.js';
import { type Followed, peerKinds, peersOf, type PeerState } from './peers.js';

/** Milliseconds after which a kind that the cluster does not serve, or does not show us, is asked for again. */
const AGAIN = 30_000;
/** All that is read of an object, so that nothing else of it is held. */
const KEPT = ['source', 'sources', 'url', 'ref', 'sourceRef', 'chart', 'suspend'];

/** Argo CD's and Flux's objects in one cluster, as they are now. Only read, and only if somebody asks. */
export class PeerWatch {
  readonly #informers = new Map<string, Informer>();
  readonly #listeners = new Set<() => void>();
  readonly #troubles = new Map<string, CountersignError>();
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;

  constructor(
    private readonly cluster: Cluster,
    /** As what the tools know the repository, beside its own URL. */
    private readonly urls: readonly string[],
  ) {}

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    this.#running ??= this.#run();
    return () => this.#listeners.delete(listener);
  }

  peers({ ref, urls }: Followed): PeerState[] {
    const objects = [...this.#informers.values()].flatMap((informer) => [...informer.objects()]);
    return peersOf(objects, { ref, urls: [...urls, ...this.urls] });
  }

  /** Why their word is not, or no longer, heard; a tool that is not installed is no trouble. */
  get trouble(): CountersignError | null {
    const heard = [...this.#informers.values()].map(({ trouble }) => trouble);
    return [...this.#troubles.values(), ...heard].find((one) => one !== null) ?? null;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await Promise.all([...this.#informers.values()].map((informer) => informer.stop()));
    await this.cluster.close();
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      for (const kind of peerKinds) await this.#begin(kind);
      if (this.#informers.size === peerKinds.length) return;
      await sleep(AGAIN, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async #begin(kind: (typeof peerKinds)[number]): Promise<void> {
    if (this.#informers.has(kind.kind) || this.#stop.signal.aborted) return;
    const before = this.trouble?.message;
    try {
      const informer = new Informer(this.cluster, await this.cluster.kind(kind), {
        labelSelector: null,
        keep: trimmed,
      });
      this.#troubles.delete(kind.kind);
      this.#informers.set(kind.kind, informer);
      const tell = (): void => this.#tell();
      informer.listen({ changed: tell, reachable: tell });
    } catch (thrown) {
      const trouble = toCountersignError(thrown);
      if (trouble.code === 'kind-unknown') this.#troubles.delete(kind.kind);
      else this.#troubles.set(kind.kind, trouble);
    }
    if (this.trouble?.message !== before) this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function trimmed({ apiVersion, kind, metadata, spec, status }: LiveObject): LiveObject {
  const { name, namespace, uid, resourceVersion, generation } = metadata;
  const written = isJsonObject(spec) ? spec : {};
  const kept = Object.fromEntries(
    Object.entries(written)
      .filter(([field]) => KEPT.includes(field))
      .map(([field, value]) => [field, field === 'sources' && Array.isArray(value) ? value.map(place) : field === 'source' ? place(value) : value]), // prettier-ignore
  );
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      uid,
      resourceVersion,
      ...(namespace === undefined ? {} : { namespace }),
      ...(generation === undefined ? {} : { generation }),
    },
    spec: kept,
    status: withoutResources(status),
  };
}

/** Values for charts stay where they are. */
function place(source: Json): Json {
  const { repoURL = '', targetRevision = '' } = isJsonObject(source) ? source : {};
  return { repoURL, targetRevision };
}

/** Lists of what the tool applied are long, and not asked for. */
function withoutResources(status: Json | undefined): Json {
  if (!isJsonObject(status)) return {};
  const { resources: _resources, inventory: _inventory, history, operationState, ...rest } = status;
  const operation = isJsonObject(operationState) ? operationState : {};
  const result = isJsonObject(operation['syncResult']) ? operation['syncResult'] : {};
  return {
    ...rest,
    ...(Array.isArray(history) ? { history: history.slice(0, 1) } : {}),
    operationState: {
      phase: operation['phase'] ?? '',
      message: operation['message'] ?? '',
      syncResult: { revision: result['revision'] ?? '' },
    },
  };
}
