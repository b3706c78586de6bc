import { GraphQLError, type ExecutionResult } from 'graphql';
import type { FastifyBaseLogger } from 'fastify';
import { CountersignError, formatPlace, type ErrorCode } from '../errors.js';

interface Formatted {
  readonly statusCode: number;
  readonly response: ExecutionResult;
}

/** HTTP status by code; everything else that a caller can mend is a 400. */
const statuses: Partial<Record<ErrorCode, number>> = {
  'not-found': 404,
  unauthenticated: 401,
  forbidden: 403,
  'too-many-requests': 429,
  'issuer-unavailable': 503,
  'database-unavailable': 503,
  'disk-full': 503,
  internal: 500,
};

export function statusOf(code: ErrorCode): number {
  return statuses[code] ?? 400;
}

/**
 * Errors as clients see them: a code for programs, a message and a remedy for people; never a stack, an SQL text or a path inside
 * the service. What is not one of ours is logged under the request's id and shown as `internal`. Without `suggest` nothing tells what the schema
 * has beside what was asked for.
 */
export function formatErrors(execution: ExecutionResult, log: FastifyBaseLogger, suggest = true): Formatted {
  const expanded = (execution.errors ?? []).flatMap((error) => expand(error));
  const errors = expanded.map((error) => present(error, log, suggest));
  const failed = execution.data === null || execution.data === undefined;
  const status = errors.map((error) => Number(error.extensions['status'])).reduce((a, b) => Math.max(a, b), 200);
  return { statusCode: failed ? status : 200, response: { data: execution.data ?? null, errors } };
}

/** Mercurius packs parse and validation errors into one. */
function expand(error: GraphQLError): GraphQLError[] {
  const packed = (error.originalError as { errors?: unknown } | undefined)?.errors;
  if (!Array.isArray(packed) || packed.length === 0) return [error];
  return packed.slice(0, 20).map((each: unknown) => (each instanceof GraphQLError ? each : invalid(each as Error)));
}

function invalid(error: Error): GraphQLError {
  return new GraphQLError(error.message, { originalError: new CountersignError('query-invalid', error.message) });
}

function present(error: GraphQLError, log: FastifyBaseLogger, suggest: boolean): GraphQLError {
  const { code, message: said, place, remedy, retry } = toOurs(error, log);
  const message = suggest ? said : said.replace(/ Did you mean .*$/s, '');
  const http = (error.originalError as { statusCode?: number } | null)?.statusCode;
  return new GraphQLError(message, {
    nodes: error.nodes,
    source: error.source,
    positions: error.positions,
    path: error.path,
    extensions: {
      code,
      status: http !== undefined && http >= 400 && http < 500 ? http : statusOf(code),
      ...(place && { place: formatPlace(place) }),
      ...(remedy && { remedy }),
      ...(retry && { retry }),
    },
  });
}

function toOurs(error: GraphQLError, log: FastifyBaseLogger): CountersignError {
  const { originalError: original, message } = error;
  if (original instanceof CountersignError && original.code !== 'internal') return original;
  if (message.startsWith('Syntax Error: Document contains more')) {
    return new CountersignError('query-limit', 'the query has too many words', { remedy: 'Ask in several queries' });
  }
  // Without an original, graphql itself refused a query or a value in it.
  if (!original || original instanceof GraphQLError) return new CountersignError('query-invalid', message);
  const status = (original as { statusCode?: number }).statusCode ?? 500;
  if (status === 413) return new CountersignError('query-limit', 'the request is too large');
  if (status < 500) return new CountersignError('query-invalid', message);
  log.error({ err: original }, 'a query failed');
  return new CountersignError('internal', 'something went wrong inside the service', {
    remedy: 'Look into its log for this request',
  });
}
