import {
  buildSchema,
  findBreakingChanges,
  isEnumType,
  isInputObjectType,
  isObjectType,
  isScalarType,
  parse,
  validate,
} from 'graphql';
import { readFileSync } from 'node:fs';
import { schemaText } from '../../src/app.module.js';

// The contract as it was released last. Whoever breaks it on purpose replaces the file by src/api/schema.graphql, and says so in
// CHANGELOG.md; whoever only adds to it need not.
const released = buildSchema(readFileSync(new URL('./schema.released.graphql', import.meta.url), 'utf8'));
const current = buildSchema(schemaText());

describe('the GraphQL schema', () => {
  it('breaks nothing that clients rely on', () => {
    expect(findBreakingChanges(released, current)).toEqual([]);
  });

  it('says of every type, field, argument to filter by and scalar what it is', () => {
    const types = Object.values(current.getTypeMap()).filter(
      (type) => !/^__|^(String|Int|Boolean|ID)$/.test(type.name),
    );
    const silent = types.flatMap((type) => {
      const fields = isObjectType(type) || isInputObjectType(type) ? Object.values(type.getFields()) : [];
      expect(isObjectType(type) || isInputObjectType(type) || isEnumType(type) || isScalarType(type)).toBe(true);
      return [
        ...(type.description ? [] : [type.name]),
        ...fields.filter((f) => !f.description).map((f) => `${type.name}.${f.name}`),
      ];
    });
    expect(silent).toEqual([]);
  });

  it('shows examples that are queries of this very schema', () => {
    const texts = Object.values(current.getQueryType()?.getFields() ?? {}).map((field) => field.description ?? '');
    const examples = texts.flatMap((text) => [...text.matchAll(/`(\{ .+? \})`/gs)].map((match) => match[1]));
    expect(examples.length).toBeGreaterThan(4);
    for (const example of examples) expect([example, validate(current, parse(example))]).toEqual([example, []]);
  });

  it('gives every list that can grow as a Relay connection', () => {
    for (const type of Object.values(current.getTypeMap()).filter((type) => type.name.endsWith('Connection'))) {
      const fields = isObjectType(type) ? type.getFields() : {};
      expect(Object.keys(fields)).toEqual(['edges', 'nodes', 'pageInfo', 'totalCount']);
      expect(String(fields['pageInfo'].type)).toBe('PageInfo!');
    }
  });
});
