import { isJsonObject, type JsonObject, type KubernetesObject } from './object.js';

/** What an API server keeps in every object's metadata, whoever writes it. */
export const serverMetadata = ['managedFields', 'uid', 'resourceVersion', 'creationTimestamp', 'generation', 'selfLink'] as const; // prettier-ignore

/**
 * A live object as somebody would write it: without status, without the metadata that is named, and without the annotations and labels that
 * tools leave there.
 */
export function manifestOf(
  live: KubernetesObject,
  metadata: ReadonlySet<string>,
  isOfTools: (name: string) => boolean,
): KubernetesObject {
  const { apiVersion, kind, metadata: all, status: _status, ...rest } = live;
  const kept: Record<string, JsonObject[string]> = {};
  for (const [key, value] of Object.entries(all)) {
    if (metadata.has(key)) continue;
    if (key !== 'annotations' && key !== 'labels') kept[key] = value;
    else if (isJsonObject(value)) {
      const own = Object.entries(value).filter(([name]) => !isOfTools(name));
      if (own.length > 0) kept[key] = Object.fromEntries(own);
    }
  }
  return { apiVersion, kind, metadata: kept, ...rest } as KubernetesObject;
}
