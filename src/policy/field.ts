import type { FieldPath } from '../cluster/field-line.js';
import { isJsonObject, type Json } from '../cluster/object.js';
import type { Violation } from './decision.js';

/**
 * Which field of an object a finding is about: what the rule gives as `field` (an RFC 6901 pointer or a list of names), else the value
 * that its message quotes, if the object holds exactly that. Undefined when neither says.
 */
export function fieldOf(
  { message, details }: Pick<Violation, 'message' | 'details'>,
  object: Json,
): FieldPath | undefined {
  const given = written(details?.['field'], object);
  if (given) return given;
  const quoted = [...message.matchAll(/"([^"]{1,500})"|`([^`]{1,500})`|'([^']{1,500})'/g)].map((match) => match[1] ?? match[2] ?? match[3]); // prettier-ignore
  if (quoted.length === 0) return undefined;
  const places = new Map<string, FieldPath>();
  walk(object, [], (value, path) => {
    const text = String(value);
    // The first one that holds it: of an object's name its own, not what refers to it.
    if (quoted.includes(text) && !places.has(text)) places.set(text, path);
  });
  const found = quoted.find((text) => places.has(text));
  return found === undefined ? undefined : places.get(found);
}

function written(field: unknown, object: Json): FieldPath | undefined {
  const parts =
    typeof field === 'string' && field.startsWith('/')
      ? field.slice(1).split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')) // prettier-ignore
      : Array.isArray(field) && field.every((part) => typeof part === 'string' || typeof part === 'number')
        ? field
        : undefined;
  if (!parts) return undefined;
  const path: (string | number)[] = [];
  let at: Json | undefined = object;
  for (const part of parts) {
    if (Array.isArray(at)) path.push(Number(part));
    else path.push(String(part));
    at = Array.isArray(at) ? (at as Json[])[Number(part)] : isJsonObject(at) ? at[String(part)] : undefined;
  }
  // A field that is missing is as often the fault as one that is wrong: its place is the nearest around it.
  return path;
}

const DEEPEST = 60;

function walk(value: Json, path: FieldPath, see: (value: string | number | boolean, path: FieldPath) => void): void {
  if (path.length > DEEPEST || value === null) return;
  if (typeof value !== 'object') return see(value, path);
  if (Array.isArray(value)) value.forEach((item, i) => walk(item as Json, [...path, i], see));
  else for (const [name, member] of Object.entries(value)) walk(member, [...path, name], see);
}
