import { decodePath, encodePath, isUnsafePath } from './path.js';

describe('a path as Git stores it', () => {
  it.each([
    ['plain ASCII', Buffer.from('apps/cart/deployment.yaml'), 'apps/cart/deployment.yaml'],
    ['UTF-8', Buffer.from('apps/café/☕.yaml'), 'apps/café/☕.yaml'],
    ['bytes that are no UTF-8', Buffer.from('policies/caf\xe9.yaml', 'latin1'), 'policies/caf\\xE9.yaml'],
    ['a backslash', Buffer.from('a\\b'), 'a\\b'],
    ['a name that looks escaped', Buffer.from('a\\xE9'), 'a\\x5CxE9'],
    ['both at once', Buffer.from('\\xE9é\xff'.replace('é', 'Ã©'), 'latin1'), '\\x5CxE9é\\xFF'],
    ['an overlong sequence', Buffer.from([0xc0, 0xaf]), '\\xC0\\xAF'],
    ['half a surrogate', Buffer.from([0xed, 0xa0, 0x80]), '\\xED\\xA0\\x80'],
  ])('keeps %s without loss', (_name, bytes, text) => {
    expect(decodePath(bytes)).toBe(text);
    expect(encodePath(text)).toEqual(bytes);
  });

  it('never maps two byte strings to one text', () => {
    const pieces = [
      Buffer.from('\\'),
      Buffer.from('x'),
      Buffer.from('5C'),
      Buffer.from('E9'),
      Buffer.from([0xe9]),
      Buffer.from('é'),
    ];
    const seen = new Map<string, string>();
    for (let n = 0; n < pieces.length ** 4; n++) {
      const bytes = Buffer.concat([0, 1, 2, 3].map((i) => pieces[Math.floor(n / pieces.length ** i) % pieces.length]));
      const text = decodePath(bytes);
      expect(encodePath(text)).toEqual(bytes);
      expect(seen.get(text) ?? bytes.toString('hex')).toBe(bytes.toString('hex'));
      seen.set(text, bytes.toString('hex'));
    }
  });

  it.each(['../x', 'a/../b', 'a/./b', '.git/config', 'a/.GIT/hooks', 'a//b', '/etc/passwd', 'a/'])(
    'calls %s unsafe (invariant 8)',
    (path) => {
      expect(isUnsafePath(path)).toBe(true);
    },
  );

  it.each(['.github/x.yaml', '.gitignore', 'a..b/c', '...', 'a/.gitkeep'])('calls %s safe', (path) => {
    expect(isUnsafePath(path)).toBe(false);
  });
});
