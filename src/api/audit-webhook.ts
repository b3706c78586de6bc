import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Readable } from 'node:stream';
import { parseStrictJson } from '../cluster/canonical.js';
import { problem, sendProblem } from './problems.js';

export interface AuditWebhookOptions {
  /** What each target's API server has to send as its bearer token. */
  readonly tokens: ReadonlyMap<string, string>;
  /** False: it is no EventList. */
  readonly received: (target: string, body: unknown) => boolean;
  /** A batch that cannot be taken; it is not sent again. */
  readonly refused: (target: string, reason: string) => void;
}

export interface AuditAnswer {
  readonly status: number;
  readonly message: string;
}

/** kube-apiserver's own limit of a batch is 10 MiB, where it cuts them at all. */
export const AUDIT_BODY = 32 * 1024 * 1024;

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Whether a target's API server calls. */
export function isAuditCaller(
  target: string,
  authorization: string | undefined,
  { tokens }: AuditWebhookOptions,
): boolean {
  const token = tokens.get(target);
  return token !== undefined && timingSafeEqual(digest(authorization ?? ''), digest(`Bearer ${token}`));
}

/** A batch of audit events from a caller that is known. */
export function receiveAudit(target: string, body: string, options: AuditWebhookOptions): AuditAnswer {
  let value: unknown;
  try {
    value = parseStrictJson(body, { file: 'EventList' });
  } catch {
    value = undefined;
  }
  if (value !== undefined && options.received(target, value)) return { status: 200, message: 'taken' };
  options.refused(target, 'a batch is no EventList of audit.k8s.io/v1');
  return { status: 400, message: 'this is no EventList of audit.k8s.io/v1' };
}

/** POST /audit/TARGET: the webhook backend of an API server's audit, authenticated by its token. */
export async function registerAuditWebhook(fastify: FastifyInstance, options: AuditWebhookOptions): Promise<void> {
  await fastify.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', async (_request: FastifyRequest, payload: Readable) => payload);
    scope.post('/audit/:target', { bodyLimit: AUDIT_BODY }, async (request, reply) => {
      const { target } = request.params as { target: string };
      // Before its body is read: strangers may not make us hold anything.
      if (!isAuditCaller(target, request.headers.authorization, options)) {
        void reply.header('connection', 'close');
        return sendProblem(
          reply,
          problem(401, 'unauthenticated', 'this takes the token of the target’s audit webhook'),
        );
      }
      const body = await bodyOf(request.body as Readable);
      if (body === null) {
        options.refused(target, `a batch is larger than ${AUDIT_BODY / 2 ** 20} MiB`);
        void reply.header('connection', 'close');
        return sendProblem(reply, problem(413, 'query-limit', `a batch is at most ${AUDIT_BODY / 2 ** 20} MiB`));
      }
      const { status, message } = receiveAudit(target, body, options);
      return reply.code(status).send({ message });
    });
  });
}

async function bodyOf(payload: Readable): Promise<string | null> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of payload as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > AUDIT_BODY) return null;
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
