import {
  getNamedType,
  getNullableType,
  type GraphQLField,
  type GraphQLObjectType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isListType,
  isLeafType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
  type GraphQLInputType,
} from 'graphql';

/** Values for what has to be said, by the name of the argument. */
export type Said = Readonly<Record<string, string | number>>;

/** A query for a root field with all of its fields, so deep, and what it must be told. `skip` names fields as `Type.field`. */
export function queryForAll(
  schema: GraphQLSchema,
  root: GraphQLObjectType,
  name: string,
  said: Said,
  skip: (field: string) => boolean,
  depth = 3,
): string {
  const field = root.getFields()[name];
  const operation =
    root === schema.getMutationType() ? 'mutation ' : root === schema.getSubscriptionType() ? 'subscription ' : '';
  return `${operation}{ ${ask(field, said, skip, depth)} }`;
}

function ask(
  field: GraphQLField<unknown, unknown>,
  said: Said,
  skip: (field: string) => boolean,
  depth: number,
): string {
  const given = field.args
    .filter((argument) => isRequiredArgument(argument) || argument.name === 'first')
    .map(({ name, type }) => `${name}: ${name === 'first' ? 2 : valueOf(type, name, said)}`);
  const args = given.length > 0 ? `(${given.join(', ')})` : '';
  const type = getNamedType(field.type);
  if (!isObjectType(type)) return field.name + args;
  const inner = Object.values(type.getFields())
    .filter((each) => !skip(`${type.name}.${each.name}`))
    .filter((each) => isLeafType(getNamedType(each.type)) || depth > 0)
    .filter((each) => each.args.every((argument) => !isRequiredArgument(argument)))
    .map((each) => ask(each, said, skip, depth - 1));
  return `${field.name}${args} { __typename ${inner.join(' ')} }`;
}

function valueOf(type: GraphQLInputType, name: string, said: Said): string {
  const bare = getNullableType(type);
  if (isListType(bare)) return '[]';
  if (isEnumType(bare)) return bare.getValues()[0].name;
  if (isInputObjectType(bare)) {
    const needed = Object.values(bare.getFields()).filter(isRequiredInputField);
    return `{${needed.map((one) => `${one.name}: ${valueOf(one.type, one.name, said)}`).join(', ')}}`;
  }
  return JSON.stringify(said[name] ?? 'none');
}
