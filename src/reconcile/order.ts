import type { ObjectIdentity } from '../cluster/object.js';

/**
 * What others need comes first, as kubectl and Helm have it: namespaces and definitions, then access and configuration, then what runs, then
 * what lets traffic in. Webhook configurations are last, as they may stop everything else.
 */
const kinds: readonly string[] = [
  'Namespace',
  'CustomResourceDefinition',
  'PriorityClass',
  'RuntimeClass',
  'StorageClass',
  'ResourceQuota',
  'LimitRange',
  'ServiceAccount',
  'ClusterRole',
  'ClusterRoleBinding',
  'Role',
  'RoleBinding',
  'NetworkPolicy',
  'PodDisruptionBudget',
  'Secret',
  'ConfigMap',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'Service',
];
const late: readonly string[] = [
  'HorizontalPodAutoscaler',
  'IngressClass',
  'Ingress',
  'APIService',
  'MutatingWebhookConfiguration',
  'ValidatingWebhookConfiguration',
];

/** Position among the kinds; kinds that are not named are between the two lists. */
export function rank({ kind }: Pick<ObjectIdentity, 'kind'>): number {
  const early = kinds.indexOf(kind);
  if (early >= 0) return early;
  const last = late.indexOf(kind);
  return last < 0 ? kinds.length : kinds.length + 1 + last;
}

/** Waves that must not overlap: objects of namespaces and definitions can be written only when those are there. */
export function waveOf(identity: Pick<ObjectIdentity, 'kind'>): number {
  return Math.min(rank(identity), 2);
}

export function applyOrder(a: ObjectIdentity, b: ObjectIdentity): number {
  return rank(a) - rank(b) || compare(a.namespace, b.namespace) || compare(a.kind, b.kind) || compare(a.name, b.name);
}

export const deleteOrder = (a: ObjectIdentity, b: ObjectIdentity): number => applyOrder(b, a);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
