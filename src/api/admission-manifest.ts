import type { JsonObject } from '../cluster/object.js';
import { PART_OF } from '../reconcile/own-metadata.js';

export interface WebhookOptions {
  readonly target: string;
  /** `https://countersign.example.org:4443`, or a Service of the cluster. */
  readonly address:
    { readonly url: string } | { readonly namespace: string; readonly name: string; readonly port: number };
  /** PEM of the authority of the webhook's certificate. */
  readonly authority: string;
  /** Countersign's own namespace. */
  readonly namespace: string;
  /** What the API server does while nobody answers. */
  readonly onFailure: 'Fail' | 'Ignore';
}

/**
 * What tells an API server to ask us. Only objects that carry our ApplySet label, before or after the write: a webhook for
 * everything would stop the whole cluster while it is away.
 */
export function webhookConfiguration({ target, address, authority, namespace, onFailure }: WebhookOptions): JsonObject {
  const path = `/admission/${target}`;
  const where: JsonObject =
    'url' in address ? { url: `${address.url.replace(/\/$/, '')}${path}` } : { service: { ...address, path } };
  const common: JsonObject = {
    admissionReviewVersions: ['v1'],
    sideEffects: 'NoneOnDryRun',
    timeoutSeconds: 10,
    failurePolicy: onFailure,
    matchPolicy: 'Exact',
    clientConfig: { ...where, caBundle: Buffer.from(authority).toString('base64') },
  };
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'countersign' },
    webhooks: [
      {
        name: 'admission.countersign.dev',
        ...common,
        namespaceSelector: {
          matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [namespace] }],
        },
        objectSelector: { matchExpressions: [{ key: PART_OF, operator: 'Exists' }] },
        rules: [
          {
            apiGroups: ['*'],
            apiVersions: ['*'],
            operations: ['CREATE', 'UPDATE', 'DELETE'],
            resources: ['*'],
            scope: '*',
          },
        ],
      },
      // A Scale has no labels of the object that it scales.
      {
        name: 'scale.admission.countersign.dev',
        ...common,
        namespaceSelector: {
          matchExpressions: [
            { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [namespace, 'kube-system'] },
          ],
        },
        rules: [
          {
            apiGroups: ['*'],
            apiVersions: ['*'],
            operations: ['UPDATE'],
            resources: ['deployments/scale', 'statefulsets/scale', 'replicasets/scale', 'replicationcontrollers/scale'],
            scope: 'Namespaced',
          },
        ],
      },
    ],
  };
}
