/** JSON as it travels: what policy judges and what the API server is sent. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** What makes one object in a target the same object over time. `namespace` is '' for cluster-scoped objects. */
export interface ObjectIdentity {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** A Kubernetes object as written in a manifest. */
export interface KubernetesObject extends JsonObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: JsonObject & { readonly name: string; readonly namespace?: string };
}

/** The file, and the 1-based line in it, that an object came from. */
export interface Source {
  readonly path: string;
  readonly line: number;
}

/** One object of an environment at one commit. */
export interface ManifestObject {
  readonly identity: ObjectIdentity;
  readonly object: KubernetesObject;
  readonly source: Source;
}

/** Two versions of one API group name the same object: the version is no part of the key. */
export function identityKey(id: ObjectIdentity): string {
  return `${id.group}/${id.kind}/${id.namespace}/${id.name}`;
}

/** `Deployment shop/cart`, as people write it. */
export function describeIdentity(id: ObjectIdentity): string {
  return `${id.kind} ${id.namespace ? `${id.namespace}/` : ''}${id.name}`;
}

export function identityOf(object: KubernetesObject): ObjectIdentity {
  const slash = object.apiVersion.lastIndexOf('/');
  return {
    group: slash < 0 ? '' : object.apiVersion.slice(0, slash),
    version: object.apiVersion.slice(slash + 1),
    kind: object.kind,
    namespace: object.metadata.namespace ?? '',
    name: object.metadata.name,
  };
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
