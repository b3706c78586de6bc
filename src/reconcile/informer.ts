import { setTimeout as sleep } from 'node:timers/promises';
import { identityKey, identityOf, type ObjectIdentity } from '../cluster/object.js';
import { toCountersignError, type CountersignError } from '../errors.js';
import type { ApiKind, Cluster, LiveObject, WatchEvent } from './cluster.js';
import { PART_OF } from './own-metadata.js';

export interface InformerListener {
  /** An object changed, or left what is watched: deleted, or without our label. */
  changed(key: string, live: LiveObject | null): void;
  /** The watch broke, or works again. */
  reachable(trouble: CountersignError | null): void;
}

/** What is seen of a kind: usually objects with our label, as they are. */
export interface InformerScope {
  /** null: all objects of the kind. */
  readonly labelSelector: string | null;
  /** What is held of each. May throw: then nothing is known until it no longer does. */
  readonly keep?: (live: LiveObject) => LiveObject;
}

const GOVERNED: InformerScope = { labelSelector: PART_OF };

/** Milliseconds between two tries to reach a cluster that is away, and to hold what is too much. */
const PAUSE = { first: 100, last: 5_000, tooLarge: 60_000 };

/**
 * One kind of one cluster, watched for all environments: list once, then events, then list again only where the server says that
 * events were lost. Only objects with our label are seen; one that loses it is reported as gone, and a look at it tells which.
 */
export class Informer {
  readonly #objects = new Map<string, LiveObject>();
  /** As they were when they were deleted, since the last list. */
  readonly #gone = new Map<string, LiveObject>();
  readonly #listeners = new Set<InformerListener>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #synced = false;
  #waiting: (() => void)[] = [];
  #trouble: CountersignError | null = null;

  constructor(
    private readonly cluster: Cluster,
    readonly kind: ApiKind,
    private readonly scope: InformerScope = GOVERNED,
  ) {
    this.#running = this.#run();
  }

  get(key: string): LiveObject | undefined {
    return this.#objects.get(key);
  }

  /** Our own write's answer, so that a reader after it does not see what was before it; nor may it hide what came after it. */
  learn(live: LiveObject): void {
    const key = identityKey(identityOf(live));
    if (!isOlder(live, this.#objects.get(key) ?? this.#gone.get(key))) this.#objects.set(key, live);
  }

  listen(listener: InformerListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Why nothing is heard right now. */
  get trouble(): CountersignError | null {
    return this.#trouble;
  }

  objects(): Iterable<LiveObject> {
    return this.#objects.values();
  }

  get isHeard(): boolean {
    return this.#listeners.size > 0;
  }

  /** Resolves when it has seen the whole list; rejects with the trouble if the cluster is away right now. */
  async synced(): Promise<void> {
    while (!this.#synced) {
      if (this.#trouble) throw this.#trouble;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    let resourceVersion = '';
    let pause = PAUSE.first;
    while (!this.#stop.signal.aborted) {
      try {
        if (resourceVersion === '') resourceVersion = await this.#list();
        this.#settle(null);
        for await (const event of this.#watch(resourceVersion)) {
          pause = PAUSE.first;
          if (event.type === 'bookmark') resourceVersion = event.resourceVersion;
          else {
            resourceVersion = event.object.metadata.resourceVersion;
            const gone = event.type === 'deleted';
            this.#set(gone ? event.object : (this.scope.keep?.(event.object) ?? event.object), gone);
          }
        }
      } catch (thrown) {
        const trouble = toCountersignError(thrown);
        if (trouble.code === 'cluster-conflict') {
          resourceVersion = ''; // too old: what happened in between is found by listing
          continue;
        }
        // Only where the cluster was away can the watch go on from where it was.
        if (trouble.code !== 'cluster-unavailable') resourceVersion = '';
        this.#settle(trouble);
        await this.#sleep(trouble.code === 'inventory-too-large' ? PAUSE.tooLarge : pause);
        pause = Math.min(pause * 2, PAUSE.last);
      }
    }
  }

  #watch(resourceVersion: string): AsyncIterable<WatchEvent> {
    return this.cluster.watch(this.kind, resourceVersion, this.#stop.signal, this.scope.labelSelector ?? undefined);
  }

  async #list(): Promise<string> {
    const { labelSelector, keep } = this.scope;
    const { items, resourceVersion } = await this.cluster.list(this.kind, labelSelector ?? undefined, keep);
    const gone = new Set(this.#objects.keys());
    for (const live of items) {
      const key = identityKey(identityOf(live));
      gone.delete(key);
      if (this.#objects.get(key)?.metadata.resourceVersion !== live.metadata.resourceVersion) this.#set(live, false);
    }
    for (const key of gone) this.#set(this.#objects.get(key)!, true);
    this.#gone.clear();
    this.#synced = true;
    return resourceVersion;
  }

  #set(live: LiveObject, gone: boolean): void {
    const key = identityKey(identityOf(live));
    // Told late: a write of ours has already answered with a newer version.
    if (isOlder(live, this.#objects.get(key))) return;
    if (gone) this.#objects.delete(key);
    else this.#objects.set(key, live);
    if (gone && this.scope === GOVERNED) this.#gone.set(key, live);
    else this.#gone.delete(key);
    for (const listener of this.#listeners) listener.changed(key, gone ? null : live);
  }

  #settle(trouble: CountersignError | null): void {
    const changed = this.#trouble?.message !== trouble?.message;
    this.#trouble = trouble;
    for (const wake of this.#waiting.splice(0)) wake();
    if (changed) for (const listener of this.#listeners) listener.reachable(trouble);
  }

  async #sleep(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#stop.signal }).catch(() => {});
  }
}

/** Resource versions of one resource grow; only where one is no number can't they be compared. */
function isOlder(live: LiveObject, known: LiveObject | undefined): boolean {
  const [seen, ours] = [live.metadata.resourceVersion, known?.metadata.resourceVersion ?? ''];
  return /^\d+$/.test(seen) && /^\d+$/.test(ours) && BigInt(seen) < BigInt(ours);
}

/** The informers of one cluster, begun as kinds are needed. */
export class Informers {
  readonly #informers = new Map<string, Informer>();
  readonly #ending = new Set<Promise<void>>();

  constructor(readonly cluster: Cluster) {}

  /** The informer of an object's kind; it ends with its last listener. Throws `kind-unknown`, `cluster-unavailable`. */
  async subscribe(
    identity: ObjectIdentity,
    listener: InformerListener,
  ): Promise<{ readonly informer: Informer; readonly unsubscribe: () => void }> {
    const kind = await this.cluster.kind(identity);
    const name = `${kind.group}/${kind.version}/${kind.kind}`;
    const informer = this.#informers.get(name) ?? new Informer(this.cluster, kind);
    this.#informers.set(name, informer);
    const leave = informer.listen(listener);
    return {
      informer,
      unsubscribe: () => {
        leave();
        if (informer.isHeard || this.#informers.get(name) !== informer) return;
        this.#informers.delete(name);
        const ending = informer.stop().finally(() => this.#ending.delete(ending));
        this.#ending.add(ending);
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#ending, ...[...this.#informers.values()].map((informer) => informer.stop())]);
  }
}
