import type { Environment } from '../change/environment.js';
import { isJsonObject, type Json } from '../cluster/object.js';
import type { LiveObject } from './cluster.js';
import { isOwnApplySet, PART_OF } from './own-metadata.js';

const ENVIRONMENT = 'countersign.dev/environment';
const OWNING_INVENTORY = 'config.k8s.io/owning-inventory';

/**
 * The mark that says an object belongs to another inventory than this environment's: another environment of ours, another cluster's
 * ApplySet, cli-utils' inventory. null where nothing says so. What kubectl, Argo CD and Flux applied has no such mark of exclusion:
 * that is adopted.
 */
export function claimOf(live: LiveObject, repository: string, environment: Environment): string | null {
  const labels = textsOf(live.metadata['labels']);
  const annotations = textsOf(live.metadata['annotations']);
  const partOf = labels.get(PART_OF);
  if (partOf !== undefined && !isOwnApplySet(partOf, repository, environment)) {
    const other = annotations.get(ENVIRONMENT);
    return other === undefined ? `label ${PART_OF} is ${partOf}` : `environment ${other} (label ${PART_OF})`;
  }
  const owner = annotations.get(OWNING_INVENTORY);
  return owner === undefined ? null : `annotation ${OWNING_INVENTORY} is ${owner}`;
}

function textsOf(map: Json | undefined): ReadonlyMap<string, string> {
  if (!isJsonObject(map)) return new Map();
  return new Map(Object.entries(map).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])));
}
