import type { FastifyRequest } from 'fastify';
import { CountersignError } from '../errors.js';
import type { Queries } from '../report/queries.js';
import type { Reach } from '../audit/reach.js';
import { type Action, type Authority, reachOf, refusal } from '../review/authority.js';
import type { KnownNames } from './known-names.js';
import type { Loaders } from './loaders.js';

/** What every resolver gets, made anew for each request. */
export interface ApiContext {
  readonly loaders: Loaders;
  /** The records, as far as whoever asks may see them; loaders look nowhere else. */
  readonly queries: Queries;
  /** What filters can name, as far as they may see it. */
  readonly names: KnownNames;
  readonly req: FastifyRequest;
  readonly authority: Authority;
  /** Where they may read. */
  readonly reach: Reach;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for each request before it is routed on; null only where src/api/permissions.ts asks nobody who they are. */
    authority: Authority | null;
  }
}

/** Throws `unauthenticated`. */
export function authorityOf({ authority }: FastifyRequest): Authority {
  if (authority) return authority;
  throw new CountersignError('unauthenticated', 'this takes a token');
}

/**
 * For what is asked of one environment, of a repository whole, or of all of them. Throws `forbidden`, in the same words whether or not
 * there is such a thing.
 */
export function requireReach(
  authority: Authority,
  action: Action,
  repository: string | null | undefined,
  environment?: string | null,
): void {
  const reach = reachOf(authority, action);
  if (!reach) throw refusal(authority.token, 'is for another role');
  if (reach.everywhere) return;
  if (!repository) throw refusal(authority.token, 'is not for all repositories, so name one');
  if (environment ? reach.covers(repository, environment) : reach.wholly(repository)) return;
  const what = environment ? 'that environment' : `all of the repository ${repository.slice(0, 80)}`;
  throw refusal(authority.token, `is not for ${what}`);
}
