import { CountersignError } from '../errors.js';
import { describeIdentity, type ManifestObject, type ObjectIdentity } from '../cluster/object.js';

/** What the service's own configuration lets one repository write on one target. Nothing else is ever written there. */
export interface Grant {
  readonly repository: string;
  /** Namespaces it may write in; `*` is all of them. Cluster-scoped objects other than these namespaces need `*`, or their kind named. */
  readonly namespaces: readonly string[];
  /** Kinds it may write, as `Deployment` or `apps/Deployment`; `*` is all of them. */
  readonly kinds: readonly string[];
}

/** One error for each object that none of the grants covers. */
export function outsideGrants(
  repository: string,
  target: string,
  grants: readonly Grant[],
  objects: readonly ManifestObject[],
): CountersignError[] {
  return objects
    .filter(({ identity }) => !isGranted(repository, grants, identity))
    .map(
      ({ identity, source }) =>
        new CountersignError(
          'environment-not-granted',
          `${describeIdentity(identity)} is outside what ${repository} may write on ${target}`,
          {
            place: { file: source.path, line: source.line },
            remedy: `Grant ${identity.namespace ? `namespace ${identity.namespace}` : 'cluster-scoped objects'} and kind ${identity.kind} under targets: in the service's configuration, or remove the object`,
          },
        ),
    );
}

export function isGranted(repository: string, grants: readonly Grant[], identity: ObjectIdentity): boolean {
  return grants.some((grant) => grant.repository === repository && covers(grant, identity));
}

function covers(grant: Grant, { group, kind, namespace, name }: ObjectIdentity): boolean {
  const named = grant.kinds.includes(kind) || (group !== '' && grant.kinds.includes(`${group}/${kind}`));
  if (!named && !grant.kinds.includes('*')) return false;
  if (grant.namespaces.includes('*')) return true;
  if (namespace !== '') return grant.namespaces.includes(namespace);
  // Cluster-scoped: a granted namespace itself, or a kind that was named rather than meant by `*`.
  return (kind === 'Namespace' && grant.namespaces.includes(name)) || named;
}
