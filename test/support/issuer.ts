import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type CryptoKey, SignJWT, type JWTPayload } from 'jose';
import { Provider } from 'oidc-provider';

export interface TestIssuer {
  readonly url: string;
  /** A JWT access token for the audience, by client credentials, with these claims. */
  token(claims: Record<string, unknown>, audience?: string): Promise<string>;
  /** Signs what it likes with the issuer's own key, as no well-behaved issuer would. */
  sign(claims: JWTPayload, header?: { alg?: string; kid?: string }): Promise<string>;
  /** From now on it signs with another key, and shows that alone. */
  rotate(): Promise<void>;
  /** Requests that it got, by path. */
  readonly asked: string[];
  away: boolean;
  close(): Promise<void>;
}

/** A real OpenID provider on loopback (npm oidc-provider). */
export async function startIssuer(client: { redirects?: string[]; cli?: boolean } = {}): Promise<TestIssuer> {
  const asked: string[] = [];
  let claims: Record<string, unknown> = {};
  let key: { readonly private: CryptoKey; readonly kid: string };
  let handle: (request: IncomingMessage, response: ServerResponse) => unknown;
  const issuer = { away: false };
  const server = createServer((request, response) => {
    asked.push(new URL(request.url ?? '/', 'http://x').pathname);
    if (issuer.away) response.writeHead(503).end();
    else void handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let number = 0;
  const rotate = async (): Promise<void> => {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    const kid = `key-${++number}`;
    key = { private: privateKey, kid };
    const jwk = await exportJWK(privateKey);
    const provider = quietly(
      () =>
        new Provider(url, {
          jwks: { keys: [{ ...jwk, kid, use: 'sig', alg: 'RS256' }] },
          clients: [
            {
              client_id: 'countersign',
              client_secret: 'a secret of the console',
              grant_types: ['client_credentials', 'authorization_code'],
              redirect_uris: client.redirects ?? [],
              response_types: (client.redirects ?? []).length > 0 ? ['code'] : [],
            },
            ...(client.cli
              ? [
                  {
                    client_id: 'countersign-cli',
                    application_type: 'native' as const,
                    token_endpoint_auth_method: 'none' as const,
                    grant_types: ['authorization_code'],
                    redirect_uris: ['http://127.0.0.1/callback'],
                    response_types: ['code' as const],
                  },
                ]
              : []),
          ],
          cookies: { keys: ['of a test'] },
          claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email', 'email_verified'] },
          conformIdTokenClaims: false,
          pkce: { required: () => true },
          findAccount: (_context: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id, ...claims }) }),
          extraTokenClaims: () => claims,
          features: {
            clientCredentials: { enabled: true },
            devInteractions: { enabled: true },
            resourceIndicators: {
              enabled: true,
              getResourceServerInfo: (_context: unknown, audience: string) => ({
                scope: 'read',
                audience,
                accessTokenFormat: 'jwt',
                jwt: { sign: { alg: 'RS256' } },
              }),
            },
          },
        }),
    );
    handle = provider.callback();
  };
  await rotate();
  return Object.assign(issuer, {
    url,
    asked,
    rotate,
    token: async (given: Record<string, unknown>, audience = 'https://countersign.example.org') => {
      claims = given;
      const response = await fetch(`${url}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from('countersign:a+secret+of+the+console').toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience, scope: 'read' }),
      });
      const { access_token: token, ...rest } = (await response.json()) as { access_token?: string };
      if (!token) throw new Error(`no token: ${JSON.stringify(rest)}`);
      return token;
    },
    sign: (payload: JWTPayload, header: { alg?: string; kid?: string } = {}) =>
      new SignJWT({ iss: url, aud: 'https://countersign.example.org', sub: 'bo', groups: ['sre'], ...payload })
        .setProtectedHeader({ alg: 'RS256', kid: key.kid, ...header })
        .setIssuedAt(payload.iat)
        .setExpirationTime(payload.exp ?? '5m')
        .sign(key.private),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

/** It warns of what makes it a test's. */
function quietly<T>(work: () => T): T {
  const { warn, info } = console;
  Object.assign(console, { warn: () => undefined, info: () => undefined });
  try {
    return work();
  } finally {
    Object.assign(console, { warn, info });
  }
}
