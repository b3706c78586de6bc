import { identityKey, isJsonObject, type Json, type ObjectIdentity } from '../cluster/object.js';
import { toCountersignError } from '../errors.js';
import type { ApiKind, Cluster, ObjectMetadata } from './cluster.js';
import { concurrently } from './concurrently.js';
import { managedFieldsOf } from './managed-fields.js';

/** An object in a governed namespace that no commit explains. It is told of, and never deleted. */
export interface Orphan {
  readonly identity: ObjectIdentity;
  readonly uid: string;
  /** RFC 3339, by the API server. */
  readonly createdAt: string;
  /** The field manager that wrote it first, as it calls itself; null where there is no trace. */
  readonly manager: string | null;
}

export interface OrphanReport {
  readonly orphans: readonly Orphan[];
  /** Kinds of which nothing could be read, as no right is given to: what there is of them is not known. */
  readonly notRead: readonly { readonly kind: string; readonly reason: string }[];
}

/** Kinds of which a cluster makes many by itself, or that are about others. */
const passing = new Set([
  '/Event',
  'events.k8s.io/Event',
  'discovery.k8s.io/EndpointSlice',
  'coordination.k8s.io/Lease',
]);
/** Groups that are served by others than the API server's own store, and change each second. */
const computed = /(^|\.)metrics\.k8s\.io$/;
/** Above so many namespaces a kind is listed once for all of them. */
const ONE_BY_ONE = 4;

/**
 * What is in these namespaces and in no inventory, nor made by something that is. Only metadata is read: of Secrets no value ever comes here.
 * `known`: identity keys of what inventories and runs under way explain. Throws `cluster-unavailable`.
 */
export async function findOrphans(
  cluster: Cluster,
  namespaces: ReadonlySet<string>,
  known: ReadonlySet<string>,
): Promise<OrphanReport> {
  const kinds = (await cluster.kinds()).filter((kind) => kind.namespaced && !passing.has(`${kind.group}/${kind.kind}`) && !computed.test(kind.group)); // prettier-ignore
  const found = new Map<string, Orphan>();
  const services = new Set<string>();
  const endpoints: Orphan[] = [];
  const notRead: { kind: string; reason: string }[] = [];
  await concurrently(kinds, async (kind) => {
    try {
      for (const metadata of await listed(cluster, kind, namespaces)) {
        const orphan = orphanOf(kind, metadata);
        if (kind.group === '' && kind.kind === 'Service') services.add(`${metadata.namespace}/${metadata.name}`);
        if (isExplained(kind, metadata) || known.has(identityKey(orphan.identity))) continue;
        if (isOfStatefulSet(orphan.identity, known)) continue;
        if (kind.group === '' && kind.kind === 'Endpoints') endpoints.push(orphan);
        // One object may be served under several groups.
        else found.set(orphan.uid, orphan);
      }
    } catch (thrown) {
      const { code, message } = toCountersignError(thrown);
      if (code === 'cluster-unavailable') throw thrown;
      if (code !== 'kind-unknown') notRead.push({ kind: `${kind.kind}${kind.group ? `.${kind.group}` : ''}`, reason: message }); // prettier-ignore
    }
  });
  // Those of a Service are kept by a controller, which names no owner.
  for (const one of endpoints) {
    if (!services.has(`${one.identity.namespace}/${one.identity.name}`)) found.set(one.uid, one);
  }
  const key = ({ identity: { namespace, kind, name } }: Orphan): string => `${namespace}/${kind}/${name}`;
  return {
    orphans: [...found.values()].toSorted((a, b) => (key(a) < key(b) ? -1 : 1)),
    notRead: notRead.toSorted((a, b) => (a.kind < b.kind ? -1 : 1)),
  };
}

async function listed(cluster: Cluster, kind: ApiKind, namespaces: ReadonlySet<string>): Promise<ObjectMetadata[]> {
  if (namespaces.size > ONE_BY_ONE) {
    return (await cluster.metadata(kind)).filter(({ namespace }) => namespaces.has(namespace ?? ''));
  }
  const lists = await Promise.all([...namespaces].map((namespace) => cluster.metadata(kind, namespace)));
  return lists.flat();
}

/** Whether it is there because of another object, or because of Kubernetes itself. Pure. */
export function isExplained({ group, kind }: Pick<ApiKind, 'group' | 'kind'>, metadata: ObjectMetadata): boolean {
  const { ownerReferences, labels, annotations, name } = metadata;
  if (Array.isArray(ownerReferences) && ownerReferences.length > 0) return true;
  if (group !== '') return /^(openreports|wgpolicyk8s)\.io$/.test(group) && has(labels, 'countersign.dev/report-log');
  if (kind === 'ServiceAccount') return name === 'default';
  if (kind === 'ConfigMap') return name === 'kube-root-ca.crt';
  // A token that Kubernetes made for a service account: the account explains it.
  return kind === 'Secret' && has(annotations, 'kubernetes.io/service-account.uid');
}

/** The volume of a StatefulSet's pod names no owner, as it may outlive the set; what it is called says whose it is. */
function isOfStatefulSet({ group, kind, namespace, name }: ObjectIdentity, known: ReadonlySet<string>): boolean {
  if (group !== '' || kind !== 'PersistentVolumeClaim') return false;
  const parts = name.split('-');
  if (!/^\d+$/.test(parts.pop()!)) return false;
  const sets = parts.map((_, i) => parts.slice(i).join('-')).slice(1);
  return sets.some((set) => known.has(identityKey({ group: 'apps', version: '', kind: 'StatefulSet', namespace, name: set }))); // prettier-ignore
}

const has = (map: Json | undefined, name: string): boolean => isJsonObject(map) && Object.hasOwn(map, name);

function orphanOf({ group, version, kind }: ApiKind, metadata: ObjectMetadata): Orphan {
  const { name, namespace = '', uid, creationTimestamp } = metadata;
  const managers = managedFieldsOf({ metadata }).filter(({ subresource }) => subresource === '');
  const [first] = managers.toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  const identity = { group, version, kind, namespace, name };
  const createdAt = typeof creationTimestamp === 'string' ? creationTimestamp : '';
  return { identity, uid, createdAt, manager: first?.manager || null };
}
