import type { JsonPatchOperation } from '../../cluster/diff.js';
import {
  describeIdentity,
  identityOf,
  isJsonObject,
  type Json,
  type KubernetesObject,
  type ObjectIdentity,
} from '../../cluster/object.js';
import { IN_CLUSTER } from '../../config/file.js';
import { CountersignError } from '../../errors.js';
import {
  FIELD_MANAGER,
  type ApiKind,
  type ApplyOptions,
  type Cluster,
  type Impersonation,
  type LiveList,
  type LiveObject,
  type ObjectMetadata,
  type WatchEvent,
} from '../../reconcile/cluster.js';
import { concurrently } from '../../reconcile/concurrently.js';
import { readKubeconfig, readServiceAccount } from './kubeconfig.js';
import { ApiTransport, type Call, type Deadlines } from './transport.js';

export interface ClusterOptions {
  /** As people and errors call it. */
  readonly name: string;
  /** Absolute path, or `in-cluster`: the service account of our own pod. */
  readonly kubeconfig: string;
  readonly context?: string | undefined;
  /** Whether a program that the kubeconfig names for credentials may be run. */
  readonly allowExec?: boolean | undefined;
  readonly deadlines?: Deadlines;
  /** Who we are in the API server's audit log, beside our user there: several instances may be one user. */
  readonly agent?: string;
}

/** Objects a list request asks for at once. */
const PAGE = '500';
/** Milliseconds for which "there is no such kind" is believed: what was just defined must be found. */
const UNKNOWN_FOR = 100;

/** Throws `config-invalid` when the kubeconfig cannot be used. The cluster itself is first asked when it is needed. */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const connection =
    options.kubeconfig === IN_CLUSTER ? await readServiceAccount() : await readKubeconfig(options.kubeconfig, options);
  const headers = { 'user-agent': options.agent ?? 'countersign' };
  return new KubernetesCluster(options.name, new ApiTransport(options.name, connection, options.deadlines, headers));
}

class KubernetesCluster implements Cluster {
  #served = new Map<string, { readonly kinds: ReadonlyMap<string, ApiKind>; readonly asked: number }>();

  constructor(
    readonly name: string,
    private readonly transport: ApiTransport,
  ) {}

  async kind({ group, version, kind }: Pick<ObjectIdentity, 'group' | 'version' | 'kind'>): Promise<ApiKind> {
    const api = apiPath({ group, version });
    let served = this.#served.get(api);
    if (!served?.kinds.has(kind) && (served === undefined || Date.now() - served.asked > UNKNOWN_FOR)) {
      served = { kinds: await this.#discover(api, group, version), asked: Date.now() };
      this.#served.set(api, served);
    }
    const found = served?.kinds.get(kind);
    if (found) return found;
    throw new CountersignError(
      'kind-unknown',
      `cluster ${this.name} knows no kind ${kind} in ${group ? `${group}/` : ''}${version}`,
      {
        remedy: 'Add its CustomResourceDefinition, or correct apiVersion and kind',
        retry: true,
      },
    );
  }

  async get(identity: ObjectIdentity): Promise<LiveObject | null> {
    const path = objectPath(await this.kind(identity), identity);
    return (await this.transport.call({
      method: 'GET',
      path,
      orNoPath: true,
      subject: subjectOf(identity),
    })) as LiveObject | null;
  }

  async list(
    kind: ApiKind,
    labelSelector?: string,
    keep: (live: LiveObject) => LiveObject = (live) => live,
  ): Promise<LiveList> {
    const items: LiveObject[] = [];
    // Members of a list lack what the list says once for all of them.
    const apiVersion = kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
    const resourceVersion = await this.#pages(kind, { labelSelector }, (item) =>
      items.push(keep({ ...item, apiVersion, kind: kind.kind })),
    );
    return { items, resourceVersion };
  }

  async kinds(): Promise<readonly ApiKind[]> {
    const answer = await this.transport.call({ method: 'GET', path: '/apis', subject: { text: 'the groups' } });
    const { groups = [] } = answer as unknown as { groups?: { preferredVersion: { groupVersion: string } }[] };
    const preferred = groups.map(({ preferredVersion }) => preferredVersion.groupVersion.split('/'));
    const found: ApiKind[] = [];
    await concurrently([['', 'v1'], ...preferred], async ([group, version]) => {
      const resources = await this.#resources(apiPath({ group, version }));
      const listed = resources.filter(({ name, verbs }) => !name.includes('/') && verbs?.includes('list'));
      found.push(...listed.map(({ name, kind, namespaced }) => ({ group, version, kind, plural: name, namespaced })));
    });
    return found;
  }

  async metadata(kind: ApiKind, namespace?: string): Promise<readonly ObjectMetadata[]> {
    const found: ObjectMetadata[] = [];
    const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
    await this.#pages(kind, { namespace, accept }, ({ metadata }) => found.push(metadata));
    return found;
  }

  /** Each member of a list, page by page; the list's resource version. */
  async #pages(
    kind: ApiKind,
    {
      labelSelector,
      namespace,
      accept,
    }: { labelSelector?: string | undefined; namespace?: string | undefined; accept?: string },
    each: (item: LiveObject) => void,
  ): Promise<string> {
    let next = '';
    for (;;) {
      const page = await this.transport.call({
        method: 'GET',
        path: collectionPath(kind, namespace),
        query: { limit: PAGE, ...(next ? { continue: next } : {}), ...(labelSelector ? { labelSelector } : {}) },
        ...(accept ? { accept } : {}),
        subject: { text: `the list of ${kind.plural}` },
      });
      if (page === null) {
        this.#served.delete(apiPath(kind)); // its definition was deleted
        throw new CountersignError('kind-unknown', `cluster ${this.name} serves no ${kind.plural}`, { retry: true });
      }
      const { metadata, items } = page as { metadata?: Record<string, string>; items?: LiveObject[] };
      for (const item of items ?? []) each(item);
      next = metadata?.['continue'] ?? '';
      if (next === '') return metadata?.['resourceVersion'] ?? '';
    }
  }

  async *watch(
    kind: ApiKind,
    resourceVersion: string,
    signal: AbortSignal,
    labelSelector?: string,
  ): AsyncGenerator<WatchEvent> {
    const call: Call = {
      method: 'GET',
      path: collectionPath(kind),
      query: {
        watch: 'true',
        resourceVersion,
        allowWatchBookmarks: 'true',
        // Not all watches of a service end in the same moment.
        timeoutSeconds: String(300 + Math.floor(Math.random() * 300)),
        ...(labelSelector ? { labelSelector } : {}),
      },
      subject: { text: `the watch on ${kind.plural}` },
    };
    for await (const line of this.transport.lines(call, signal)) {
      const { type, object } = JSON.parse(line) as { type: string; object: LiveObject & { message?: string } };
      if (type === 'BOOKMARK') yield { type: 'bookmark', resourceVersion: object.metadata.resourceVersion };
      else if (type === 'ADDED' || type === 'MODIFIED') yield { type: 'changed', object };
      else if (type === 'DELETED') yield { type: 'deleted', object };
      else {
        throw new CountersignError('cluster-conflict', `the watch on ${kind.plural} ended: ${object.message ?? type}`, {
          retry: true,
        });
      }
    }
  }

  async apply(
    object: KubernetesObject,
    { dryRun, expect, manager = FIELD_MANAGER }: ApplyOptions = {},
  ): Promise<LiveObject> {
    const identity = identityOf(object);
    const kind = await this.kind(identity);
    const body = expect ? { ...object, metadata: { ...object.metadata, ...expect } } : object;
    const answer = await this.#write(kind, {
      method: 'PATCH',
      path: objectPath(kind, identity),
      query: { fieldManager: manager, force: 'true', ...(dryRun ? { dryRun: 'All' } : {}) },
      contentType: 'application/apply-patch+yaml',
      body: JSON.stringify(body),
      subject: subjectOf(identity),
    });
    return answer as LiveObject;
  }

  async patch(live: LiveObject, operations: readonly JsonPatchOperation[]): Promise<LiveObject> {
    const identity = identityOf(live);
    // Replacing the resource version by what we saw makes the server refuse if it is another by now.
    const lock: JsonPatchOperation = {
      op: 'replace',
      path: '/metadata/resourceVersion',
      value: live.metadata.resourceVersion,
    };
    const answer = await this.transport.call({
      method: 'PATCH',
      path: objectPath(await this.kind(identity), identity),
      query: { fieldManager: FIELD_MANAGER },
      contentType: 'application/json-patch+json',
      body: JSON.stringify([...operations, lock]),
      subject: subjectOf(identity),
    });
    return answer as LiveObject;
  }

  async delete(identity: ObjectIdentity, uid: string): Promise<LiveObject | null> {
    const answer = await this.transport.call({
      method: 'DELETE',
      path: objectPath(await this.kind(identity), identity),
      body: JSON.stringify({
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        preconditions: { uid },
        propagationPolicy: 'Background',
      }),
      subject: subjectOf(identity),
    });
    // What is gone is answered as a Status, or as it last was; what waits says when it was asked to go.
    const metadata = isJsonObject(answer) ? answer['metadata'] : undefined;
    return isJsonObject(metadata) && typeof metadata['deletionTimestamp'] === 'string' ? (answer as LiveObject) : null;
  }

  actingAs({ user, groups }: Impersonation): Cluster {
    const headers = { 'impersonate-user': user, ...(groups.length > 0 ? { 'impersonate-group': [...groups] } : {}) };
    return new KubernetesCluster(this.name, this.transport.with(headers));
  }

  guarded(beforeWrite: () => void): Cluster {
    const cluster = new KubernetesCluster(this.name, this.transport.guarded(beforeWrite));
    cluster.#served = this.#served;
    return cluster;
  }

  async whoAmI(): Promise<string | null> {
    const api = 'authentication.k8s.io/v1';
    const answer = await this.transport.call({
      method: 'POST',
      path: `/apis/${api}/selfsubjectreviews`,
      body: JSON.stringify({ apiVersion: api, kind: 'SelfSubjectReview' }),
      orNoPath: true,
      subject: { text: 'the name of our own user' },
    });
    const { status } = (answer ?? {}) as { status?: { userInfo?: { username?: string } } };
    return status?.userInfo?.username ?? null;
  }

  async close(): Promise<void> {
    await this.transport.close();
  }

  async #write(kind: ApiKind, call: Call): Promise<Json> {
    try {
      return await this.transport.call(call);
    } catch (error) {
      // A definition that was deleted, or made again: what we remember of it is worth nothing.
      if (error instanceof CountersignError && error.code === 'kind-unknown') this.#served.delete(apiPath(kind));
      throw error;
    }
  }

  async #discover(api: string, group: string, version: string): Promise<ReadonlyMap<string, ApiKind>> {
    const kinds = new Map<string, ApiKind>();
    for (const resource of await this.#resources(api)) {
      // `deployments/scale` and the like are parts of objects.
      if (resource.name.includes('/')) continue;
      kinds.set(resource.kind, {
        group,
        version,
        kind: resource.kind,
        plural: resource.name,
        namespaced: resource.namespaced,
      });
    }
    return kinds;
  }

  /** None for a group that nobody serves. */
  async #resources(api: string): Promise<readonly ApiResource[]> {
    const answer = await this.transport.call({
      method: 'GET',
      path: api,
      orNoPath: true,
      subject: { text: `the kinds of ${api}` },
    });
    const { resources = [] } = (answer ?? {}) as unknown as { resources?: readonly ApiResource[] };
    return resources;
  }
}

interface ApiResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs?: readonly string[];
}

const apiPath = ({ group, version }: Pick<ApiKind, 'group' | 'version'>): string =>
  group === '' ? `/api/${version}` : `/apis/${group}/${version}`;

function collectionPath(kind: ApiKind, namespace?: string): string {
  return `${apiPath(kind)}${namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`}/${kind.plural}`;
}

function objectPath(kind: ApiKind, { namespace, name }: ObjectIdentity): string {
  return `${collectionPath(kind, kind.namespaced ? namespace : undefined)}/${encodeURIComponent(name)}`;
}

function subjectOf(identity: ObjectIdentity): { text: string; secret: boolean } {
  return { text: describeIdentity(identity), secret: identity.kind === 'Secret' };
}
