import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CountersignError, toCountersignError } from '../errors.js';
import type { Access } from './access.js';
import { permissionOfRoute, type RoutePermission } from './permissions.js';
import { statusOf } from './graphql-errors.js';
import { problem, sendProblem } from './problems.js';
import { Rate } from './rate.js';
import { LOOPBACK_ADDRESS } from './reached.js';

export interface DoorOptions {
  readonly access: Access;
  /** Whether strangers may read the log's tiles, as witnesses and mirrors do. */
  readonly publicLog: boolean;
  /** Requests a second by one caller; whoever is on this machine without a token is not counted. */
  readonly requestsPerSecond?: number;
  /** Refusals to one address, a second, before they are not even explained. */
  readonly refusalsPerSecond?: number;
}

/** What a person, a console and a pipeline need together, many times over. */
const REQUESTS_PER_SECOND = 200;
const REFUSALS_PER_SECOND = 10;

const LOG = /^\/log\//;

/** Asks everybody who they are before their request is read, and lets nobody on to where no table lets them. */
export function registerDoor(
  fastify: FastifyInstance,
  { access, publicLog, requestsPerSecond = REQUESTS_PER_SECOND, refusalsPerSecond = REFUSALS_PER_SECOND }: DoorOptions,
): void {
  const callers = new Rate(requestsPerSecond);
  const strangers = new Rate(refusalsPerSecond);
  fastify.decorateRequest('authority', null);
  // Forgotten ones are found at the start, not by whoever finds them open.
  fastify.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) permissionOfRoute(one, url);
  });
  fastify.addHook('onRequest', async (request, reply) => {
    const route = request.routeOptions.url;
    // What leads nowhere is answered as such, to anybody.
    if (route === undefined || request.is404) return;
    const action = `${request.method} ${route}`.slice(0, 80);
    try {
      const permission: RoutePermission = permissionOfRoute(request.method, route);
      if (permission === 'own' || (publicLog && LOG.test(route))) {
        if (request.method === 'GET' && route === '/readyz')
          request.authority = await access.identify(credentialsOf(request), action).catch(() => null);
        return;
      }
      const authority = await access.identify(credentialsOf(request), action);
      if (authority && !authority.anonymous && !callers.take(`${authority.token} ${authority.login}`)) {
        throw tooMany(`the token ${authority.token} asks more than ${requestsPerSecond} times a second`);
      }
      request.authority = authority;
      await access.require(authority, permission, action);
    } catch (thrown) {
      const error = toCountersignError(thrown);
      const spent = error.code === 'unauthenticated' && !strangers.take(request.ip);
      refuse(request, reply, spent ? tooMany('too many requests from there were refused') : error);
    }
  });
}

const tooMany = (why: string): CountersignError =>
  new CountersignError('too-many-requests', why, { remedy: 'Ask again in a second', retry: true });

function credentialsOf(request: FastifyRequest): { authorization: string | undefined; local: boolean } {
  return { authorization: request.headers.authorization, local: isLocal(request) };
}

/** A proxy on this machine is local, too, and speaks for anybody: it says so itself, as each of them does. */
function isLocal({ socket, headers }: FastifyRequest): boolean {
  if (!LOOPBACK_ADDRESS.test(socket.remoteAddress ?? '')) return false;
  return ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'].every(
    (name) => headers[name] === undefined,
  );
}

function refuse(request: FastifyRequest, reply: FastifyReply, error: CountersignError): void {
  const { code, message, remedy } = error;
  const status = statusOf(code);
  if (status >= 500) request.log.error({ err: error }, 'a request failed');
  if (status === 429) void reply.header('retry-after', '1');
  if (status === 401) void reply.header('www-authenticate', 'Bearer');
  // What is left of a body is not waited for.
  void reply.header('connection', 'close').header('cache-control', 'no-store');
  const said = code === 'internal' ? 'something went wrong inside the service' : message;
  if (request.routeOptions.url === '/graphql') {
    const extensions = { code, status, ...(remedy ? { remedy } : {}) };
    void reply.code(status).send({ data: null, errors: [{ message: said, extensions }] });
  } else sendProblem(reply, problem(status, code, said, remedy ? { remedy } : {}));
}
