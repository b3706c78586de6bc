import { type Authority, requireAuthority } from './authority.js';

const now = new Date('2026-11-21T08:00:00Z');
const authority: Authority = {
  token: 'bo-laptop',
  login: 'bo',
  role: 'approver',
  repositories: ['shop'],
  environments: ['shop/*', 'governance'],
  expires: '2026-12-01T00:00:00Z',
};
const asked = { role: 'approver', repository: 'shop', environment: 'shop/production' } as const;

describe('a token', () => {
  it('is good for what it names', () => {
    expect(() => requireAuthority(authority, asked, now)).not.toThrow();
    expect(() => requireAuthority(authority, { ...asked, environment: 'governance' }, now)).not.toThrow();
    const all = { ...authority, repositories: ['*'], environments: ['*'] };
    expect(() => requireAuthority(all, { ...asked, repository: 'payroll', environment: 'a/b/c' }, now)).not.toThrow();
  });

  it.each([
    ['another repository', authority, { ...asked, repository: 'payroll' }],
    ['another environment', authority, { ...asked, environment: 'payroll/production' }],
    ['an environment below one that it names', authority, { ...asked, environment: 'shop/production/eu' }],
    ['anything once it expired', { ...authority, expires: '2026-11-21T08:00:00Z' }, asked],
    ['anything if it names nothing', { ...authority, environments: [] }, asked],
  ])('is good for no more: %s', (_, given, wanted) => {
    expect(() => requireAuthority(given, wanted, now)).toThrow(expect.objectContaining({ code: 'forbidden' }));
  });
});
