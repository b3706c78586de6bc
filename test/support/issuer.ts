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
  /** Goes where the issuer sends a browser, as this person: to the address that it ends at, on another server. */
  browse(address: string, login: string, claims: Record<string, unknown>): Promise<string>;
  /** What it says of whoever logs in from now on. */
  claims(claims: Record<string, unknown>): void;
  away: boolean;
  close(): Promise<void>;
}

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

/** Of the client `countersign-console`. */
export const CONSOLE_SECRET = 'a secret: of 100% the console+';

/** A real OpenID provider on loopback (npm oidc-provider). */
export async function startIssuer(
  client: { redirects?: string[]; cli?: boolean; console?: boolean } = {},
): Promise<TestIssuer> {
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
                    grant_types: ['authorization_code', DEVICE],
                    redirect_uris: ['http://127.0.0.1/callback'],
                    response_types: ['code' as const],
                  },
                ]
              : []),
            ...(client.console
              ? [
                  {
                    client_id: 'countersign-console',
                    client_secret: CONSOLE_SECRET,
                    // On loopback any port is good for a native one.
                    application_type: 'native' as const,
                    grant_types: ['authorization_code'],
                    redirect_uris: ['http://127.0.0.1/login/callback'],
                    post_logout_redirect_uris: ['http://127.0.0.1/'],
                    response_types: ['code' as const],
                  },
                ]
              : []),
          ],
          cookies: { keys: ['of a test'] },
          ttl: {
            Interaction: 600,
            Session: 600,
            Grant: 600,
            AccessToken: 600,
            IdToken: 600,
            ClientCredentials: 600,
            DeviceCode: 600,
          },
          claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email', 'email_verified'] },
          conformIdTokenClaims: false,
          pkce: { required: () => true },
          findAccount: (_context: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id, ...claims }) }),
          extraTokenClaims: () => claims,
          features: {
            clientCredentials: { enabled: true },
            rpInitiatedLogout: { logoutSource },
            devInteractions: { enabled: true },
            deviceFlow: { enabled: client.cli === true, successSource },
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
    claims: (given: Record<string, unknown>) => void (claims = given),
    browse: async (address: string, login: string, given: Record<string, unknown>) => {
      claims = given;
      return browse(address, url, login);
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function successSource(context: { body: string }): void {
  context.body = '<!doctype html><title>Signed in</title>';
}

function logoutSource(context: { body: string }, form: string): void {
  context.body = `<!doctype html><title>Sign out</title>${form}<button form="op.logoutForm" name="logout" value="yes">Yes</button>`;
}

/** A browser with cookies and no more, that logs in and agrees to everything. */
async function browse(first: string, home: string, login: string): Promise<string> {
  const cookies = new Map<string, string>();
  let [address, form]: [string, URLSearchParams | null] = [first, null];
  for (let steps = 0; steps < 20; steps++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(address, { redirect: 'manual', headers: { cookie }, ...(form ? { method: 'POST', body: form } : {}) }); // prettier-ignore
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(';', 1)[0].split('=', 2);
      cookies.set(name, value);
    }
    form = null;
    const to = response.headers.get('location');
    if (to !== null) {
      address = new URL(to, address).href;
      if (!address.startsWith(home)) return address;
      continue;
    }
    const page = await response.text();
    const action = /<form[^>]* action="([^"]+)"/.exec(page)?.[1];
    // Where a device is allowed in, it ends on the issuer's own page.
    if (action === undefined && response.status === 200) return address;
    if (action === undefined)
      throw new Error(`no form: ${response.status} ${page.replace(/<style>.*?<\/style>|<[^>]*>/gs, ' ').trim()}`);
    address = new URL(action, address).href;
    const hidden = page.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)"/g);
    form = new URLSearchParams([...hidden].map(([, name, value]): [string, string] => [name, value]));
    if (form.get('prompt') === 'login') Object.entries({ login, password: 'any' }).forEach(([k, v]) => form!.set(k, v));
    if (form.has('user_code')) form.set('confirm', 'yes');
  }
  throw new Error('it goes round in circles');
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
