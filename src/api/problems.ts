import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { STATUS_CODES } from 'node:http';
import { CountersignError, toCountersignError } from '../errors.js';
import { statusOf } from './graphql-errors.js';

/** RFC 9457. */
export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly remedy?: string;
  readonly [extension: string]: unknown;
}

/** Every HTTP error as problem details; nothing of an unexpected one but that it is in the log. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(thrown: unknown, host: ArgumentsHost): void {
    // GraphQL has errors of its own (graphql-errors.ts).
    if (host.getType<string>() === 'graphql') throw thrown;
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const problem = toProblem(thrown);
    if (problem.status >= 500) request.log.error({ err: thrown }, 'a request failed');
    sendProblem(host.switchToHttp().getResponse<FastifyReply>(), problem);
  }
}

export function sendProblem(reply: FastifyReply, problem: Problem): void {
  void reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

export function problem(status: number, code: string, detail: string, more: Record<string, unknown> = {}): Problem {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, code, ...more };
}

function toProblem(thrown: unknown): Problem {
  if (thrown instanceof CountersignError && thrown.code !== 'internal') {
    return problem(statusOf(thrown.code), thrown.code, thrown.message, thrown.remedy ? { remedy: thrown.remedy } : {});
  }
  const status = thrown instanceof HttpException ? thrown.getStatus() : (thrown as { statusCode?: number }).statusCode;
  if (status === 404) return problem(404, 'not-found', 'there is nothing at this address');
  if (status === 413) return problem(413, 'query-limit', 'the request is too large');
  if (status !== undefined && status >= 400 && status < 500) {
    return problem(status, 'query-invalid', toCountersignError(thrown).message);
  }
  return problem(500, 'internal', 'something went wrong inside the service', {
    remedy: 'Look into its log for this request',
  });
}
