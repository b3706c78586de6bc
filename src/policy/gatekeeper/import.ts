import { dump } from 'js-yaml';
import { manifestOf, serverMetadata } from '../../cluster/manifest-of.js';
import { canonicalJson } from '../../cluster/canonical.js';
import type { JsonObject, KubernetesObject } from '../../cluster/object.js';
import { readDocuments } from './document.js';

/** What the API server and its clients add to an object, and nobody wrote. */
const ADDED = new Set<string>([...serverMetadata, 'deletionTimestamp', 'deletionGracePeriodSeconds', 'finalizers', 'ownerReferences']); // prettier-ignore
const TOOLS =
  /^(kubectl\.kubernetes\.io\/|countersign\.dev\/(commit|environment|decision)$|applyset\.kubernetes\.io\/)/;

/** A live object as somebody would write it: without status, and what the cluster and tools added to its metadata. */
export function asWritten(live: KubernetesObject): JsonObject {
  return manifestOf(live, ADDED, (name) => TOOLS.test(name));
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
