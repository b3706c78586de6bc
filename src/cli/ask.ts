import { CountersignError } from '../errors.js';
import { keptToken } from './login/kept.js';

const noSuchService = { remedy: 'Is that address a Countersign service’s, of this version?' };

let given: string | undefined;

/** What `--token` says: it is sent with everything that this command asks. */
export function useToken(token: string | undefined): void {
  given = token;
}

/** Who we are to the service there: what `--token` says, else COUNTERSIGN_TOKEN, else what `countersign login` keeps for it. */
async function credentials(address: URL, token: string | undefined): Promise<{ authorization?: string }> {
  const known = token ?? given ?? (process.env['COUNTERSIGN_TOKEN'] || undefined) ?? (await keptToken(address));
  if (known === undefined) return {};
  if (!/^[\x21-\x7e]+$/.test(known)) throw new CountersignError('usage', 'the token holds what no token holds');
  if (address.protocol === 'http:' && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(address.hostname)) {
    throw new CountersignError('usage', `a token is not sent to ${address.origin}: anybody between could read it`, {
      remedy: 'Name an https:// address with --url',
    });
  }
  return { authorization: `Bearer ${known}` };
}

/** Throws `not-found` where nothing answers at the address, `usage` where a token would be read by others. */
export async function reach(address: URL, request: RequestInit = {}, token?: string): Promise<Response> {
  const headers = {
    ...(request.headers as Record<string, string> | undefined),
    ...(await credentials(address, token)),
  };
  try {
    // A token goes where it was meant to go, and nowhere that an answer points to.
    return await fetch(address, { ...request, headers, redirect: 'error' });
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

export function notKnown(words: string): CountersignError {
  return new CountersignError('unauthenticated', words || 'this takes a token', {
    remedy: 'Run countersign login, or give a token with COUNTERSIGN_TOKEN or --token',
  });
}

/**
 * Asks a service. Throws `not-found` where none answers, `unauthenticated` where it wants a
 * (better) token, `query-invalid` with its words where it refuses.
 */
export async function ask<T>(
  url: string,
  query: string,
  variables: Readonly<Record<string, unknown>> = {},
  token?: string,
): Promise<T> {
  const address = new URL('/graphql', url);
  const response = await reach(
    address,
    {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.timeout(20_000),
    },
    token,
  );
  const { data, errors = [] } = await jsonOf<{ data?: T; errors?: readonly { message: string }[] }>(response, address);
  if (data && errors.length === 0) return data;
  const words = errors.map(({ message }) => message).join('; ');
  if (response.status === 401) throw notKnown(words);
  throw new CountersignError('query-invalid', words || `${address.origin} answers ${response.status}`);
}
