import { digestOf } from './canonical.js';
import { identityKey, type KubernetesObject, type ManifestObject } from './object.js';
import type { Redactor } from './secret.js';

/** Objects never change once read, and most of them are the same at the next commit. */
const known = new WeakMap<Redactor, WeakMap<KubernetesObject, string>>();

/** SHA-256, hex, of the redacted object's canonical JSON: redaction first, digests after. */
export function objectDigest(object: KubernetesObject, redactor: Redactor): string {
  let digests = known.get(redactor);
  if (!digests) known.set(redactor, (digests = new WeakMap()));
  let digest = digests.get(object);
  if (digest === undefined) digests.set(object, (digest = digestOf(redactor.redact(object))));
  return digest;
}

/**
 * SHA-256, hex, of what an environment holds: canonical JSON of [identity key, object digest] pairs in the order of their keys.
 * It does not depend on files, their layout, or the order of objects.
 */
export function renderedDigest(objects: readonly ManifestObject[], redactor: Redactor): string {
  const pairs = objects.map(({ identity, object }) => [identityKey(identity), objectDigest(object, redactor)] as const);
  return digestOf(pairs.toSorted(([a, x], [b, y]) => compare(a, b) || compare(x, y)));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
