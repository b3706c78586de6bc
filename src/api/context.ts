import type { FastifyRequest } from 'fastify';
import type { Authority } from '../review/authority.js';
import type { Loaders } from './loaders.js';

/** What every resolver gets, made anew for each request. */
export interface ApiContext {
  readonly loaders: Loaders;
  readonly req: FastifyRequest;
  /** Set by `TokenGuard`; absent where nobody was asked who they are. */
  authority?: Authority;
}
