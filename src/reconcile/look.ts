import { describeIdentity, identityKey, identityOf, type ObjectIdentity } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { LiveObject } from './cluster.js';
import type { Informer, InformerListener, Informers } from './informer.js';
import { definedBy, type Desired } from './plan.js';

/** Objects of one kind that are asked for one by one; more are listed. */
const ONE_BY_ONE = 8;

/** One environment's view of its target: the informers of its kinds, and a direct look at what they cannot see. */
export class TargetView {
  readonly #informers = new Map<string, Informer>();
  readonly #unsubscribe = new Map<string, () => void>();

  constructor(
    private readonly informers: Informers,
    private readonly listener: InformerListener,
  ) {}

  /**
   * Watches the kinds of these objects, and checks that they can be what they say they are. Kinds that the environment itself
   * is about to define are left for the next time. Throws `kind-unknown`, `object-invalid`, `namespace-missing`,
   * `cluster-unavailable`.
   */
  async watch(desired: Desired, others: Iterable<ObjectIdentity>): Promise<void> {
    const own = new Set([...desired.values()].flatMap(({ sent }) => definedBy(sent)).map(kindOf));
    for (const { identity, source, directives } of desired.values()) {
      const mayBeUnknown = own.has(kindOf(identity)) || directives.mayBeUnknown || directives.apply === 'ignore';
      const informer = this.#informers.get(kindOf(identity)) ?? (await this.#informer(identity, mayBeUnknown));
      if (!informer) continue;
      const place = { file: source.path, line: source.line };
      if (informer.kind.namespaced && identity.namespace === '') {
        throw new CountersignError('namespace-missing', `${describeIdentity(identity)} names no namespace`, {
          place,
          remedy: 'Add metadata.namespace, or a namespace to its environment in countersign.yaml',
        });
      }
      // Grants are by namespace: what claims one without living in it would slip through them.
      if (!informer.kind.namespaced && identity.namespace !== '') {
        throw new CountersignError(
          'object-invalid',
          `${describeIdentity(identity)} names a namespace, but its kind has none`,
          {
            place,
            remedy: 'Remove metadata.namespace',
          },
        );
      }
    }
    for (const identity of others) await this.#informer(identity, true);
    await Promise.all([...this.#informers.values()].map((informer) => informer.synced()));
  }

  /** What is there now; what the informers do not show is asked for, as our label may have been taken off. */
  async look(identities: Iterable<ObjectIdentity>): Promise<Map<string, LiveObject | null>> {
    const found = new Map<string, LiveObject | null>();
    const missing = new Map<string, ObjectIdentity[]>();
    for (const identity of identities) {
      const key = identityKey(identity);
      const live = this.#informers.get(kindOf(identity))?.get(key);
      if (live) {
        found.set(key, live);
        continue;
      }
      const group = missing.get(kindOf(identity));
      if (group) group.push(identity);
      else missing.set(kindOf(identity), [identity]);
    }
    for (const group of missing.values()) await this.#ask(group, found);
    return found;
  }

  get(identity: ObjectIdentity): LiveObject | undefined {
    return this.#informers.get(kindOf(identity))?.get(identityKey(identity));
  }

  learn(live: LiveObject): void {
    this.#informers.get(kindOf(identityOf(live)))?.learn(live);
  }

  /** Stops watching kinds that none of these is of. */
  keep(identities: Iterable<ObjectIdentity>): void {
    const needed = new Set([...identities].map(kindOf));
    for (const [name, unsubscribe] of this.#unsubscribe) {
      if (needed.has(name)) continue;
      unsubscribe();
      this.#unsubscribe.delete(name);
      this.#informers.delete(name);
    }
  }

  close(): void {
    this.keep([]);
  }

  async #informer(identity: ObjectIdentity, mayBeUnknown: boolean): Promise<Informer | null> {
    const name = kindOf(identity);
    const known = this.#informers.get(name);
    if (known) return known;
    try {
      const { informer, unsubscribe } = await this.informers.subscribe(identity, this.listener);
      this.#informers.set(name, informer);
      this.#unsubscribe.set(name, unsubscribe);
      return informer;
    } catch (error) {
      if (mayBeUnknown && error instanceof CountersignError && error.code === 'kind-unknown') return null;
      throw error;
    }
  }

  async #ask(identities: readonly ObjectIdentity[], found: Map<string, LiveObject | null>): Promise<void> {
    for (const identity of identities) found.set(identityKey(identity), null);
    const informer = this.#informers.get(kindOf(identities[0]));
    if (!informer) return; // a kind that is not served has no objects
    try {
      for (const live of await this.#answers(identities, informer)) {
        const key = live && identityKey(identityOf(live));
        if (key !== null && found.has(key)) found.set(key, live);
      }
    } catch (error) {
      // Its definition was deleted, and its objects with it.
      if (!(error instanceof CountersignError && error.code === 'kind-unknown')) throw error;
    }
  }

  async #answers(identities: readonly ObjectIdentity[], { kind }: Informer): Promise<readonly (LiveObject | null)[]> {
    const { cluster } = this.informers;
    if (identities.length > ONE_BY_ONE) return (await cluster.list(kind)).items;
    return Promise.all(identities.map((identity) => cluster.get(identity)));
  }
}

const kindOf = ({ group, version, kind }: Pick<ObjectIdentity, 'group' | 'version' | 'kind'>): string =>
  `${group}/${version}/${kind}`;
