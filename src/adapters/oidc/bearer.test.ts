import { createHmac } from 'node:crypto';
import { base64url, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { startIssuer, type TestIssuer } from '../../../test/support/issuer.js';
import { OidcBearer } from './bearer.js';

const AUDIENCE = 'https://countersign.example.org';
let issuer: TestIssuer;
let bearer: OidcBearer;

const options = () => ({
  issuer: issuer.url,
  audience: [AUDIENCE],
  algorithms: ['RS256', 'ES256'],
  login: 'sub',
  groups: 'groups',
  skewMilliseconds: 60_000,
  cooldown: 0,
  roles: [{ group: 'sre', role: 'operator' as const, repositories: ['shop'], environments: ['*'] }],
});

beforeAll(async () => {
  issuer = await startIssuer();
  bearer = new OidcBearer(options());
});
afterAll(() => issuer.close());

const now = (): number => Math.floor(Date.now() / 1_000);
const refused = (token: string) => bearer.verify(token).then(() => null, (error: { code: string; message: string }) => `${error.code}: ${error.message}`); // prettier-ignore

describe('a token of an OpenID Connect issuer', () => {
  it('says who somebody is, and their groups give them roles', async () => {
    const token = await issuer.token({ groups: ['sre', 'staff'] });
    expect(await bearer.verify(token)).toEqual({
      token: 'oidc',
      login: 'countersign',
      roles: [{ role: 'operator', repositories: ['shop'], environments: ['*'] }],
      expires: expect.stringMatching(/Z$/),
    });
  });

  it('is forbidden where no group of it has a role', async () => {
    expect(await refused(await issuer.token({ groups: ['staff'] }))).toMatch(/^forbidden: none of the groups/);
    expect(await refused(await issuer.token({}))).toMatch(/^forbidden/);
  });

  it('is checked for what it says', async () => {
    expect(await refused(await issuer.token({ groups: ['sre'] }, 'https://other.example.org'))).toMatch(
      'another audience',
    );
    expect(await refused(await issuer.sign({ iss: 'https://evil.example.org' }))).toMatch('another issuer');
    expect(await refused(await issuer.sign({ iss: `${issuer.url}/` }))).toMatch('another issuer');
    expect(await refused(await issuer.sign({ exp: now() - 120 }))).toMatch('it expired');
    expect(await refused(await issuer.sign({ nbf: now() + 120 }))).toMatch('does not count yet');
    expect(await refused(await issuer.sign({ aud: [AUDIENCE, 'other'], azp: 'other' }))).toMatch('another client');
    expect(await refused(await issuer.sign({ sub: 'two words' }))).toMatch('is no login');
    expect(await refused(await issuer.sign({ groups: 'sre' }))).toMatch('no list of groups');
    // Clocks differ.
    expect(await refused(await issuer.sign({ exp: now() - 30 }))).toBeNull();
    expect(await refused(await issuer.sign({ nbf: now() + 30 }))).toBeNull();
  });

  it('is signed by its issuer, with an algorithm that only it can use', async () => {
    const claims = { iss: issuer.url, aud: AUDIENCE, sub: 'eve', groups: ['sre'], exp: now() + 60, iat: now() };
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
    const foreign = (header: object) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'RS256', ...header }).sign(privateKey);
    expect(await refused(await foreign({ kid: 'key-1' }))).toMatch('its signature is wrong');
    expect(await refused(await foreign({ kid: 'key-unknown' }))).toMatch('no such key');
    // Keys that the token itself brings are not looked at.
    expect(await refused(await foreign({ kid: 'key-1', jwk: await exportJWK(publicKey) }))).toMatch(
      'signature is wrong',
    );
    expect(await refused(await foreign({ kid: 'key-1', jku: 'http://evil.example.org/jwks' }))).toMatch(
      'signature is wrong',
    );
    expect(await refused(new UnsecuredJWT(claims).encode())).toMatch('algorithm that is not taken');
    // The public key as if it were a shared secret.
    const head = base64url.encode(JSON.stringify({ alg: 'HS256', kid: 'key-1' }));
    const body = base64url.encode(JSON.stringify(claims));
    const { keys } = (await (await fetch(`${issuer.url}/jwks`)).json()) as { keys: object[] };
    const mac = createHmac('sha256', JSON.stringify(keys[0])).update(`${head}.${body}`).digest('base64url');
    expect(await refused(`${head}.${body}.${mac}`)).toMatch('algorithm that is not taken');
    const [given, , signature] = (await issuer.sign({})).split('.');
    expect(await refused(`${given}.${body}.${signature}`)).toMatch('its signature is wrong');
    expect(await refused('a.b.c')).toMatch(/no signed token/);
  });

  it('does not pass for one without groups where it has too many to name', async () => {
    const azure = { groups: undefined, _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'https://graph.example.org' } } }; // prettier-ignore
    expect(await refused(await issuer.sign(azure))).toMatch('too many groups');
    expect(await refused(await issuer.sign({ groups: undefined, hasgroups: true }))).toMatch('too many groups');
    expect(await refused(await issuer.sign({ _claim_names: { address: 'src1' } }))).toBeNull();
  });

  it('logs in by an address only if its issuer has verified it', async () => {
    const byEmail = new OidcBearer({ ...options(), login: 'email' });
    const email = 'bo@example.org';
    await expect(byEmail.verify(await issuer.sign({ email }))).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(byEmail.verify(await issuer.sign({ email, email_verified: 'true' }))).rejects.toThrow('not verified');
    expect((await byEmail.verify(await issuer.sign({ email, email_verified: true }))).login).toBe(email);
  });

  it('is good under a new key at once, and under the old one no longer than that is shown', async () => {
    const old = await issuer.sign({});
    await issuer.rotate();
    expect(await refused(await issuer.sign({}))).toBeNull();
    expect(await refused(old)).toMatch('no such key');
  });

  it('waits where the issuer is away, and goes on with the keys that are known', async () => {
    const token = await issuer.sign({});
    issuer.away = true;
    expect(await refused(token)).toBeNull();
    const fresh = new OidcBearer(options());
    expect(await fresh.verify(token).catch((error: { code: string }) => error.code)).toBe('issuer-unavailable');
    issuer.away = false;
    const strange = new OidcBearer({ ...options(), issuer: issuer.url.replace('127.0.0.1', 'localhost') });
    await expect(strange.verify(token)).rejects.toThrow('it calls itself');
  });
});
