import { CountersignError } from '../errors.js';
import type { Refusal } from '../review/access-log.js';
import type { Authority } from '../review/authority.js';
import { Access } from './access.js';

const who: Authority = {
  token: 'oidc',
  login: 'bo',
  roles: [{ role: 'viewer', repositories: ['*'], environments: ['*'] }],
  expires: '2026-11-21T08:10:00Z',
};

function world(verify: (token: string) => Promise<Authority>) {
  const refusals: Refusal[] = [];
  const clock = { now: Date.parse('2026-11-21T08:00:00Z') };
  const log = { refused: async (refusal: Refusal) => void refusals.push(refusal) };
  let asked = 0;
  const issuer = {
    verify: (token: string) => {
      asked += 1;
      return verify(token);
    },
  };
  const access = new Access({ tokens: [], anonymous: true, log, issuer, now: () => new Date(clock.now) });
  const identify = (authorization: string | undefined, local = false) =>
    access.identify({ authorization, local }, 'POST /graphql');
  return { identify, refusals, clock, asked: () => asked };
}

describe('a token of an issuer', () => {
  it('is checked once, and again after a while, and never counts beyond its end', async () => {
    const { identify, clock, asked, refusals } = world(async () => who);
    for (let i = 0; i < 100; i++) expect(await identify('Bearer a.b.c')).toBe(who);
    expect(asked()).toBe(1);
    clock.now += 300_001;
    await identify('Bearer a.b.c');
    expect(asked()).toBe(2);
    clock.now += 299_999;
    await expect(identify('Bearer a.b.c')).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(refusals).toMatchObject([{ code: 'expired', login: 'bo' }]);
  });

  it('is refused and logged with what the issuer’s check says; an issuer that is away is no refusal', async () => {
    const { identify, refusals } = world(async (token) => {
      throw new CountersignError(token === 'a.b.c' ? 'unauthenticated' : 'issuer-unavailable', 'no');
    });
    await expect(identify('Bearer a.b.c')).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(identify('Bearer d.e.f')).rejects.toMatchObject({ code: 'issuer-unavailable' });
    expect(refusals).toMatchObject([{ code: 'unknown-token', message: 'no' }]);
  });

  it('is not asked about for what is no such token', async () => {
    const { identify, asked } = world(async () => who);
    for (const header of ['Bearer cs_x', 'Basic YTpi', 'Bearer', `Bearer ${'a'.repeat(20_000)}`, 'Bearer a.b.c.d', ''])
      await expect(identify(header, true)).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(asked()).toBe(0);
  });
});

describe('whoever is on this machine', () => {
  it('may look without a token, and nobody elsewhere', async () => {
    const { identify } = world(async () => who);
    expect((await identify(undefined, true))?.anonymous).toBe(true);
    expect(await identify(undefined, false)).toBeNull();
  });
});
