import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';
import type { LiveObject } from './cluster.js';

/** What another GitOps tool says of one of its objects that follows an approved ref. Its word, not ours. */
export interface PeerState {
  readonly tool: 'Argo CD' | 'Flux';
  /** `Application`, `Kustomization`, `HelmRelease`. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** The commit that it says is live; null where it says none. */
  readonly revision: string | null;
  readonly sync: 'synced' | 'out_of_sync' | 'unknown';
  readonly health: 'healthy' | 'progressing' | 'degraded' | 'suspended' | 'missing' | 'unknown';
  /** Why, in its own words; '' for none. */
  readonly message: string;
}

/** What follows a ref: the branch, and the repository as the tools may name it. */
export interface Followed {
  /** `refs/heads/countersign/approved/shop/production` */
  readonly ref: string;
  readonly urls: readonly string[];
}

/** What is kept of each object: specs may hold what is none of our business. */
export const peerKinds = [
  { group: 'argoproj.io', version: 'v1alpha1', kind: 'Application' },
  { group: 'source.toolkit.fluxcd.io', version: 'v1', kind: 'GitRepository' },
  { group: 'kustomize.toolkit.fluxcd.io', version: 'v1', kind: 'Kustomization' },
  { group: 'helm.toolkit.fluxcd.io', version: 'v2', kind: 'HelmRelease' },
] as const;

/** In the order of their names; of a Flux GitRepository what is built from it is told. Pure. */
export function peersOf(objects: Iterable<LiveObject>, followed: Followed): PeerState[] {
  const all = [...objects];
  const branch = followed.ref.replace(/^refs\/heads\//, '');
  const wanted = new Set(followed.urls.map(sameRepository));
  const follows = (url: Json | undefined, revision: Json | undefined): boolean =>
    typeof url === 'string' && wanted.has(sameRepository(url)) && (revision === branch || revision === followed.ref);
  const sources = new Map(
    all
      .filter(({ kind, spec }) => {
        const ref = member(spec, 'ref');
        return kind === 'GitRepository' && follows(member(spec)['url'], ref['name'] ?? ref['branch']);
      })
      .map((source) => [`${source.metadata.namespace}/${source.metadata.name}`, source]),
  );
  const sourceOf = (from: JsonObject, namespace: string): LiveObject | undefined =>
    from['kind'] === 'GitRepository'
      ? sources.get(`${text(from['namespace']) || namespace}/${text(from['name'])}`)
      : undefined;

  return all
    .flatMap((object): PeerState[] => {
      const { kind, spec, metadata } = object;
      const namespace = metadata.namespace ?? '';
      if (kind === 'Application') {
        const { source, sources: several } = member(spec);
        const from = [source, ...(Array.isArray(several) ? several : [])].filter(isJsonObject);
        return from.some(({ repoURL, targetRevision }) => follows(repoURL, targetRevision))
          ? [application(object)]
          : [];
      }
      const chart = member(member(spec, 'chart'), 'spec');
      const source = sourceOf(member(kind === 'HelmRelease' ? chart : spec, 'sourceRef'), namespace);
      return source && kind !== 'GitRepository' ? [fluxObject(object, source)] : [];
    })
    .toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

export const nameOf = ({ kind, namespace, name }: PeerState): string => `${kind} ${namespace}/${name}`;

function application({ kind, metadata, status }: LiveObject): PeerState {
  const [sync, health, operation] = ['sync', 'health', 'operationState'].map((part) => member(status, part));
  const phase = text(operation['phase']);
  const failed = phase === 'Failed' || phase === 'Error';
  const revisions = sync['revisions'];
  const revision = text(sync['revision']) || (Array.isArray(revisions) ? text(revisions[0]) : '');
  const synced = ({ Synced: 'synced', OutOfSync: 'out_of_sync' } as const)[text(sync['status'])] ?? 'unknown';
  const named = { Healthy: 'healthy', Progressing: 'progressing', Degraded: 'degraded', Suspended: 'suspended', Missing: 'missing' } as const; // prettier-ignore
  const conditions = conditionsOf(status).filter(({ type }) => text(type).endsWith('Error'));
  // What `sync` names is what it compared with; what is live is that only where nothing differs.
  const live = synced === 'synced' ? revision : text(member(operation, 'syncResult')['revision']);
  return {
    tool: 'Argo CD',
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    revision: commitOf(failed && synced !== 'synced' ? '' : live),
    sync: synced,
    health: failed || conditions.length > 0 ? 'degraded' : (named[text(health['status']) as keyof typeof named] ?? 'unknown'), // prettier-ignore
    message: [...conditions.map(({ message }) => text(message)), text(health['message']), failed ? text(operation['message']) : ''].find((one) => one !== '')?.slice(0, 500) ?? '', // prettier-ignore
  };
}

function fluxObject({ kind, metadata, spec, status }: LiveObject, source: LiveObject): PeerState {
  const { status: said } = source;
  const ready = condition(status, 'Ready');
  const fetched = condition(said, 'Ready');
  const behind = Number(metadata['generation'] ?? 0) !== Number(member(status)['observedGeneration'] ?? 0);
  const { lastAppliedRevision, lastAttemptedRevision, history } = member(status);
  const released = Array.isArray(history) && isJsonObject(history[0]) ? text(history[0]['chartVersion']) : '';
  const revision = kind === 'HelmRelease' ? released : text(lastAppliedRevision);
  const attempted = text(lastAttemptedRevision);
  const unfetched = fetched?.['status'] === 'False';
  const broken = unfetched || ready?.['status'] === 'False';
  const reconciling = behind || condition(status, 'Reconciling')?.['status'] === 'True' || ready?.['status'] === 'Unknown'; // prettier-ignore
  return {
    tool: 'Flux',
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    revision: commitOf(revision),
    sync: revision === '' ? 'unknown' : attempted === '' || attempted === revision ? 'synced' : 'out_of_sync',
    health: healthOfFlux({ suspended: member(spec)['suspend'] === true, reconciling, broken, ready }),
    message: text((unfetched ? fetched : broken ? ready : undefined)?.['message']).slice(0, 500),
  };
}

function healthOfFlux(seen: {
  readonly suspended: boolean;
  readonly reconciling: boolean;
  readonly broken: boolean;
  readonly ready: JsonObject | undefined;
}): PeerState['health'] {
  if (seen.suspended) return 'suspended';
  if (seen.broken) return 'degraded';
  if (seen.reconciling) return 'progressing';
  return seen.ready?.['status'] === 'True' ? 'healthy' : 'unknown';
}

/** `branch@sha1:COMMIT` of Flux, `COMMIT` of Argo CD, and the `+COMMIT` behind a version that Flux gives to a chart in Git. */
function commitOf(revision: string): string | null {
  return /(?:^|[@:])((?:[0-9a-f]{40}){1}(?:[0-9a-f]{24})?)$/.exec(revision)?.[1] ?? /\+([0-9a-f]{7,40})(?:\.\d+)?$/.exec(revision)?.[1] ?? null; // prettier-ignore
}

/** Whether what is live there is this commit, as far as they say: an id may be short, and of a chart Flux may give a version alone. */
export function isAt({ kind, revision }: PeerState, commit: string): boolean {
  return revision === null ? kind === 'HelmRelease' : commit.startsWith(revision);
}

/** Host and path: the tools may come by another protocol, under another name, with or without `.git`. */
function sameRepository(url: string): string {
  const scp = /^(?:[^@/]+@)?([^:/]+):(?!\/\/)(.+)$/.exec(url);
  const parsed = scp ? null : URL.parse(url);
  const [host, path] = scp ? [scp[1], scp[2]] : parsed ? [parsed.hostname, parsed.pathname] : ['', url];
  return `${host.toLowerCase()}/${path.replace(/^\/+|\/+$|\.git\/*$/g, '')}`;
}

function condition(status: Json | undefined, type: string): JsonObject | undefined {
  return conditionsOf(status).find((one) => one['type'] === type);
}

function conditionsOf(status: Json | undefined): readonly JsonObject[] {
  const { conditions } = member(status);
  return Array.isArray(conditions) ? conditions.filter(isJsonObject) : [];
}

function member(value: Json | undefined, name?: string): JsonObject {
  const found = name === undefined ? value : isJsonObject(value) ? value[name] : undefined;
  return isJsonObject(found) ? found : {};
}

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');
