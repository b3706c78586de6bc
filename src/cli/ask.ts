import { CountersignError } from '../errors.js';

const noSuchService = { remedy: 'Is that address a Countersign service’s, of this version?' };

/** Throws `not-found` where nothing answers at the address. */
export async function reach(address: URL, request: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(address, request);
  } catch (thrown) {
    const cause = thrown as Error & { cause?: Error };
    const reason = cause.cause?.message ?? cause.message;
    throw new CountersignError('not-found', `no service answers at ${address.origin}: ${reason}`, {
      remedy: 'Name it with --url',
      cause,
    });
  }
}

/** Throws `not-found` where it is not JSON. */
export async function jsonOf<T>(response: Response, address: URL): Promise<T> {
  const text = await response.text();
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new CountersignError('not-found', `${address.origin} answers ${response.status}, and no JSON`, noSuchService);
  }
}

/** Asks a service. Throws `not-found` where none answers, `query-invalid` with its words where it refuses. */
export async function ask<T>(
  url: string,
  query: string,
  variables: Readonly<Record<string, unknown>> = {},
  token?: string,
): Promise<T> {
  const address = new URL('/graphql', url);
  const response = await reach(address, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(20_000),
  });
  const { data, errors = [] } = await jsonOf<{ data?: T; errors?: readonly { message: string }[] }>(response, address);
  if (data && errors.length === 0) return data;
  const words = errors.map(({ message }) => message).join('; ');
  throw new CountersignError('query-invalid', words || `${address.origin} answers ${response.status}`);
}
