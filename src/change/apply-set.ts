import { createHash } from 'node:crypto';
import { identityOf, type KubernetesObject, type ManifestObject, type ObjectIdentity } from '../cluster/object.js';
import type { Environment } from './environment.js';

/** What tools that know ApplySets (KEP-3659) are told of who manages one; theirs to compare, so it never changes by itself. */
const TOOLING = 'countersign/v1.0.0';

/** KEP-3659: base64url(SHA-256(name.namespace.kind.group)) of the object that stands for the set. */
export function applySetIdOf({ name, namespace, kind, group }: Omit<ObjectIdentity, 'version'>): string {
  const parent = [name, namespace, kind, group].join('.');
  return `applyset-${createHash('sha256').update(parent).digest('base64url')}-v1`;
}

/** The object that stands for an environment's ApplySet, where it asks for one. */
export function applySetParentOf({ namespace, reconcile }: Environment): ObjectIdentity | null {
  if (!reconcile?.applySet || namespace === null) return null;
  return { group: '', version: 'v1', kind: 'ConfigMap', namespace, name: reconcile.applySet.parent };
}

/**
 * That object, as it is for these members. It is one of the environment's own: judged, digested, granted and applied like the rest.
 * null where the environment asks for none, or holds nothing.
 */
export function applySetParent(environment: Environment, members: readonly ManifestObject[]): ManifestObject | null {
  const identity = applySetParentOf(environment);
  if (!identity || members.length === 0) return null;
  const { name, namespace } = identity;
  const all = [identity, ...members.map((member) => member.identity)];
  const kinds = all.map(({ group, kind }) => (group === '' ? kind : `${kind}.${group}`));
  const others = all.map((one) => one.namespace).filter((one) => one !== '' && one !== namespace);
  const object: KubernetesObject = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name,
      namespace,
      labels: { 'applyset.kubernetes.io/id': applySetIdOf(identity) },
      annotations: {
        'applyset.kubernetes.io/tooling': TOOLING,
        'applyset.kubernetes.io/contains-group-kinds': listed(kinds),
        'applyset.kubernetes.io/additional-namespaces': listed(others),
      },
    },
  };
  return { identity: identityOf(object), object, source: { path: 'countersign.yaml', line: 1 } };
}

const listed = (names: readonly string[]): string => [...new Set(names)].toSorted().join(',');
