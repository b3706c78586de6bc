import { createHash } from 'node:crypto';
import type { KubernetesObject } from '../cluster/object.js';

/** Where an object's present form came from. It stays with the object until Git changes it again. */
export interface Provenance {
  /** The last commit that changed it. */
  readonly commit: string;
  /** Log index of the decision under which that was applied. */
  readonly decision: number;
}

export const ownAnnotations = [
  'countersign.dev/commit',
  'countersign.dev/environment',
  'countersign.dev/decision',
] as const;
export const PART_OF = 'applyset.kubernetes.io/part-of';

/**
 * The ApplySet id of an environment: base64url(SHA-256(name.namespace.kind.group)) as in KEP-3659, with the environment in the
 * place of the parent object. It tells other tools that these objects belong together; we ourselves trust our inventory.
 */
export function applySetId(repository: string, environment: string): string {
  const parent = `${environment}.${repository}.Environment.countersign.dev`;
  return `applyset-${createHash('sha256').update(parent).digest('base64url')}-v1`;
}

/** What is sent for a manifest's object: the object, with exactly our own metadata added. */
export function withOwnMetadata(
  object: KubernetesObject,
  repository: string,
  environment: string,
  { commit, decision }: Provenance,
): KubernetesObject {
  const { labels, annotations } = object.metadata as { labels?: object; annotations?: object };
  return {
    ...object,
    metadata: {
      ...object.metadata,
      labels: { ...labels, [PART_OF]: applySetId(repository, environment) },
      annotations: {
        ...annotations,
        'countersign.dev/commit': commit,
        'countersign.dev/environment': environment,
        'countersign.dev/decision': String(decision),
      },
    },
  };
}
