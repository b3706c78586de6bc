import { type Authority, localReader, mayDo, reachOf, requireAuthority, type Role, roles } from './authority.js';

const now = new Date('2026-11-21T08:00:00Z');
const holding = (role: Role, repositories: string[], environments: string[]): Authority => ({
  token: 'bo-laptop',
  login: 'bo',
  roles: [{ role, repositories, environments }],
  expires: '2026-12-01T00:00:00Z',
});
const authority = holding('approver', ['shop'], ['shop/*', 'governance']);
const asked = { action: 'approve', repository: 'shop', environment: 'shop/production' } as const;

describe('a token', () => {
  it('is good for what it names', () => {
    expect(() => requireAuthority(authority, asked, now)).not.toThrow();
    expect(() => requireAuthority(authority, { ...asked, environment: 'governance' }, now)).not.toThrow();
    const all = holding('approver', ['*'], ['*']);
    expect(() => requireAuthority(all, { ...asked, repository: 'payroll', environment: 'a/b/c' }, now)).not.toThrow();
  });

  it.each([
    ['another repository', authority, { ...asked, repository: 'payroll' }],
    ['another environment', authority, { ...asked, environment: 'payroll/production' }],
    ['an environment below one that it names', authority, { ...asked, environment: 'shop/production/eu' }],
    ['anything once it expired', { ...authority, expires: '2026-11-21T08:00:00Z' }, asked],
    ['anything if it names nothing', holding('approver', ['shop'], []), asked],
    ['approving, by whoever is in charge', holding('administrator', ['*'], ['*']), asked],
    ['approving, by whoever is on this machine', localReader, asked],
  ])('is good for no more: %s', (_, given, wanted) => {
    expect(() => requireAuthority(given, wanted, now)).toThrow(expect.objectContaining({ code: 'forbidden' }));
  });

  it('adds up its roles, each where it counts', () => {
    const both: Authority = {
      ...authority,
      roles: [
        { role: 'viewer', repositories: ['*'], environments: ['*/staging'] },
        { role: 'developer', repositories: ['shop'], environments: ['*'] },
      ],
    };
    const [read, explain] = [reachOf(both, 'read')!, reachOf(both, 'explain')!];
    expect(read.everywhere).toBe(false);
    expect([read.wholly('shop'), read.wholly('payroll'), read.partly('payroll')]).toEqual([true, false, true]);
    expect([read.covers('payroll', 'eu/staging'), read.covers('payroll', 'eu/production')]).toEqual([true, false]);
    expect([explain.partly('payroll'), explain.covers('shop', 'any')]).toEqual([false, true]);
    expect(reachOf(both, 'export')).toBeNull();
  });

  it('may be of roles of which each reads, and only one approves', () => {
    expect(mayDo.read).toEqual(roles);
    expect(mayDo.approve).toEqual(['approver']);
    for (const role of roles) {
      const reach = reachOf(holding(role, ['*'], ['*']), 'read');
      expect(reach?.everywhere).toBe(true);
    }
  });
});
