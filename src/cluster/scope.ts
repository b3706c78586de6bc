import { CountersignError } from '../errors.js';
import type { KubernetesObject, ManifestObject, ObjectIdentity } from './object.js';

export type Scope = 'cluster' | 'namespaced' | 'unknown';

const cluster: Readonly<Record<string, string>> = {
  '': 'Namespace Node PersistentVolume ComponentStatus',
  'admissionregistration.k8s.io':
    'MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ' +
    'MutatingAdmissionPolicy MutatingAdmissionPolicyBinding',
  'apiextensions.k8s.io': 'CustomResourceDefinition',
  'apiregistration.k8s.io': 'APIService',
  'authentication.k8s.io': 'TokenReview SelfSubjectReview',
  'authorization.k8s.io': 'SubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview',
  'certificates.k8s.io': 'CertificateSigningRequest ClusterTrustBundle',
  'flowcontrol.apiserver.k8s.io': 'FlowSchema PriorityLevelConfiguration',
  'internal.apiserver.k8s.io': 'StorageVersion',
  'networking.k8s.io': 'IngressClass IPAddress ServiceCIDR',
  'node.k8s.io': 'RuntimeClass',
  policy: 'PodSecurityPolicy',
  'rbac.authorization.k8s.io': 'ClusterRole ClusterRoleBinding',
  'resource.k8s.io': 'DeviceClass ResourceSlice',
  'scheduling.k8s.io': 'PriorityClass',
  'storage.k8s.io': 'StorageClass VolumeAttachment CSIDriver CSINode VolumeAttributesClass',
  'storagemigration.k8s.io': 'StorageVersionMigration',
};

const namespaced: Readonly<Record<string, string>> = {
  '':
    'Binding ConfigMap Endpoints Event LimitRange PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota ' +
    'Secret Service ServiceAccount',
  apps: 'ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet',
  'authorization.k8s.io': 'LocalSubjectAccessReview',
  autoscaling: 'HorizontalPodAutoscaler',
  batch: 'CronJob Job',
  'certificates.k8s.io': 'PodCertificateRequest',
  'coordination.k8s.io': 'Lease LeaseCandidate',
  'discovery.k8s.io': 'EndpointSlice',
  'events.k8s.io': 'Event',
  extensions: 'Deployment DaemonSet Ingress NetworkPolicy ReplicaSet',
  'networking.k8s.io': 'Ingress NetworkPolicy',
  policy: 'PodDisruptionBudget Eviction',
  'rbac.authorization.k8s.io': 'Role RoleBinding',
  'resource.k8s.io': 'ResourceClaim ResourceClaimTemplate',
  'storage.k8s.io': 'CSIStorageCapacity',
};

const scopes = new Map<string, Scope>();
for (const [scope, groups] of [
  ['cluster', cluster],
  ['namespaced', namespaced],
] as const) {
  for (const [group, kinds] of Object.entries(groups))
    for (const kind of kinds.split(' ')) scopes.set(`${group}/${kind}`, scope);
}

/** Of Kubernetes' own kinds. What a CustomResourceDefinition defines is unknown here. */
export function scopeOf(group: string, kind: string): Scope {
  return scopes.get(`${group}/${kind}`) ?? 'unknown';
}

/**
 * The object where it will live. A cluster-scoped kind loses a namespace it names, as the API server would drop it: else
 * one live object would have several identities. Others get `namespace` if they name none; kinds that are not Kubernetes' own too,
 * since most of them are namespaced, and stay without where there is no default. Throws `namespace-missing` for a namespaced
 * kind of Kubernetes' own when there is none.
 */
export function inNamespace(entry: ManifestObject, namespace: string | null): ManifestObject {
  const { identity, object, source } = entry;
  const scope = scopeOf(identity.group, identity.kind);
  if (scope === 'cluster') return identity.namespace === '' ? entry : moved(entry, undefined);
  if (identity.namespace !== '') return entry;
  if (namespace !== null) return moved(entry, namespace);
  if (scope === 'unknown') return entry;
  throw new CountersignError('namespace-missing', `${identity.kind} ${object.metadata.name} names no namespace`, {
    place: { file: source.path, line: source.line },
    remedy: 'Add metadata.namespace, or a namespace to its environment in countersign.yaml',
  });
}

function moved(entry: ManifestObject, namespace: string | undefined): ManifestObject {
  const { namespace: _dropped, ...metadata } = entry.object.metadata;
  const object = {
    ...entry.object,
    metadata: namespace === undefined ? metadata : { ...metadata, namespace },
  } as KubernetesObject;
  const identity: ObjectIdentity = { ...entry.identity, namespace: namespace ?? '' };
  return { identity, object, source: entry.source };
}
