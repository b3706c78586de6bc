import { isJsonObject, type Json } from '../cluster/object.js';

/** A path in data that something stands at; or the part of it in whose place there is something else; undefined if there is nothing. */
export function given(data: Json, path: readonly string[]): readonly string[] | undefined {
  let here: Json = data;
  for (const [i, name] of path.entries()) {
    if (!isJsonObject(here)) return path.slice(0, i);
    if (!Object.hasOwn(here, name)) return undefined;
    here = here[name];
  }
  return path;
}
