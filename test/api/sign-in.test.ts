import type { Browser } from 'playwright-core';
import { OidcConsole } from '../../src/adapters/oidc/console.js';
import { contentOfEntry } from '../../src/adapters/postgres/content-store.js';
import { PostgresSessions } from '../../src/adapters/postgres/sessions.js';
import { type KnownToken, tokenDigest } from '../../src/review/token.js';
import { clock, startApi, type TestApi, testRules, testSignIn } from '../support/api.js';
import { openBrowser } from '../support/browser.js';
import { CONSOLE_SECRET, startIssuer, type TestIssuer } from '../support/issuer.js';
import { seedShop } from '../support/shop.js';

let issuer: TestIssuer;
let api: TestApi;
let console: () => OidcConsole;

const token = (name: string, role: KnownToken['role']): KnownToken => {
  const all = { repositories: ['*'], environments: ['*'], expires: '2099-01-01T00:00:00Z' };
  return { name, login: name, role, sha256: tokenDigest(`cs_${name}`), ...all };
};

beforeAll(async () => {
  issuer = await startIssuer({ console: true });
  const client = { client: 'countersign-console', secret: CONSOLE_SECRET, scope: 'openid profile' };
  const options = { issuer: issuer.url, audience: ['machines'], algorithms: ['RS256'], skewMilliseconds: 60_000 };
  console = () => new OidcConsole({ ...options, ...testRules, console: client });
  api = await startApi({
    anonymous: false,
    tokens: [token('auditor', 'auditor'), token('administrator', 'administrator')],
    issuer: console(),
  });
  await seedShop(api, 3);
}, 120_000);
afterAll(async () => {
  await api.close();
  await issuer.close();
});

/** A browser of the least kind: it keeps cookies and goes nowhere by itself. */
class Person {
  readonly cookies = new Map<string, string>();

  async get(path: string, headers: Record<string, string> = {}, method = 'GET', body?: string): Promise<Response> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const ask = () =>
      fetch(new URL(path, api.url), {
        method,
        redirect: 'manual',
        headers: { ...(cookie === '' ? {} : { cookie }), ...headers },
        ...(body === undefined ? {} : { body }),
      });
    let response = await ask();
    // All of them come from one address, whose sign-ins are counted: a fast machine waits its turn.
    while (response.status === 429) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      response = await ask();
    }
    for (const line of response.headers.getSetCookie()) {
      if (!/; Path=\/; HttpOnly; SameSite=Lax; Max-Age=\d+$/.test(line))
        throw new Error(`a cookie that goes too far: ${line}`);
      const [name, value] = line.split(';', 1)[0].split('=', 2);
      if (value === '') this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return response;
  }

  async session(): Promise<{ login: string | null; csrf: string | null; roles: { role: string }[]; expires: string }> {
    return (await (await this.get('/session')).json()) as never;
  }

  /** To the issuer and back; the answer of the callback. */
  async signIn(login: string, groups: unknown, path = '/login'): Promise<Response> {
    const away = await this.get(path);
    return this.get(await issuer.browse(away.headers.get('location')!, login, { preferred_username: login, groups }));
  }

  async post(path: string, body: object | undefined, headers: Record<string, string> = {}): Promise<Response> {
    const { csrf } = await this.session();
    const own = { origin: api.url, ...(csrf === null ? {} : { 'x-countersign-csrf': csrf }) };
    if (body === undefined) return this.get(path, { ...own, ...headers }, 'POST');
    return this.get(path, { ...own, 'content-type': 'application/json', ...headers }, 'POST', JSON.stringify(body));
  }

  async ask(query: string): Promise<any> {
    return (await this.post('/graphql', { query })).json();
  }
}

async function signedIn(login: string, groups: readonly string[]): Promise<Person> {
  const person = new Person();
  const { status } = await person.signIn(login, groups);
  if (status !== 200) throw new Error(`the sign-in ended with ${status}`);
  return person;
}

/** What the log has of access since it had so many entries of that. */
async function logged(since = 0): Promise<{ predicate: Record<string, string>; asked: Record<string, string> }[]> {
  const query = '{ entries(first: 500, filter: {type: [access]}) { nodes { index predicate } } }';
  const { data } = await api.query<any>(query, {}, 'cs_auditor');
  const nodes: { index: number; predicate: Record<string, string> }[] = data.entries.nodes.slice(since);
  return Promise.all(
    nodes.map(async ({ index, predicate }) => {
      const asked = await contentOfEntry(api.dataSource.manager, index, 'asked');
      return { predicate, asked: JSON.parse(asked.toString('utf8')) as Record<string, string> };
    }),
  );
}

describe('signing in with a browser', () => {
  it('gives a session with the roles of one’s groups, and the service is told who asks', async () => {
    const before = (await logged()).length;
    const bo = new Person();
    expect(await bo.session()).toMatchObject({ login: null, roles: [], csrf: null, signIn: '/login' });
    const back = await bo.signIn('bo', ['shop', 'staff'], '/login?to=/session');
    expect(await back.text()).toContain('content="0;url=/session"');
    // What was for the way there is gone; what is left opens the session and is nowhere in the database.
    const [[name, secret], ...others] = [...bo.cookies];
    expect([name, others]).toEqual(['countersign-session', []]);
    expect(secret).toMatch(/^[\w-]{43}$/);
    expect(JSON.stringify(await api.dataSource.query('SELECT * FROM session'))).not.toContain(secret);
    expect(await bo.session()).toMatchObject({ login: 'bo', by: 'session', roles: [{ role: 'developer' }] });
    expect(await bo.ask('{ repositories { name } }')).toEqual({ data: { repositories: [{ name: 'shop' }] } });
    expect((await bo.ask('{ targets { name } }')).errors[0].extensions.code).toBe('forbidden');
    const [entry] = await logged(before);
    const { predicate, asked } = entry;
    expect(predicate).toMatchObject({ action: 'sign-in', outcome: 'granted', token: 'session' });
    expect(asked).toEqual({ login: 'bo' });
    expect(JSON.stringify(predicate)).not.toContain('bo');
  });

  it('rotates the session each time, and sign-out ends it there and at the issuer', async () => {
    const bo = await signedIn('bo', ['shop']);
    const first = new Person();
    first.cookies.set('countersign-session', bo.cookies.get('countersign-session')!);
    await bo.signIn('bo', ['shop']);
    expect(bo.cookies.get('countersign-session')).not.toBe(first.cookies.get('countersign-session'));
    expect((await first.session()).login).toBeNull();
    const copy = new Person();
    copy.cookies.set('countersign-session', bo.cookies.get('countersign-session')!);
    const out = await bo.post('/logout', undefined);
    expect(await out.json()).toEqual({ to: expect.stringMatching(`^${issuer.url}/session/end\\?`) });
    expect(bo.cookies.size).toBe(0);
    expect((await copy.session()).login).toBeNull();
    expect(await last()).toMatchObject({ predicate: { action: 'sign-out' }, asked: { login: 'bo' } });
  });

  it('ends when nobody uses it, and at last anyway', async () => {
    const real = clock.now;
    const start = Date.now();
    const at = (minutes: number) => (clock.now = () => new Date(start + minutes * 60_000));
    const bo = await signedIn('bo', ['shop']);
    try {
      at(59);
      expect((await bo.session()).login).toBe('bo');
      at(59 + 59);
      expect((await bo.session()).login).toBe('bo');
      at(59 + 59 + 61);
      expect((await bo.session()).login).toBeNull();
      at(0);
      const busy = await signedIn('bo', ['shop']);
      for (let minutes = 0; minutes < 719; minutes += 50) {
        at(minutes);
        expect((await busy.session()).login).toBe('bo');
      }
      at(720);
      expect((await busy.session()).login).toBeNull();
      expect((await busy.get('/graphql', {}, 'POST', '{}')).status).toBe(401);
    } finally {
      clock.now = real;
    }
  });

  it('is ended by an administrator, who sees who is signed in', async () => {
    const [bo, too, cy] = [
      await signedIn('bo', ['shop']),
      await signedIn('bo', ['shop']),
      await signedIn('cy', ['sre']),
    ];
    const list = await api.query<any>('{ sessions { login startedAt seenAt endsAt id } }', {}, 'cs_auditor');
    expect(list.data.sessions.filter(({ login }: any) => login === 'bo').length).toBeGreaterThanOrEqual(2);
    const end = 'mutation { endSessions(login: "bo") }';
    expect((await api.query(end, {}, 'cs_auditor')).errors[0].extensions['code']).toBe('forbidden');
    const ended = await api.query<any>(end, {}, 'cs_administrator');
    expect(ended.data.endSessions).toBeGreaterThanOrEqual(2);
    expect([(await bo.session()).login, (await too.session()).login, (await cy.session()).login]).toEqual([
      null,
      null,
      'cy',
    ]);
    expect(await last()).toMatchObject({
      predicate: { action: 'endSessions' },
      asked: { login: 'administrator', of: 'bo' },
    });
  });
});

const last = async () => (await logged()).at(-1);

it('a sign-in that is begun at one instance is finished at another, counts at a third, and ends for all of them', async () => {
  const told: string[] = [];
  const log = {
    session: ({ action }: { readonly action: string }) => Promise.resolve(void told.push(action)),
    refused: ({ message }: { readonly message: string }) => Promise.resolve(void told.push(message)),
  };
  // All that they share is the database: a load balancer may send a browser anywhere.
  const instance = () => testSignIn(console(), new PostgresSessions(api.dataSource), log);
  const { address, ...secrets } = await instance().begin(`${api.url}/login/callback`);
  const back = await issuer.browse(address, 'bo', { preferred_username: 'bo', groups: ['shop'] });
  const secret = await instance().finish(new URL(back, api.url).href, secrets, null);
  expect(await instance().authorityOf(secret)).toMatchObject({ login: 'bo' });
  await instance().end(secret, api.url);
  expect(await instance().authorityOf(secret)).toBeNull();
  expect(told).toEqual(['sign-in', 'sign-out']);
});

describe('a sign-in is refused, and that is in the log,', () => {
  it('without a group that has a role, with too many to name, and without a name', async () => {
    const none = await new Person().signIn('eve', ['staff']);
    expect([none.status, await none.text()]).toEqual([403, expect.stringContaining('none of the groups of eve')]);
    expect(await last()).toMatchObject({
      predicate: { action: 'sign-in', outcome: 'refused', code: 'out-of-scope' },
      asked: { login: 'eve' },
    });
    const eve = new Person();
    const away = (await eve.get('/login')).headers.get('location')!;
    const many = { preferred_username: 'eve', _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'https://graph.example.org' } } }; // prettier-ignore
    const overflow = await eve.get(await issuer.browse(away, 'eve', many));
    const text = await overflow.text();
    expect([overflow.status, text]).toEqual([401, expect.stringContaining('too many groups to name them')]);
    expect(text).toContain('access.oidc.groups: roles');
    expect(await last()).toMatchObject({ predicate: { action: 'sign-in', code: 'sign-in' } });
    expect(eve.cookies.size).toBe(0);
  });

  it('when it was begun elsewhere, begun by somebody else, or not at all', async () => {
    const [bo, eve] = [new Person(), new Person()];
    const away = (await bo.get('/login')).headers.get('location')!;
    const back = await issuer.browse(away, 'bo', { preferred_username: 'bo', groups: ['sre'] });
    // Eve's own browser, and one that is made to finish what she began.
    expect((await eve.get(back)).status).toBe(401);
    await eve.get('/login');
    const answer = await eve.get(back);
    expect([answer.status, eve.cookies.size]).toEqual([401, 0]);
    const guessed = await new Person().get('/login/callback?code=x&state=<script>alert(1)</script>');
    expect([guessed.status, (await guessed.text()).includes('<script>')]).toEqual([401, false]);
    const said = new Person();
    said.cookies.set('countersign-sign-in', 'bm90IGpzb24');
    expect((await said.get('/login/callback?code=x')).status).toBe(401);
  });

  it('with the issuer’s own words when it says no', async () => {
    const bo = new Person();
    const asked = new URL((await bo.get('/login')).headers.get('location')!);
    const words = { error: 'access_denied', error_description: '<b>no</b>', state: asked.searchParams.get('state')!, iss: issuer.url }; // prettier-ignore
    const answer = await bo.get(`/login/callback?${new URLSearchParams(words)}`);
    const text = await answer.text();
    expect([answer.status, text]).toEqual([401, expect.stringContaining('nobody is signed in: access_denied')]);
    expect(text).not.toContain('<b>');
  });

  it('to go on to another place, or from another name of this machine', async () => {
    for (const to of ['//evil.example.org', 'https://evil.example.org', '/\\evil.example.org', '/%09/x&to=/y']) {
      const answer = await new Person().get(`/login?to=${to}`);
      expect([to, answer.status, answer.headers.get('location')]).toEqual([to, 400, null]);
    }
    const other = await fetch(`${api.url.replace('127.0.0.1', 'localhost')}/login?to=/session`, { redirect: 'manual' });
    expect(other.headers.get('location')).toBe(`${api.url}/login?to=%2Fsession`);
  });
});

describe('a page elsewhere', () => {
  it('can have a browser send the cookie, and does nothing with it', async () => {
    const bo = await signedIn('bo', ['sre', 'auditors']);
    const before = (await logged()).length;
    const query = JSON.stringify({ query: '{ repositories { name } }' });
    const json = { 'content-type': 'application/json' };
    const { csrf } = await bo.session();
    const tried = [
      await bo.get('/graphql', { ...json, origin: 'https://evil.example.org' }, 'POST', query),
      await bo.get('/graphql', json, 'POST', query),
      await bo.get('/graphql', { ...json, origin: api.url }, 'POST', query),
      await bo.get('/graphql', { 'content-type': 'text/plain', origin: api.url, 'x-countersign-csrf': csrf! }, 'POST', query), // prettier-ignore
      await bo.get('/graphql?query={repositories{name}}', { origin: api.url, 'x-countersign-csrf': csrf! }),
      await bo.get('/reports/changes.csv', { 'sec-fetch-site': 'cross-site' }),
      await bo.get('/logout', { origin: 'https://evil.example.org' }, 'POST'),
    ];
    expect(tried.map(({ status }) => status)).toEqual(tried.map(() => 403));
    for (const answer of tried) expect(await answer.text()).not.toContain('"shop"');
    expect((await logged(before)).map(({ predicate }) => predicate['code'])).toEqual(tried.map(() => 'out-of-scope'));
    expect((await bo.session()).login).toBe('bo');
    // Nor where no page of the service has a part.
    expect((await bo.get('/metrics')).status).toBe(401);
    expect((await bo.get('/log/checkpoint')).status).toBe(401);
    expect((await bo.get('/reports/changes.csv', { 'sec-fetch-site': 'same-origin' })).status).toBe(200);
  });

  it('sees nothing: who is signed in is in no answer to a stranger, and a guessed session is one', async () => {
    const eve = new Person();
    eve.cookies.set('countersign-session', 'a'.repeat(43));
    expect((await eve.session()).login).toBeNull();
    expect((await eve.post('/graphql', { query: '{ repositories { name } }' })).status).toBe(401);
    eve.cookies.set('__Host-countersign-session', 'a'.repeat(43));
    expect((await eve.session()).login).toBeNull();
    const answer = await eve.get('/session');
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });
});

describe('in a browser', () => {
  let browser: Browser;
  beforeAll(async () => (browser = await openBrowser()), 60_000);
  afterAll(() => browser.close());

  it('somebody signs in, sees who they are, takes a report and signs out', async () => {
    const page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
    const faults: string[] = [];
    page.on('pageerror', ({ message }) => faults.push(message));
    page.on(
      'console',
      (message) =>
        message.type() === 'error' && message.location().url.startsWith(api.url) && faults.push(message.text()),
    );
    await page.goto(api.url);
    await page.getByText('You are not signed in').waitFor();
    issuer.claims({ preferred_username: 'dana', groups: ['auditors', 'shop'] });
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.locator('input[name=login]').fill('dana');
    await page.locator('input[name=password]').fill('any');
    await page.getByRole('button').click();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('heading', { name: 'dana' }).waitFor();
    expect(await page.locator('tbody tr').allInnerTexts()).toEqual(['auditor\tall\tall', 'developer\tshop\tshop/*']);
    if (process.env['PICTURE']) await page.screenshot({ path: process.env['PICTURE'] });
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Every change' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('changes.csv');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(`${issuer.url}/session/end?**`);
    await page.getByRole('button', { name: /yes/i }).click();
    await page.getByText('You are not signed in').waitFor();
    expect(await page.context().cookies(api.url)).toEqual([]);
    expect(faults).toEqual([]);
    await page.close();
  }, 60_000);
});

describe('too many sign-ins from one place', () => {
  it('are not even asked about', async () => {
    const callback = `${api.url}/login/callback?code=x`;
    const answers = await Promise.all(Array.from({ length: 30 }, () => fetch(callback)));
    expect(answers.some(({ status }) => status === 429)).toBe(true);
  });
});
