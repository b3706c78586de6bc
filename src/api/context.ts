import type { FastifyRequest } from 'fastify';
import type { Loaders } from './loaders.js';

/** What every resolver gets, made anew for each request. */
export interface ApiContext {
  readonly loaders: Loaders;
  readonly req: FastifyRequest;
}
