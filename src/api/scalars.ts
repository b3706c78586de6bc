import { GraphQLError, GraphQLScalarType, Kind, valueFromASTUntyped } from 'graphql';

const DATE_TIME = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d))?$/;

export const dateTime = new GraphQLScalarType<string, string>({
  name: 'DateTime',
  serialize: (value) => String(value),
  parseValue: readDateTime,
  parseLiteral: (node) => readDateTime(node.kind === Kind.STRING ? node.value : undefined),
});

export const json = new GraphQLScalarType({
  name: 'JSON',
  serialize: (value) => value,
  parseValue: (value) => value,
  parseLiteral: (node, variables) => valueFromASTUntyped(node, variables),
});

export const long = new GraphQLScalarType<number, number>({
  name: 'Long',
  serialize: readLong,
  parseValue: readLong,
  parseLiteral: (node) => readLong(node.kind === Kind.INT ? Number(node.value) : undefined),
});

/** To the millisecond, in UTC: what the records hold. */
function readDateTime(value: unknown): string {
  const match = typeof value === 'string' ? DATE_TIME.exec(value) : null;
  const time = match ? Date.parse(`${match[1]}T${match[2] ?? '00:00:00'}${match[3] ?? 'Z'}`) : Number.NaN;
  const day = match ? Date.parse(`${match[1]}T00:00:00Z`) : Number.NaN;
  const text = Number.isNaN(time) || Number.isNaN(day) ? '' : new Date(time).toISOString();
  // Date.parse may roll 30 February over to March; PostgreSQL knows no year 0, and reads four digits.
  if (!/^(?!0000)\d{4}-/.test(text) || !new Date(day).toISOString().startsWith(String(match?.[1]))) {
    throw new GraphQLError('a DateTime is written like 2026-07-01T09:30:00Z, or 2026-07-01');
  }
  return text;
}

function readLong(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new GraphQLError('a Long is a whole number from 0 to 2^53 - 1');
}
