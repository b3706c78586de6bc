import { isJsonObject, type JsonObject, type ManifestObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';

/** Throws unless a part of another tool's object says nothing but what is known here. */
export function only(entry: ManifestObject, of: JsonObject, where: string, known: readonly string[]): void {
  const others = Object.keys(of).filter((field) => !known.includes(field));
  if (others.length > 0) throw unsupported(entry, `${where}: ${others.join(', ')} is not understood`);
}

/** A member that is an object; an empty one where it is none. */
export function member(of: JsonObject, name: string): JsonObject {
  const value = of[name];
  return isJsonObject(value) ? value : {};
}

export function unsupported({ identity, source }: ManifestObject, message: string): CountersignError {
  return new CountersignError('environment-invalid', `${identity.kind} ${identity.name}: ${message}`, {
    place: { file: source.path, line: source.line },
    remedy: 'Write its environment into countersign.yaml by hand',
  });
}
