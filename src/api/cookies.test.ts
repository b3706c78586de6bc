import { Cookies } from './cookies.js';

describe('a cookie of the service', () => {
  it('can under TLS be set by its host alone, and is sent over TLS alone', () => {
    const flags = 'Path=/; HttpOnly; SameSite=Lax; Max-Age=600';
    expect(new Cookies(true).write('session', 'abc', 600.9)).toBe(`__Host-countersign-session=abc; ${flags}; Secure`);
    expect(new Cookies(false).write('session', 'abc', 600)).toBe(`countersign-session=abc; ${flags}`);
    expect(new Cookies(true).clear('session')).toMatch(/^__Host-countersign-session=; .*Max-Age=0; Secure$/);
  });

  it('is found by its whole name, and holds nothing strange', () => {
    const cookies = new Cookies(true);
    const read = (header: string | undefined) => cookies.read(header, 'session');
    expect(read('a=b; __Host-countersign-session=abc-_.1; c=d')).toBe('abc-_.1');
    for (const header of [
      undefined,
      '',
      'countersign-session=abc',
      'x__Host-countersign-session=abc',
      '__Host-countersign-session=',
      '__Host-countersign-session="abc"',
      '__Host-countersign-session=a b',
      `__Host-countersign-session=${'a'.repeat(5_000)}`,
    ])
      expect([header, read(header)]).toEqual([header, undefined]);
  });
});
