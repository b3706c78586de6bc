import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { toCountersignError } from '../errors.js';
import { problem, sendProblem } from './problems.js';
import type { PusherClaim } from '../review/pusher.js';
import { deliveryOf, FORGES, type ForgeKind, isGenuine, SeenDeliveries } from './webhook-delivery.js';
import { pusherOf } from './webhook-push.js';

export interface WebhookOptions {
  /** Secrets by repository; one that is not in it has no webhook. */
  readonly secrets: ReadonlyMap<string, string>;
  /**
   * Somebody who knows the secret says that something happened. Nothing of what else he says is believed, but for whose push it was: he
   * let them in, and nothing in Git tells it.
   */
  readonly hint: (repository: string, claim: PusherClaim | null) => void;
  /** Bytes of one body. */
  readonly bodyLimit?: number;
  /** Milliseconds within which a body must be here. */
  readonly bodyTimeout?: number;
  readonly seen?: SeenDeliveries;
}

/** Larger than any push of a few thousand commits; a larger one is missed, and the next poll sees what it was about. */
const BODY_LIMIT = 5 * 1024 * 1024;
const BODY_TIMEOUT = 10_000;

/**
 * POST /webhook/{github,gitlab,gitea}/REPOSITORY: a hint only, after which the repository is looked at. Bodies are read here as
 * bytes, since bytes are what is signed.
 */
export async function registerWebhooks(fastify: FastifyInstance, options: WebhookOptions): Promise<void> {
  const { secrets, hint, bodyLimit = BODY_LIMIT, bodyTimeout = BODY_TIMEOUT, seen = new SeenDeliveries() } = options;
  // Against this an unknown repository's webhook is checked, so that it takes as long as another's.
  const nobody = randomBytes(32).toString('hex');
  await fastify.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request: FastifyRequest, payload: Readable) =>
      readBody(payload, bodyLimit, bodyTimeout),
    );
    scope.setErrorHandler((error, request, reply) => {
      const status = (error as { statusCode?: number }).statusCode ?? 500;
      if (status >= 500) request.log.error({ err: error }, 'a request failed');
      // What is left of the body is not waited for.
      void reply.header('connection', 'close');
      const detail = status >= 500 ? 'something went wrong inside the service' : toCountersignError(error).message;
      sendProblem(reply, problem(status, status >= 500 ? 'internal' : 'webhook-refused', detail));
    });
    scope.post('/webhook/:forge/:repository', (request, reply) => {
      receive(request, reply);
      return reply;
    });
  });

  function receive(request: FastifyRequest, reply: FastifyReply): void {
    const { forge, repository } = request.params as { forge: string; repository: string };
    const secret = secrets.get(repository);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const kind = FORGES.find((known): known is ForgeKind => known === forge);
    const genuine = kind !== undefined && isGenuine(kind, request.headers, body, secret ?? nobody);
    if (kind === undefined || secret === undefined) {
      return sendProblem(reply, problem(404, 'not-found', 'there is nothing at this address'));
    }
    if (!genuine) {
      request.log.warn({ repository, forge }, 'a webhook with a wrong signature');
      return sendProblem(
        reply,
        problem(401, 'webhook-refused', `this is not signed as ${forge} signs with the secret of this webhook`, {
          remedy: 'Give the forge and the service the same secret',
        }),
      );
    }
    const delivery = deliveryOf(kind, request.headers);
    if (!delivery) {
      return sendProblem(reply, problem(400, 'webhook-refused', `the headers of a webhook of ${forge} are missing`));
    }
    if (!seen.add(repository, delivery, body)) {
      return sendProblem(reply, problem(409, 'webhook-refused', 'this delivery was received before'));
    }
    hint(repository, pusherOf(delivery, body));
    void reply.code(202).send({ status: 'accepted' });
  }
}

/** Throws with `statusCode` 413 or 408. */
async function readBody(payload: Readable, limit: number, timeout: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const refuse = (statusCode: number, message: string): void => {
    payload.removeAllListeners('data');
    payload.resume();
    reject(Object.assign(new Error(message), { statusCode }));
  };
  const timer = setTimeout(() => refuse(408, `the body was not here within ${timeout} ms`), timeout);
  payload.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > limit) refuse(413, `the body is larger than ${limit} bytes`);
    else chunks.push(chunk);
  });
  payload.once('end', () => resolve(Buffer.concat(chunks)));
  payload.once('error', (error) => reject(Object.assign(error, { statusCode: 400 })));
  return await promise.finally(() => clearTimeout(timer));
}
