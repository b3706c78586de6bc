import { dump } from 'js-yaml';
import { canonicalJson } from '../../cluster/canonical.js';
import { isJsonObject, type JsonObject, type KubernetesObject } from '../../cluster/object.js';
import { readDocuments } from './document.js';

/** What the API server and its clients add to an object, and nobody wrote. */
const SERVERS = ['managedFields', 'uid', 'resourceVersion', 'generation', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'finalizers', 'ownerReferences']; // prettier-ignore
const TOOLS =
  /^(kubectl\.kubernetes\.io\/|countersign\.dev\/(commit|environment|decision)$|applyset\.kubernetes\.io\/)/;

/** A live object as somebody would write it: without status, and what the cluster and tools added to its metadata. */
export function asWritten(live: KubernetesObject): JsonObject {
  const { apiVersion, kind, metadata, status: _status, ...rest } = live;
  const kept: Record<string, JsonObject[string]> = {};
  for (const [key, value] of Object.entries(metadata)) {
    if (SERVERS.includes(key)) continue;
    if (key !== 'annotations' && key !== 'labels') kept[key] = value;
    else if (isJsonObject(value)) {
      const own = Object.entries(value).filter(([name]) => !TOOLS.test(name));
      if (own.length > 0) kept[key] = Object.fromEntries(own);
    }
  }
  return { apiVersion, kind, metadata: kept, ...rest };
}

/** The object as YAML that reads back as exactly this object; as JSON, which is YAML too, where that can't be had. */
export function yamlOf(object: JsonObject, file: string): string {
  const text = dump(object, { lineWidth: -1, noRefs: true });
  const [back] = readBack(file, text);
  return back !== undefined && canonicalJson(back) === canonicalJson(object)
    ? text
    : `${JSON.stringify(object, null, 2)}\n`;
}

function readBack(file: string, text: string): JsonObject[] {
  try {
    return readDocuments(file, text).map(({ value }) => value);
  } catch {
    return []; // then it is written as JSON
  }
}
