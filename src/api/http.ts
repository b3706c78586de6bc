import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { NestFactory } from '@nestjs/core';
import type { DynamicModule, LoggerService } from '@nestjs/common';
import helmet from '@fastify/helmet';
import { randomUUID } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import {
  LogController,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { Logger } from 'pino';
import type { Histogram } from 'prom-client';
import { type AuditWebhookOptions, registerAuditWebhook } from './audit-webhook.js';
import { type DoorOptions, registerDoor } from './door.js';
import { limits } from './limits.js';
import { problem, ProblemFilter, sendProblem } from './problems.js';
import { type Reached, registerNames } from './reached.js';
import { registerWebhooks, type WebhookOptions } from './webhooks.js';

export interface HttpOptions {
  readonly logger: Logger;
  readonly requests: Histogram<'route' | 'status'>;
  readonly webhooks?: WebhookOptions;
  readonly audit?: AuditWebhookOptions;
  readonly door: DoorOptions;
  /** Loopback only, unless it says more. */
  readonly reached?: Reached;
  readonly tls?: TlsOptions;
}

/** The application over HTTP: headers, limits and errors that hold for every route. */
export async function createHttp(
  module: DynamicModule,
  { logger, requests, webhooks, audit, door, reached = { proxy: [] }, tls }: HttpOptions,
): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.body,
    // Whose word for where a request came from is taken.
    ...(reached.proxy.length > 0 ? { trustProxy: [...reached.proxy] } : {}),
    ...(tls ? { https: tls } : {}),
    requestTimeout: 30_000,
    keepAliveTimeout: 10_000,
    genReqId: () => randomUUID(),
    // Idle connections would hold a stop up; those with a request under way are waited for.
    forceCloseConnections: 'idle',
    frameworkErrors: (error: FastifyError, _request: FastifyRequest, reply: FastifyReply) => {
      sendProblem(reply, problem(error.statusCode ?? 400, 'query-invalid', frameworkMessage(error)));
    },
  });
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    // Fastify's own parsers: JSON only, and none for forms, which a page elsewhere could send.
    bodyParser: false,
    logger: new NestCommentary(logger),
    abortOnError: false,
    forceCloseConnections: false,
  });
  app.useGlobalFilters(new ProblemFilter());
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    // Plain HTTP on loopback: a browser must not be told to insist on anything else for this name.
    strictTransportSecurity: reached.url?.startsWith('https:')
      ? { maxAge: 31_536_000, includeSubDomains: false }
      : false,
    xFrameOptions: { action: 'deny' },
  });
  registerNames(adapter.getInstance<FastifyInstance>(), reached);
  observe(adapter.getInstance<FastifyInstance>(), requests);
  registerDoor(adapter.getInstance<FastifyInstance>(), door);
  if (webhooks) await registerWebhooks(adapter.getInstance<FastifyInstance>(), webhooks);
  if (audit && audit.tokens.size > 0) await registerAuditWebhook(adapter.getInstance<FastifyInstance>(), audit);
  return app;
}

function observe(fastify: FastifyInstance, requests: Histogram<'route' | 'status'>): void {
  fastify.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    requests.observe({ route, status: String(reply.statusCode) }, reply.elapsedTime / 1_000);
    const facts = {
      method: request.method,
      path: pathOf(request),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
    };
    const quiet = reply.statusCode < 500 && /^\/(healthz|readyz|metrics|log\/)/.test(facts.path);
    request.log[quiet ? 'debug' : 'info'](facts, 'request');
  });
}

/** Without its query, which may hold what does not belong in a log. */
function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0].slice(0, 200);
}

function frameworkMessage(error: FastifyError): string {
  return error.code === 'FST_ERR_BAD_URL' ? 'the address is malformed' : error.message;
}

/** What Nest says of its own start is for whoever debugs it. */
class NestCommentary implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, context?: string): void {
    this.logger.debug({ context }, String(message));
  }

  warn(message: unknown, context?: string): void {
    this.logger.warn({ context }, String(message));
  }

  error(message: unknown, ...rest: unknown[]): void {
    const err = message instanceof Error ? message : undefined;
    this.logger.error({ context: rest.at(-1), ...(err && { err }) }, err?.message ?? String(message));
  }
}
