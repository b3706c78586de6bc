import type { FastifyRequest } from 'fastify';
import { type DocumentNode, type GraphQLSchema, Kind, TypeInfo, visit, visitWithTypeInfo } from 'graphql';
import type { Reach } from '../audit/reach.js';
import type { Queries } from '../report/queries.js';
import { reachOf } from '../review/authority.js';
import type { Access } from './access.js';
import { type ApiContext, authorityOf } from './context.js';
import { governanceWithin, KnownNames } from './known-names.js';
import { createLoaders } from './loaders.js';
import { requireFieldsOf } from './permissions.js';
import type { ServiceState } from './state.js';
import { CountersignError } from '../errors.js';

/** What resolvers get: nothing that whoever asks may not see. Throws `unauthenticated`. */
export function createContext(req: FastifyRequest, queries: Queries, state: KnownState): ApiContext {
  const authority = authorityOf(req);
  const reach = reachOf(authority, 'read');
  if (!reach) throw new CountersignError('forbidden', 'this token may read nothing');
  return { req, authority, reach, ...within(reach, queries, state) };
}

/** What is in reach of whoever asks. */
export function within(reach: Reach, queries: Queries, state: KnownState) {
  const seen = queries.within(reach);
  return {
    queries: seen,
    names: new KnownNames(seen, governanceWithin(reach, state)),
    loaders: createLoaders(seen, state.ledger),
  };
}

/** Of the service, what is asked beside its records. */
export type KnownState = Pick<ServiceState, 'ledger' | 'controls' | 'holdings'>;

const known = new WeakMap<DocumentNode, readonly string[]>();

/** What a query asks for, as `Type.field`, each once. Documents are kept parsed, and so is this. */
export function fieldsOf(schema: GraphQLSchema, document: DocumentNode): readonly string[] {
  const found = known.get(document);
  if (found) return found;
  const fields = new Set<string>();
  const types = new TypeInfo(schema);
  visit(
    document,
    visitWithTypeInfo(types, {
      [Kind.FIELD]: (node) => void fields.add(`${types.getParentType()?.name}.${node.name.value}`),
    }),
  );
  const list = [...fields];
  known.set(document, list);
  return list;
}

/** Refuses a query that asks for a field of which it is not said that this caller may. Throws `unauthenticated`, `forbidden`. */
export async function requireFields(
  access: Access,
  schema: GraphQLSchema,
  document: DocumentNode,
  { authority }: ApiContext,
): Promise<void> {
  const asked = fieldsOf(schema, document);
  const action = (): string => asked.find((name) => /^(Query|Mutation|Subscription)\./.test(name)) ?? 'query';
  try {
    requireFieldsOf(authority, asked);
  } catch (thrown) {
    await access.note(authority, thrown, action().replace(/^Mutation\./, ''));
    throw thrown;
  }
}
