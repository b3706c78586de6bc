import {
  getOperationAST,
  GraphQLError,
  OperationTypeNode,
  type GraphQLSchema,
  parse,
  subscribe,
  validate,
  type ExecutionArgs,
} from 'graphql';
import { type Context, handleProtocols, makeServer } from 'graphql-ws';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { CountersignError, toCountersignError } from '../errors.js';
import type { Feed } from '../report/feed.js';
import type { Queries } from '../report/queries.js';
import { type Authority, reachOf } from '../review/authority.js';
import type { Access } from './access.js';
import type { ApiContext } from './context.js';
import { type KnownState, requireFields, within } from './field-access.js';
import { type Introspection, requireIntrospection } from './introspection.js';
import { formatErrors } from './graphql-errors.js';
import type { KnownQueries } from './known-queries.js';
import { checkLimits, limits, refuseForeignText } from './limits.js';
import { LOOPBACK_ADDRESS, type Reached, whyNotAnswered } from './reached.js';
import { type SubscriptionContext, withSubscriptions } from './subscriptions.js';

export interface SocketParts {
  readonly schema: () => GraphQLSchema;
  readonly access: Access;
  readonly queries: Queries;
  readonly state: KnownState;
  readonly feed: Feed;
  readonly reached: Reached;
  readonly logger: Logger;
  readonly known?: KnownQueries | undefined;
  readonly introspection?: Introspection | undefined;
  readonly times?: Partial<SocketTimes>;
}

/** In milliseconds. */
export interface SocketTimes {
  /** Until a socket says who it is. */
  readonly greeting: number;
  /** Between two looks at whether it still may. */
  readonly look: number;
  /** For one message to be taken. */
  readonly slow: number;
}

const TIMES: SocketTimes = { greeting: 5_000, look: 30_000, slow: 10_000 };
/** Sockets of all, and of one caller; subscriptions of one socket. */
export const most = { sockets: 500, ofCaller: 20, subscriptions: 20 } as const;

/** Close codes beside those of graphql-transport-ws. */
export const closeCodes = { unauthenticated: 4401, tooMany: 4429, tooSlow: 4413, away: 1001 } as const;

interface Extra {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
  caller: Caller | null;
  /** Of its subscriptions that have not ended. */
  readonly open: Set<AbortController>;
}

interface Caller {
  authority: Authority;
  readonly name: string;
  readonly authorization: string | undefined;
  readonly timer: NodeJS.Timeout;
}

type Connection = Context<Record<string, unknown> | undefined, Extra>;

/** GraphQL subscriptions on a server, by graphql-transport-ws. Gives what ends them. */
export function serveSubscriptions(server: Server, parts: SocketParts): () => Promise<void> {
  const sockets = new Sockets(parts);
  server.on('upgrade', sockets.upgrade);
  return async () => {
    server.off('upgrade', sockets.upgrade);
    await sockets.close();
  };
}

class Sockets {
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: limits.body,
    perMessageDeflate: false,
    handleProtocols: (protocols) => handleProtocols(protocols),
  });
  readonly #callers = new Map<string, number>();
  readonly #times: SocketTimes;
  #schema: GraphQLSchema | null = null;
  readonly #graphql = makeServer<Record<string, unknown> | undefined, Extra>({
    connectionInitWaitTimeout: TIMES.greeting,
    onConnect: (connection) => this.#greeted(connection),
    onDisconnect: ({ extra }) => this.#gone(extra),
    onSubscribe: (connection, _id, { query, variables, operationName }) =>
      this.#asked(connection, query, variables ?? {}, operationName ?? undefined),
    subscribe: (args) => subscribe(args),
    onNext: (_connection, _id, _payload, _args, result) =>
      result.errors ? formatErrors(result, this.parts.logger).response : undefined,
  });

  constructor(private readonly parts: SocketParts) {
    this.#times = { ...TIMES, ...parts.times };
  }

  readonly upgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    stream.on('error', () => stream.destroy());
    const refusal = this.#refusal(request);
    if (refusal) {
      stream.end(`HTTP/1.1 ${refusal}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    this.#server.handleUpgrade(request, stream, head, (socket) => this.#open(socket, request));
  };

  #refusal(request: IncomingMessage): string | null {
    const { url, headers, socket } = request;
    if (url?.split('?', 1)[0] !== '/graphql') return '404 Not Found';
    const not = whyNotAnswered(headers, socket.remoteAddress ?? '', this.parts.reached);
    if (not) return `${not.status} ${not.status === 421 ? 'Misdirected Request' : 'Forbidden'}`;
    // A browser lets any page open a socket to anywhere, and says whose page it is.
    const { origin } = headers;
    if (origin !== undefined && URL.parse(origin)?.host !== headers.host) return '403 Forbidden';
    return this.#server.clients.size >= most.sockets ? '503 Service Unavailable' : null;
  }

  #open(socket: WebSocket, request: IncomingMessage): void {
    const extra: Extra = { socket, request, caller: null, open: new Set() };
    socket.on('error', () => socket.terminate());
    const closed = this.#graphql.opened(
      {
        protocol: socket.protocol,
        send: (text) => this.#send(socket, text),
        close: (code, reason) => socket.close(code, reason),
        onMessage: (told) => {
          socket.on('message', (message) => {
            // eslint-disable-next-line @typescript-eslint/no-base-to-string -- a Buffer, by the server's own settings
            told(String(message)).catch((thrown: unknown) => {
              this.parts.logger.warn({ err: thrown }, 'a subscription failed');
              socket.close(1011, 'something went wrong inside the service');
            });
          });
        },
      },
      extra,
    );
    socket.once('close', (code, reason) => {
      for (const one of extra.open) one.abort();
      void closed(code, reason.toString());
    });
  }

  /** Resolves when it is taken; nothing more is read of the log for it until then. */
  #send(socket: WebSocket, text: string): Promise<void> {
    return new Promise((resolve) => {
      if (socket.readyState !== socket.OPEN) return resolve();
      const slow = setTimeout(() => {
        this.parts.logger.info('a subscriber is too slow');
        socket.close(closeCodes.tooSlow, 'too slow: go on with after');
        // Whoever takes nothing may not take the goodbye either.
        setTimeout(() => socket.terminate(), TIMES.slow).unref();
        resolve();
      }, this.#times.slow);
      socket.send(text, () => {
        clearTimeout(slow);
        resolve();
      });
    });
  }

  /** Who it is: by the request's header, or what a browser can send, the first message. */
  async #greeted({ extra, connectionParams }: Connection): Promise<boolean> {
    const { socket, request } = extra;
    const said = connectionParams?.['authorization'] ?? connectionParams?.['Authorization'];
    const authorization = request.headers.authorization ?? (typeof said === 'string' ? said : undefined);
    try {
      const authority = await this.#identify(request, authorization);
      const name = authority.anonymous ? (request.socket.remoteAddress ?? '') : `${authority.token} ${authority.login}`;
      const open = this.#callers.get(name) ?? 0;
      if (open >= most.ofCaller) {
        socket.close(closeCodes.tooMany, `more than ${most.ofCaller} sockets of one caller`);
        return false;
      }
      if (socket.readyState !== socket.OPEN) return false;
      this.#callers.set(name, open + 1);
      const timer = setInterval(() => void this.#lookAgain(extra), this.#times.look);
      timer.unref();
      extra.caller = { authority, name, authorization, timer };
      return true;
    } catch (thrown) {
      socket.close(closeCodes.unauthenticated, toCountersignError(thrown).message.slice(0, 100));
      return false;
    }
  }

  /** Throws `unauthenticated`, `forbidden`, after that is in the log. */
  async #identify(request: IncomingMessage, authorization: string | undefined): Promise<Authority> {
    const { socket, headers } = request;
    const passedOn = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];
    const local =
      LOOPBACK_ADDRESS.test(socket.remoteAddress ?? '') && passedOn.every((name) => headers[name] === undefined);
    const action = 'GET /graphql subscriptions';
    const { access } = this.parts;
    const authority = await access.identify({ authorization, local }, action);
    await access.require(authority, { action: 'read', of: 'anywhere' }, action);
    if (authority && reachOf(authority, 'read')) return authority;
    throw new CountersignError('forbidden', 'this token may read nothing');
  }

  /** A token that has expired, or is known no longer, ends its socket. */
  async #lookAgain(extra: Extra): Promise<void> {
    const { caller, socket, request } = extra;
    if (!caller) return;
    try {
      caller.authority = await this.#identify(request, caller.authorization);
    } catch (thrown) {
      const { code, message } = toCountersignError(thrown);
      if (code === 'unauthenticated' || code === 'forbidden')
        socket.close(closeCodes.unauthenticated, message.slice(0, 100));
    }
  }

  #gone({ caller }: Extra): void {
    if (!caller) return;
    clearInterval(caller.timer);
    const left = (this.#callers.get(caller.name) ?? 1) - 1;
    if (left > 0) this.#callers.set(caller.name, left);
    else this.#callers.delete(caller.name);
  }

  async #asked(
    { extra, subscriptions }: Connection,
    query: string,
    variables: Record<string, unknown>,
    operationName: string | undefined,
  ): Promise<ExecutionArgs | readonly GraphQLError[]> {
    const { access, known, introspection = 'callers', logger } = this.parts;
    const schema = (this.#schema ??= withSubscriptions(this.parts.schema()));
    try {
      if (Object.keys(subscriptions).length > most.subscriptions)
        throw new CountersignError('too-many-requests', `a socket has at most ${most.subscriptions} subscriptions`);
      refuseForeignText(query);
      known?.require(query);
      const document = parse(query, { maxTokens: limits.tokens });
      const faults = validate(schema, document);
      if (faults.length > 0) return errorsOf(faults);
      checkLimits(schema, document, variables);
      if (getOperationAST(document, operationName)?.operation !== OperationTypeNode.SUBSCRIPTION)
        throw new CountersignError('query-invalid', 'only subscriptions are asked here; POST the others');
      const contextValue = this.#context(extra);
      requireIntrospection(introspection, document, contextValue);
      await requireFields(access, schema, document, contextValue);
      return { schema, document, variableValues: variables, operationName: operationName ?? null, contextValue };
    } catch (thrown) {
      const error =
        thrown instanceof GraphQLError ? thrown : new GraphQLError('', { originalError: toCountersignError(thrown) });
      return errorsOf([error]);
    }

    function errorsOf(errors: readonly GraphQLError[]): readonly GraphQLError[] {
      return formatErrors({ errors }, logger).response.errors ?? [];
    }
  }

  /** Of one subscription. What it may see is looked up for each event. */
  #context(extra: Extra): SubscriptionContext {
    const { queries, state, feed } = this.parts;
    const ended = new AbortController();
    extra.open.add(ended);
    const end = (): void => {
      extra.open.delete(ended);
      ended.abort();
    };
    const now = (): ApiContext => {
      const authority = extra.caller?.authority;
      const reach = authority && reachOf(authority, 'read');
      if (!authority || !reach) throw new CountersignError('unauthenticated', 'this takes a token');
      const { expires } = authority;
      if (expires !== null && Date.parse(expires) <= Date.now()) {
        extra.socket.close(closeCodes.unauthenticated, `the token ${authority.token} expired`);
        throw new CountersignError('unauthenticated', `the token ${authority.token} expired at ${expires}`);
      }
      return { req: extra.request as never, authority, reach, ...within(reach, queries, state) };
    };
    const context = {
      ...now(),
      feed,
      signal: ended.signal,
      end,
      renew: () => Object.assign(context, now()),
    };
    return context;
  }

  async close(): Promise<void> {
    for (const socket of this.#server.clients) socket.close(closeCodes.away, 'the service stops');
    const ended = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const patience = setTimeout(() => this.#server.clients.forEach((socket) => socket.terminate()), 1_000);
    await ended;
    clearTimeout(patience);
  }
}
