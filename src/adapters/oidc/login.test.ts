import { decodeJwt } from 'jose';
import { startIssuer, type TestIssuer } from '../../../test/support/issuer.js';
import { OidcBearer } from './bearer.js';
import { loginByBrowser, loginByDevice } from './login.js';

let issuer: TestIssuer;

beforeAll(async () => {
  issuer = await startIssuer({ cli: true });
});
afterAll(() => issuer.close());

const where = () => ({ issuer: issuer.url, client: 'countersign-cli', scope: 'openid profile' });
const shown = () => Promise.withResolvers<string>();

describe('countersign login', () => {
  it('gives a token by which the service knows who somebody is', async () => {
    const address = shown();
    const login = loginByBrowser(where(), address.resolve);
    const asked = new URL(await address.promise);
    expect(Object.fromEntries(asked.searchParams)).toMatchObject({
      code_challenge_method: 'S256',
      response_type: 'code',
    });
    const back = await issuer.browse(asked.href, 'bo', { preferred_username: 'bo', groups: ['sre'] });
    // Pages that guess the port do not end it, whatever they bring.
    const { origin } = new URL(back);
    expect((await fetch(`${origin}/callback?code=x&state=guessed`)).status).toBe(404);
    expect((await fetch(`${origin}/`)).status).toBe(404);
    expect((await fetch(back)).status).toBe(200);
    const { token, expires } = await login;
    const bearer = new OidcBearer({
      issuer: issuer.url,
      audience: ['countersign-cli'],
      algorithms: ['RS256'],
      login: 'preferred_username',
      groups: 'groups',
      skewMilliseconds: 60_000,
      roles: [{ group: 'sre', role: 'operator', repositories: ['*'], environments: ['*'] }],
    });
    expect(await bearer.verify(token)).toMatchObject({ login: 'bo', roles: [{ role: 'operator' }], expires });
  });

  it('is over when the issuer says no, or nobody comes', async () => {
    const address = shown();
    const login = loginByBrowser(where(), address.resolve);
    const asked = new URL(await address.promise);
    const back = new URL(asked.searchParams.get('redirect_uri')!);
    back.search = new URLSearchParams({ error: 'access_denied', state: asked.searchParams.get('state')!, iss: issuer.url }).toString(); // prettier-ignore
    const outcome = login.catch((error: { code: string; message: string }) => error);
    await fetch(back);
    expect(await outcome).toMatchObject({ code: 'unauthenticated', message: 'nobody is logged in: access_denied' });
    await expect(loginByBrowser(where(), () => undefined, 10)).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(loginByBrowser({ ...where(), issuer: 'http://127.0.0.1:1' }, () => undefined)).rejects.toMatchObject({
      code: 'issuer-unavailable',
    });
  });

  it('works from a machine without a browser, by a code that is entered on another', async () => {
    const shownThere = Promise.withResolvers<{ address: string; code: string }>();
    const login = loginByDevice(where(), (address, code) => shownThere.resolve({ address, code }));
    const { address, code } = await shownThere.promise;
    expect([new URL(address).pathname, code]).toEqual(['/device', expect.stringMatching(/^[A-Z]{4}-[A-Z]{4}$/)]);
    await issuer.browse(address, 'bo', { preferred_username: 'bo', groups: ['sre'] });
    const { token, expires } = await login;
    expect(decodeJwt(token)).toMatchObject({ aud: 'countersign-cli', preferred_username: 'bo', groups: ['sre'] });
    expect(Date.parse(expires)).toBe(decodeJwt(token).exp! * 1_000);
  }, 30_000);

  it('tells whom an issuer without a device flow has', async () => {
    const plain = await startIssuer();
    const login = loginByDevice({ ...where(), issuer: plain.url }, () => undefined);
    await expect(login).rejects.toMatchObject({ code: 'unauthenticated', message: expect.stringMatching(/device/) });
    await plain.close();
  });
});
