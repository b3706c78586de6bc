import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  initiateDeviceAuthorization,
  pollDeviceAuthorizationGrant,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import { CountersignError } from '../../errors.js';
import { askIssuer } from './client.js';

/** As what somebody logs in, and where: a public client, which keeps no secret. */
export interface LoginClient {
  readonly issuer: string;
  readonly client: string;
  readonly scope: string;
}

export interface LoggedIn {
  /** The ID token. */
  readonly token: string;
  /** RFC 3339. */
  readonly expires: string;
}

/** Milliseconds in which somebody logs in. */
const PATIENCE = 300_000;

/**
 * The code flow with PKCE by a browser on this machine (RFC 8252): `show` is told where to go. Throws `unauthenticated` if the issuer or the
 * person says no, `issuer-unavailable`.
 */
export async function loginByBrowser(
  where: LoginClient,
  show: (address: string) => void,
  patience = PATIENCE,
): Promise<LoggedIn> {
  const config = await askIssuer(where.issuer, where.client);
  const [verifier, state, nonce] = [randomPKCECodeVerifier(), randomState(), randomNonce()];
  const callback = Promise.withResolvers<URL>();
  const server = createServer((request, response) => {
    const address = new URL(request.url ?? '/', `http://127.0.0.1:${port}`);
    // A page that guesses the port does not know the state, and does not end the waiting.
    const genuine = address.pathname === '/callback' && address.searchParams.get('state') === state;
    response.writeHead(genuine ? 200 : 404, {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
      connection: 'close',
    });
    response.end(genuine ? 'You may close this window and go on in the terminal.\n' : 'There is nothing here.\n');
    if (genuine) callback.resolve(address);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const late = setTimeout(() => callback.reject(new Error(`nobody logged in within ${patience / 60_000} minutes`)), patience); // prettier-ignore
  try {
    const address = buildAuthorizationUrl(config, {
      redirect_uri: `http://127.0.0.1:${port}/callback`,
      scope: where.scope,
      code_challenge: await calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    });
    show(address.href);
    const answer = await callback.promise;
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
    return keepable(await authorizationCodeGrant(config, answer, checks));
  } catch (cause) {
    throw refused(cause);
  } finally {
    clearTimeout(late);
    server.close();
  }
}

/** The device flow (RFC 8628), for a machine without a browser: `show` is told where to go, and what to enter there. */
export async function loginByDevice(
  where: LoginClient,
  show: (address: string, code: string) => void,
): Promise<LoggedIn> {
  const config = await askIssuer(where.issuer, where.client);
  try {
    const begun = await initiateDeviceAuthorization(config, { scope: where.scope });
    show(begun.verification_uri_complete ?? begun.verification_uri, begun.user_code);
    const signal = AbortSignal.timeout(PATIENCE);
    return keepable(await pollDeviceAuthorizationGrant(config, begun, undefined, { signal }));
  } catch (cause) {
    throw refused(cause);
  }
}

function keepable(answer: { id_token?: string; claims(): { exp: number } | undefined }): LoggedIn {
  const claims = answer.claims();
  if (answer.id_token === undefined || !claims) throw new Error('the issuer gave no ID token');
  return { token: answer.id_token, expires: new Date(claims.exp * 1_000).toISOString() };
}

function refused(cause: unknown): CountersignError {
  const { error, error_description: why, message } = cause as Error & { error?: string; error_description?: string };
  return new CountersignError('unauthenticated', `nobody is logged in: ${why ?? error ?? message}`, {
    remedy: 'Try again, or ask whoever runs the issuer whether this client is known there',
    cause,
  });
}
