import {
  buildSchema,
  type GraphQLField,
  type GraphQLObjectType,
  isEnumType,
  isInputObjectType,
  isObjectType,
} from 'graphql';

/** docs/graphql.md, from the schema's own words. */
export function graphqlPage(sdl: string): string {
  const schema = buildSchema(sdl);
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].filter(
    (type): type is GraphQLObjectType => Boolean(type),
  );
  const types = Object.values(schema.getTypeMap())
    .filter(({ name }) => !name.startsWith('__') && !/^(String|Int|Float|Boolean|ID)$/.test(name))
    .filter((type) => !roots.some(({ name }) => name === type.name) && !/(Connection|Edge)$/.test(type.name))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const rows = types.map((type) => {
    const names =
      isObjectType(type) || isInputObjectType(type)
        ? Object.keys(type.getFields())
        : isEnumType(type)
          ? type.getValues().map(({ name }) => name)
          : [];
    return `| \`${type.name}\` | ${cell(type.description ?? '')} | ${names.map((name) => `\`${name}\``).join(' ')} |`;
  });
  return `${HEAD}
${roots.map(section).join('\n')}
## Types

| type | is | holds |
|---|---|---|
${rows.join('\n')}
`;
}

const HEAD = `# GraphQL

Made by \`make docs\` from src/api/schema.graphql, which is the contract: what is released there does not break. [questions.md](questions.md) has a query for each question that auditors ask.

\`POST /graphql\` with \`{"query": "…", "variables": {…}}\` as \`application/json\`, and a token ([access](access.md)):

\`\`\`
curl -s https://countersign.example.org/graphql -H "Authorization: Bearer $COUNTERSIGN_TOKEN" -H "Content-Type: application/json" \\
  -d '{"query": "{ decisions(first: 5) { totalCount nodes { id outcome } pageInfo { endCursor } } }"}'
\`\`\`

**Lists** are Relay connections: \`first\` is 50 unless given, 500 at most; \`after\` takes the \`endCursor\` of the page before. Cursors name a position and stay good. \`totalCount\` counts everything that the
filter and the caller's reach leave.

**Errors** have a \`code\`, a \`status\` and mostly a \`remedy\` among their \`extensions\`: \`query-invalid\`, \`query-limit\`, \`cursor-invalid\`, \`not-found\`, \`unauthenticated\` (401), \`forbidden\` (403), \`too-many-requests\` (429),
\`database-unavailable\` (503, with \`retry\`). A filter that nothing passes, and in which a repository, environment, rule, control or kind is nearly but not quite one that is known, was misspelt: it is refused with the nearest
name (\`not-found\`). A name that is near to none is answered with nothing, as is one that is known.

**Limits**: 64 KiB and 2,000 words of query, 15 levels, a cost of 100,000 fields by the page lengths asked for. Known queries and queries by their hash: [access](access.md#what-strangers-and-the-hasty-are-given).
`;

function section(type: GraphQLObjectType): string {
  const fields = Object.values(type.getFields()).map((field) => `### ${field.name}\n\n\`${signature(field)}\`\n\n${field.description ?? ''}\n`); // prettier-ignore
  return `## ${type.name}\n\n${type.description ?? ''}\n\n${fields.join('\n')}`;
}

function signature({ name, args, type }: GraphQLField<unknown, unknown>): string {
  const given = args.map((arg) => `${arg.name}: ${String(arg.type)}${arg.defaultValue === undefined ? '' : ` = ${JSON.stringify(arg.defaultValue)}`}`); // prettier-ignore
  return `${name}${given.length > 0 ? `(${given.join(', ')})` : ''}: ${String(type)}`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
