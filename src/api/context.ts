import type { FastifyRequest } from 'fastify';
import { CountersignError } from '../errors.js';
import type { Queries } from '../report/queries.js';
import { type Action, type Authority, reachOf, refusal } from '../review/authority.js';
import type { Loaders } from './loaders.js';

/** What every resolver gets, made anew for each request. */
export interface ApiContext {
  readonly loaders: Loaders;
  /** The records, as far as whoever asks may see them; loaders look nowhere else. */
  readonly queries: Queries;
  readonly req: FastifyRequest;
  readonly authority: Authority;
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
 * For what is asked of one environment, or of a repository whole. Throws `forbidden`, in the same words whether or not there is such
 * a thing.
 */
export function requireReach(authority: Authority, action: Action, repository: string, environment?: string): void {
  const reach = reachOf(authority, action);
  if (environment === undefined ? reach?.wholly(repository) : reach?.covers(repository, environment)) return;
  const what = environment === undefined ? `all of the repository ${repository.slice(0, 80)}` : 'that environment';
  throw refusal(authority.token, `is not for ${what}`);
}
