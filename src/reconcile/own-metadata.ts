import { applySetIdOf, applySetParentOf } from '../change/apply-set.js';
import type { Environment } from '../change/environment.js';
import { isJsonObject, type Json, type KubernetesObject } from '../cluster/object.js';

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
 * The ApplySet id of an environment (KEP-3659): by the object that stands for the set where there is one, else with the environment
 * itself in its place. It tells other tools that these objects belong together; we ourselves trust our inventory.
 */
export function applySetId(repository: string, environment: Environment): string {
  return applySetIdOf(applySetParentOf(environment) ?? withoutParent(repository, environment.name));
}

/** True for each id that an environment's own runs may have given: it may have got its parent since, or lost it. */
export function isOwnApplySet(id: string, repository: string, environment: Environment): boolean {
  return id === applySetId(repository, environment) || id === applySetIdOf(withoutParent(repository, environment.name));
}

function withoutParent(repository: string, environment: string): Parameters<typeof applySetIdOf>[0] {
  return { name: environment, namespace: repository, kind: 'Environment', group: 'countersign.dev' };
}

/** What is sent for a manifest's object: the object, with exactly our own metadata added. */
export function withOwnMetadata(
  object: KubernetesObject,
  { environment, applySet }: { readonly environment: string; readonly applySet: string },
  { commit, decision }: Provenance,
): KubernetesObject {
  const { labels, annotations } = object.metadata as { labels?: object; annotations?: object };
  return {
    ...object,
    metadata: {
      ...object.metadata,
      labels: { ...labels, [PART_OF]: applySet },
      annotations: {
        ...annotations,
        'countersign.dev/commit': commit,
        'countersign.dev/environment': environment,
        'countersign.dev/decision': String(decision),
      },
    },
  };
}

export function sameApplySet(sent: KubernetesObject, live: KubernetesObject): boolean {
  return partOf(sent) === partOf(live);
}

function partOf({ metadata: { labels } }: KubernetesObject): Json | undefined {
  return isJsonObject(labels) ? labels[PART_OF] : undefined;
}
