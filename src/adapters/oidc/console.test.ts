import { CONSOLE_SECRET, startIssuer, type TestIssuer } from '../../../test/support/issuer.js';
import { OidcConsole } from './console.js';

let issuer: TestIssuer;
const BACK = 'http://127.0.0.1:4100/login/callback';

beforeAll(async () => {
  issuer = await startIssuer({ console: true });
});
afterAll(() => issuer.close());

const site = (more: object = {}) =>
  new OidcConsole({
    issuer: issuer.url,
    audience: ['of machines'],
    algorithms: ['RS256'],
    login: 'preferred_username',
    groups: 'groups',
    skewMilliseconds: 60_000,
    roles: [],
    console: { client: 'countersign-console', secret: CONSOLE_SECRET, scope: 'openid profile' },
    ...more,
  });

/** To the issuer and back, as somebody with these claims. */
async function through(claims: Record<string, unknown>, by = site()) {
  const { address, ...secrets } = await by.begin(BACK);
  return { address: new URL(address), secrets, back: await issuer.browse(address, 'bo-1', claims) };
}
const bo = { preferred_username: 'bo', groups: ['sre'] };
const said = (work: Promise<unknown>) =>
  work.then(
    () => 'taken',
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  );

describe('signing in with a browser', () => {
  it('goes by code, PKCE, state and nonce, and ends with who somebody is', async () => {
    const { address, secrets, back } = await through(bo);
    expect(Object.fromEntries(address.searchParams)).toMatchObject({
      response_type: 'code',
      code_challenge_method: 'S256',
      redirect_uri: BACK,
      state: secrets.state,
      nonce: secrets.nonce,
    });
    expect(address.href).not.toContain(secrets.verifier);
    expect(await site().finish(back, secrets)).toEqual({ login: 'bo', groups: ['sre'] });
    // A code is good once.
    expect(await said(site().finish(back, secrets))).toBe('unauthenticated: nobody is signed in: invalid_grant');
  });

  it('is refused where state, nonce, verifier, issuer or client are not those of the beginning', async () => {
    const refusedWith = async (change: (back: URL, secrets: Record<string, string>) => void, by?: OidcConsole) => {
      const { secrets, back } = await through(bo, by);
      const [address, changed] = [new URL(back), { ...secrets }];
      change(address, changed);
      return said((by ?? site()).finish(address.href, changed));
    };
    expect(await refusedWith((_, secrets) => (secrets['state'] = 'another'))).toContain('state');
    expect(await refusedWith((_, secrets) => (secrets['nonce'] = 'another'))).toContain('nonce');
    expect(await refusedWith((_, secrets) => (secrets['verifier'] = 'a'.repeat(43)))).toContain('invalid_grant');
    expect(await refusedWith((back) => back.searchParams.set('code', 'guessed'))).toContain('invalid_grant');
    expect(await refusedWith((back) => back.searchParams.set('iss', 'https://evil.example.org'))).toContain('iss');
    expect(await refusedWith((back) => back.searchParams.delete('code'))).toMatch(/^unauthenticated/);
    const wrong = site({ console: { client: 'countersign-console', secret: 'wrong', scope: 'openid profile' } });
    expect(await refusedWith(() => {}, wrong)).toContain('does not take this service');
    // Signed with an algorithm that is not taken here, though it is the issuer's own.
    expect(await refusedWith(() => {}, site({ algorithms: ['ES256'] }))).toContain('algorithm that is not taken');
  });

  it('is refused to whom the issuer does not name, or with too many groups to name', async () => {
    const named = async (claims: Record<string, unknown>, by = site()) => {
      const { secrets, back } = await through(claims, by);
      return said(by.finish(back, secrets));
    };
    expect(await named({ groups: ['sre'] })).toContain('"preferred_username"');
    expect(await named({ preferred_username: 'bo', groups: 'sre' })).toContain('no list of groups');
    const elsewhere = site({ groups: 'acr', login: 'sub' });
    expect(await named({}, elsewhere)).toBe('taken');
  });

  it('ends where the issuer ends it, and waits for one that is away', async () => {
    const end = new URL((await site().endAddress('http://127.0.0.1:4100/'))!);
    expect(end.href).toMatch(`${issuer.url}/session/end?`);
    expect(Object.fromEntries(end.searchParams)).toEqual({
      client_id: 'countersign-console',
      post_logout_redirect_uri: 'http://127.0.0.1:4100/',
    });
    const waiting = site();
    issuer.away = true;
    expect(await said(waiting.begin(BACK))).toMatch(/^issuer-unavailable: .* cannot be asked/);
    expect(await waiting.endAddress('http://127.0.0.1:4100/')).toBeNull();
    issuer.away = false;
    expect(await said(waiting.begin(BACK))).toBe('taken');
  });
});
