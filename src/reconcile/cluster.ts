import type { JsonPatchOperation } from '../cluster/diff.js';
import type { JsonObject, KubernetesObject, ObjectIdentity } from '../cluster/object.js';

/** An object as the API server answered it. */
export interface LiveObject extends KubernetesObject {
  readonly metadata: JsonObject & {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
  };
}

/** How the API server serves one kind. */
export interface ApiKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** The name in URLs. */
  readonly plural: string;
  readonly namespaced: boolean;
}

/** In whose name requests are made, where our own user may act as that one. */
export interface Impersonation {
  /** `system:serviceaccount:shop:deployer` for a service account. */
  readonly user: string;
  readonly groups: readonly string[];
}

/** What an API server keeps about an object, whatever is in it. */
export type ObjectMetadata = LiveObject['metadata'];

export interface LiveList {
  readonly items: readonly LiveObject[];
  readonly resourceVersion: string;
}

export type WatchEvent =
  | { readonly type: 'changed' | 'deleted'; readonly object: LiveObject }
  /** Nothing changed up to here. */
  | { readonly type: 'bookmark'; readonly resourceVersion: string };

/** Who we are among the field managers of an object. A name proves nothing: anybody may use it. */
export const FIELD_MANAGER = 'countersign';

export interface ApplyOptions {
  /** Only ask what the server would make of it. */
  readonly dryRun?: boolean;
  /** In place of FIELD_MANAGER. */
  readonly manager?: string;
  /** Write only if the object is still exactly this one; without it, whatever is there (or nothing) is taken over. */
  readonly expect?: { readonly uid: string; readonly resourceVersion: string };
}

/**
 * The port to one Kubernetes API server. Every method ends within its deadline, and throws CountersignError:
 * `cluster-unavailable` (away, slow, overloaded; retry true), `cluster-refused` (it answered no; the same request will be
 * refused again), `cluster-conflict` (the object changed meanwhile, or a list is too old; look again), `kind-unknown`. Values
 * of Secrets are in no message (invariant 10).
 */
export interface Cluster {
  readonly name: string;
  /** Throws `kind-unknown` for a kind that the server does not serve right now. */
  kind(identity: Pick<ObjectIdentity, 'group' | 'version' | 'kind'>): Promise<ApiKind>;
  /** null: there is no such object. */
  get(identity: ObjectIdentity): Promise<LiveObject | null>;
  /** `keep` sees each object as its page arrives, so that what nobody needs of a long list is never held at once. */
  list(kind: ApiKind, labelSelector?: string, keep?: (live: LiveObject) => LiveObject): Promise<LiveList>;
  /** Every kind that can be listed, each in the version that the server prefers. */
  kinds(): Promise<readonly ApiKind[]>;
  /** Of all objects of a kind, in one namespace if it is given; nothing of what they hold is sent. */
  metadata(kind: ApiKind, namespace?: string): Promise<readonly ObjectMetadata[]>;
  /** Events after `resourceVersion`, until the server ends the stream or `signal` aborts. `cluster-conflict`: list again. */
  watch(kind: ApiKind, resourceVersion: string, signal: AbortSignal, labelSelector?: string): AsyncIterable<WatchEvent>;
  /** Server-side apply as FIELD_MANAGER, taking fields from other managers. */
  apply(object: KubernetesObject, options?: ApplyOptions): Promise<LiveObject>;
  /** RFC 6902; only for what server-side apply cannot do: taking away what another manager added. */
  patch(live: LiveObject, operations: readonly JsonPatchOperation[]): Promise<LiveObject>;
  /** Only the object with this UID. null: it is gone; else the object, which waits for its finalizers. */
  delete(identity: ObjectIdentity, uid: string): Promise<LiveObject | null>;
  /** The same cluster, in another's name: everything is asked and written with that one's rights. It need not be closed. */
  actingAs(impersonation: Impersonation): Cluster;
  /**
   * The same cluster; `beforeWrite` is called at the last moment before each write is sent, repeated ones too, and nothing is sent when
   * it throws. Dry runs are no writes. It need not be closed.
   */
  guarded(beforeWrite: () => void): Cluster;
  /** The user name under which it knows us; null where it does not say. */
  whoAmI(): Promise<string | null>;
  close(): Promise<void>;
}
