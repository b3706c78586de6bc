import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';

const HEAD = `# Policy input

Made by \`make docs\` from the JSON Schema that \`countersign policy schema\` prints; not to be edited. It is what rules of packages \`countersign.<area>\` see as \`input\`:
one proposed change. Fields that a change lacks are absent, unless it says that they may be null. Rules of Conftest see one plain object instead, those of Gatekeeper
an admission review. [Writing policies](policies.md) tells how to use it.

Fields may be added to \`countersign.dev/v1\`; none is taken away, or means something else.`;

/** The input's schema as Markdown: a table of the whole, and one of each part that it names. */
export function inputPage(schema: JsonObject): string {
  const parts = isJsonObject(schema['definitions']) ? schema['definitions'] : {};
  const named = [...reached(schema, parts)].map((name) => {
    const part = parts[name] as JsonObject;
    const said = typeof part['description'] === 'string' ? [part['description'], ''] : [];
    return ['', `## ${name}`, '', ...said, ...table(part)].join('\n');
  });
  return `${[HEAD, '', ...table(schema), ...named].join('\n')}\n`;
}

/** Names of parts in the order in which a reader meets them. */
function reached(schema: Json, parts: JsonObject, found = new Set<string>()): ReadonlySet<string> {
  if (Array.isArray(schema)) for (const one of schema) reached(one as Json, parts, found);
  if (!isJsonObject(schema)) return found;
  for (const [key, value] of Object.entries(schema)) {
    const name = key === '$ref' ? partOf(value) : undefined;
    if (name !== undefined && !found.has(name)) {
      found.add(name);
      reached(parts[name], parts, found);
    } else if (key !== 'definitions') reached(value, parts, found);
  }
  return found;
}

function table(schema: JsonObject): string[] {
  return ['| field | is | |', '|---|---|---|', ...rows(schema, '')];
}

/** A row a field; those of objects without a name of their own follow, with their path. */
function rows(schema: JsonObject, path: string): string[] {
  const properties = isJsonObject(schema['properties']) ? schema['properties'] : {};
  const required = new Set(schema['required'] as readonly string[] | undefined);
  return Object.entries(properties).flatMap(([name, value]) => {
    if (!isJsonObject(value)) return [];
    const own = path === '' ? name : `${path}.${name}`;
    const { description: told } = value;
    const said = typeof told === 'string' ? told : '';
    const notes = [said, required.has(name) || /absent/i.test(said) ? '' : 'May be absent.'];
    const row = `| \`${own}\` | ${typeOf(value)} | ${notes.filter(Boolean).join(' ')} |`;
    const items = isJsonObject(value['items']) ? value['items'] : undefined;
    return [row, ...rows(value, own), ...(items ? rows(items, `${own}[_]`) : [])];
  });
}

function typeOf(schema: JsonObject): string {
  const { $ref, type, anyOf, items, const: only, enum: some, additionalProperties, properties, format } = schema;
  if ($ref !== undefined) return `[${partOf($ref)}](#${partOf($ref)})`;
  if (Array.isArray(anyOf)) return anyOf.map((one) => typeOf(one as JsonObject)).join(' or ');
  if (only !== undefined) return `\`${only as string}\``;
  if (Array.isArray(some)) return some.map((one) => `\`${String(one)}\``).join(', ');
  if (type === 'array') return `list of ${isJsonObject(items) ? typeOf(items) : 'anything'}`;
  if (type === 'object' && isJsonObject(additionalProperties) && !properties) {
    const member = typeOf(additionalProperties);
    return member === 'anything' ? 'object' : `object of ${member}`;
  }
  if (format === 'date-time') return 'RFC 3339 time';
  return typeof type === 'string' ? (TYPES[type] ?? type) : 'anything';
}

const TYPES: Readonly<Record<string, string>> = { string: 'text', integer: 'number', boolean: 'true or false' };

const partOf = (ref: Json | undefined): string => (ref as string).replace('#/definitions/', '');
