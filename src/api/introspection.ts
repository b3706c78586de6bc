import { type DocumentNode, Kind, visit } from 'graphql';
import { CountersignError } from '../errors.js';
import type { Authority } from '../review/authority.js';

/** Who may ask for the schema itself: whoever may ask for anything, whoever says who they are, or nobody. */
export type Introspection = 'callers' | 'known' | 'none';

export function mayIntrospect(allowed: Introspection, authority: Authority | null | undefined): boolean {
  if (allowed === 'none') return false;
  return allowed === 'callers' || Boolean(authority && !authority.anonymous);
}

/** Throws `unauthenticated`, `forbidden` for a query that asks for the schema by whom it is not for. */
export function requireIntrospection(
  allowed: Introspection,
  document: DocumentNode,
  { authority }: { readonly authority: Authority },
): void {
  if (mayIntrospect(allowed, authority) || !asksForSchema(document)) return;
  if (allowed === 'known') {
    throw new CountersignError('unauthenticated', 'the schema is for whoever says who they are', {
      remedy: 'Send a token, or read docs/graphql.md',
    });
  }
  throw new CountersignError('forbidden', 'this service does not tell its schema', { remedy: 'Read docs/graphql.md' });
}

function asksForSchema(document: DocumentNode): boolean {
  let found = false;
  visit(document, {
    [Kind.FIELD]: ({ name }) => void (found ||= name.value === '__schema' || name.value === '__type'),
  });
  return found;
}
