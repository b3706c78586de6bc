import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CountersignError, toCountersignError } from '../errors.js';
import { csrfToken } from '../review/session.js';
import type { Authority } from '../review/authority.js';
import type { Access, Credentials } from './access.js';
import type { Cookies } from './cookies.js';
import { forgedBy, takesSession } from './same-origin.js';
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
  /** Where people sign in with a browser. */
  readonly browser?: BrowserDoor;
}

export interface BrowserDoor {
  readonly cookies: Cookies;
  /** Of the service, as browsers name it: `https://countersign.example.org`. */
  origin(): string;
}

/** What a person, a console and a pipeline need together, many times over. */
const REQUESTS_PER_SECOND = 200;
const REFUSALS_PER_SECOND = 10;

/** What a browser holds of its session. */
export const SESSION_COOKIE = 'session';

const LOG = /^\/log\//;

/** What is answered to anybody, and tells more to whoever is known. */
const KNOWN_TO = new Set(['/readyz', '/', '/session', '/logout']);

/** Asks everybody who they are before their request is read, and lets nobody on to where no table lets them. */
export function registerDoor(fastify: FastifyInstance, options: DoorOptions): void {
  const { access, publicLog, browser } = options;
  const { requestsPerSecond = REQUESTS_PER_SECOND, refusalsPerSecond = REFUSALS_PER_SECOND } = options;
  const callers = new Rate(requestsPerSecond);
  const strangers = new Rate(refusalsPerSecond);
  fastify.decorateRequest('authority', null);
  // Forgotten ones are found at the start, not by whoever finds them open.
  fastify.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) permissionOfRoute(one, url);
  });
  const requireOwnPage = async (
    authority: Authority | null,
    request: FastifyRequest,
    route: string,
    action: string,
  ): Promise<void> => {
    const forged = authority?.session === undefined ? null : forgery(request, route, browser!);
    if (!forged) return;
    await access.note(authority, forged, action);
    throw forged;
  };
  /** Whoever is not known is nobody there, which is no refusal; guessing is. */
  const knownTo = async (request: FastifyRequest, route: string, action: string): Promise<Authority | null> => {
    const credentials = credentialsOf(request, route, browser);
    const authority = await access.identify(credentials, action).catch(() => null);
    if (!authority && credentials.session !== undefined && !strangers.take(request.ip)) throw tooMany(MANY_REFUSED);
    await requireOwnPage(authority, request, route, action);
    return authority;
  };
  fastify.addHook('onRequest', async (request, reply) => {
    const route = request.routeOptions.url;
    // What leads nowhere is answered as such, to anybody.
    if (route === undefined || request.is404) return;
    const action = `${request.method} ${route}`.slice(0, 80);
    try {
      const permission: RoutePermission = permissionOfRoute(request.method, route);
      if (permission === 'own' || (publicLog && LOG.test(route))) {
        if (KNOWN_TO.has(route)) request.authority = await knownTo(request, route, action);
        return;
      }
      const authority = await access.identify(credentialsOf(request, route, browser), action);
      await requireOwnPage(authority, request, route, action);
      if (authority && !authority.anonymous && !callers.take(`${authority.token} ${authority.login}`)) {
        throw tooMany(`the token ${authority.token} asks more than ${requestsPerSecond} times a second`);
      }
      request.authority = authority;
      await access.require(authority, permission, action);
    } catch (thrown) {
      const error = toCountersignError(thrown);
      const spent = error.code === 'unauthenticated' && !strangers.take(request.ip);
      refuse(request, reply, spent ? tooMany(MANY_REFUSED) : error);
    }
  });
}

const MANY_REFUSED = 'too many requests from there were refused';
const tooMany = (why: string): CountersignError =>
  new CountersignError('too-many-requests', why, { remedy: 'Ask again in a second', retry: true });

function credentialsOf(request: FastifyRequest, route: string, browser: BrowserDoor | undefined): Credentials {
  const { authorization, cookie } = request.headers;
  const session = takesSession(route) ? browser?.cookies.read(cookie, SESSION_COOKIE) : undefined;
  return { authorization, local: isLocal(request), session };
}

/** What a page elsewhere may have made a browser send. */
function forgery({ method, headers }: FastifyRequest, route: string, browser: BrowserDoor): CountersignError | null {
  const secret = browser.cookies.read(headers.cookie, SESSION_COOKIE) ?? '';
  const why = forgedBy({ method, route, headers }, browser.origin(), csrfToken(secret));
  return why === null
    ? null
    : new CountersignError('forbidden', `the request is not taken as this session's: ${why}`, {
        remedy: 'Ask from the service’s own pages, or send a token',
      });
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
