import { RE2JS } from 're2js';
import { canonicalJson } from '../../cluster/canonical.js';
import { isJsonObject, type Json, type JsonObject } from '../../cluster/object.js';

/** OpenAPI v3 as CustomResourceDefinitions have it. */
export interface Schema extends JsonObject {}

export interface SchemaFault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** The field is not in the schema at all. */
  readonly unknown?: boolean;
}

/** The value with the schema's defaults in the places that are empty, as the API server would store it. */
export function withDefaults(schema: Schema | undefined, value: Json): Json {
  if (!schema) return value;
  if (Array.isArray(value)) {
    const items = child(schema, 'items');
    return items ? value.map((item: Json) => withDefaults(items, item)) : value;
  }
  if (!isJsonObject(value)) return value;
  const filled: Record<string, Json> = { ...value };
  const properties = child(schema, 'properties') ?? {};
  for (const [name, property] of Object.entries(properties)) {
    if (!isJsonObject(property)) continue;
    if (filled[name] === undefined && property.default !== undefined) filled[name] = structuredClone(property.default);
    if (filled[name] !== undefined) filled[name] = withDefaults(property, filled[name]);
  }
  const additional = child(schema, 'additionalProperties');
  if (additional) {
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(properties, name)) filled[name] = withDefaults(additional, filled[name]);
    }
  }
  return filled;
}

/** Every way in which a value breaks a schema. `preserve`: fields that it does not name are let pass everywhere. */
export function schemaFaults(schema: Schema | undefined, value: Json, preserve: boolean): SchemaFault[] {
  const faults: SchemaFault[] = [];
  if (schema) check(schema, value, [], preserve, faults);
  return faults;
}

type Path = readonly PropertyKey[];

function check(schema: Schema, value: Json, path: Path, preserve: boolean, faults: SchemaFault[]): void {
  const say = (message: string) => faults.push({ path, message });
  if (value === null) {
    if (schema.nullable !== true && typeof schema.type === 'string')
      say(`it is null; it must be ${article(schema.type)}`);
    return;
  }
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (typeof value !== 'string' && !Number.isInteger(value)) say('it must be an integer or a text');
  } else if (typeof schema.type === 'string' && !isType(schema.type, value)) {
    say(`it must be ${article(schema.type)}`);
    return;
  }
  if (Array.isArray(schema.enum) && !schema.enum.some((one) => same(one as Json, value))) {
    say(`it must be one of ${schema.enum.map((one) => JSON.stringify(one)).join(', ')}`);
  }
  if (typeof value === 'string') checkText(schema, value, say);
  else if (typeof value === 'number') checkNumber(schema, value, say);
  else if (Array.isArray(value)) checkList(schema, value, path, preserve, faults);
  else if (isJsonObject(value)) checkObject(schema, value, path, preserve, faults);
  checkCombined(schema, value, path, faults);
}

function checkText(schema: Schema, value: string, say: (message: string) => void): void {
  const { length } = Array.from(value);
  if (typeof schema.maxLength === 'number' && length > schema.maxLength) say(`it is longer than ${schema.maxLength}`);
  if (typeof schema.minLength === 'number' && length < schema.minLength) say(`it is shorter than ${schema.minLength}`);
  if (typeof schema.pattern !== 'string') return;
  let matches: boolean;
  try {
    matches = RE2JS.compile(schema.pattern).matcher(value).find();
  } catch {
    say(`the schema's pattern ${JSON.stringify(schema.pattern)} is no regular expression`);
    return;
  }
  if (!matches) say(`it does not match ${schema.pattern}`);
}

function checkNumber(schema: Schema, value: number, say: (message: string) => void): void {
  const { minimum, maximum, multipleOf } = schema;
  if (typeof minimum === 'number' && (value < minimum || (schema.exclusiveMinimum === true && value === minimum))) {
    say(`it must be ${schema.exclusiveMinimum === true ? 'above' : 'at least'} ${minimum}`);
  }
  if (typeof maximum === 'number' && (value > maximum || (schema.exclusiveMaximum === true && value === maximum))) {
    say(`it must be ${schema.exclusiveMaximum === true ? 'below' : 'at most'} ${maximum}`);
  }
  if (typeof multipleOf === 'number' && !Number.isInteger(value / multipleOf))
    say(`it must be a multiple of ${multipleOf}`);
}

function checkList(schema: Schema, value: readonly Json[], path: Path, preserve: boolean, faults: SchemaFault[]): void {
  const say = (message: string) => faults.push({ path, message });
  if (typeof schema.minItems === 'number' && value.length < schema.minItems)
    say(`it has fewer than ${schema.minItems} items`);
  if (typeof schema.maxItems === 'number' && value.length > schema.maxItems)
    say(`it has more than ${schema.maxItems} items`);
  if (schema.uniqueItems === true && new Set(value.map((item) => canonicalJson(item))).size < value.length) {
    say('it has an item twice');
  }
  const items = child(schema, 'items');
  if (items) value.forEach((item, i) => check(items, item, [...path, i], preserve, faults));
}

function checkObject(schema: Schema, value: JsonObject, path: Path, preserve: boolean, faults: SchemaFault[]): void {
  const properties = child(schema, 'properties') ?? {};
  for (const name of Array.isArray(schema.required) ? schema.required : []) {
    if (value[String(name)] === undefined) faults.push({ path, message: `${String(name)} is missing` });
  }
  const count = Object.keys(value).length;
  if (typeof schema.minProperties === 'number' && count < schema.minProperties) {
    faults.push({ path, message: `it has fewer than ${schema.minProperties} fields` });
  }
  if (typeof schema.maxProperties === 'number' && count > schema.maxProperties) {
    faults.push({ path, message: `it has more than ${schema.maxProperties} fields` });
  }
  const additional = schema.additionalProperties;
  const free = preserve || schema['x-kubernetes-preserve-unknown-fields'] === true || additional === true;
  for (const [name, member] of Object.entries(value)) {
    const property = Object.hasOwn(properties, name) ? properties[name] : additional;
    if (isJsonObject(property)) check(property, member, [...path, name], preserve, faults);
    else if (property !== true && !free) {
      const known = Object.keys(properties).join(', ');
      const message = `there is no such parameter${known ? ` (there are ${known})` : ''}`;
      faults.push({ path: [...path, name], message, unknown: true });
    }
  }
}

/** What combines schemas adds conditions; it never says which fields there are. */
function checkCombined(schema: Schema, value: Json, path: Path, faults: SchemaFault[]): void {
  const passes = (one: Json) => isJsonObject(one) && schemaFaults(one, value, true).length === 0;
  const list = (name: string) => (Array.isArray(schema[name]) ? (schema[name] as readonly Json[]) : undefined);
  for (const one of list('allOf') ?? []) if (isJsonObject(one)) check(one, value, path, true, faults);
  const any = list('anyOf');
  if (any && !any.some(passes)) faults.push({ path, message: 'it fits none of the forms that are allowed (anyOf)' });
  const exactly = list('oneOf');
  const fitting = exactly?.filter(passes).length;
  if (exactly && fitting !== 1)
    faults.push({ path, message: `it fits ${fitting} of the forms of which one is allowed (oneOf)` });
  if (isJsonObject(schema.not) && passes(schema.not))
    faults.push({ path, message: 'it has a form that is not allowed (not)' });
}

function child(schema: Schema, name: string): Schema | undefined {
  const value = schema[name];
  return isJsonObject(value) ? value : undefined;
}

function isType(type: string, value: Json): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isJsonObject(value);
  return typeof value === type;
}

function article(type: string): string {
  const name = { array: 'list', object: 'mapping', string: 'text' }[type] ?? type;
  return name === 'text' ? name : `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`;
}

const same = (a: Json, b: Json): boolean => canonicalJson(a) === canonicalJson(b);
