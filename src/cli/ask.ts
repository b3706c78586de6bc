import { CountersignError } from '../errors.js';

/** Asks a service. Throws `not-found` where none answers, `query-invalid` with its words where it refuses. */
export async function ask<T>(
  url: string,
  query: string,
  variables: Readonly<Record<string, unknown>> = {},
  token?: string,
): Promise<T> {
  let response: Response;
  try {
    response = await fetch(new URL('/graphql', url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.timeout(20_000),
    });
  } catch (cause) {
    throw new CountersignError('not-found', `no service answers at ${url}: ${reasonOf(cause)}`, {
      remedy: 'Name it with --url',
      cause,
    });
  }
  const text = await response.text();
  try {
    const body = JSON.parse(text) as { data?: T; errors?: readonly { message: string }[] };
    if (body.data && !body.errors?.length) return body.data;
    const words = body.errors?.map(({ message }) => message).join('; ') ?? `HTTP ${response.status}`;
    throw new CountersignError('query-invalid', words);
  } catch (cause) {
    throw new CountersignError(
      'not-found',
      `the service at ${url} did not say what waits: ${(cause as Error).message}`,
      {
        remedy: 'Is that address a Countersign service’s, of this version?',
        cause,
      },
    );
  }
}

function reasonOf(cause: unknown): string {
  const error = cause as Error & { cause?: Error };
  return error.cause?.message ?? error.message;
}
