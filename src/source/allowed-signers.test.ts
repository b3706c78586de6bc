import { matchesPatterns, parseAllowedSigners } from './allowed-signers.js';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC3l0oOpmbNd4CybxWJyk1lVXXbGuPHKqqZ7Jwb3UmRM';

describe('an allowed_signers file', () => {
  it('gives principals, options, key and line', () => {
    const [ann, team] = parseAllowedSigners(
      `# people\n\nann@example.org,ann@corp.example ${KEY} Ann's laptop\r\n` +
        `"*@example.org" cert-authority,NAMESPACES="git,file",valid-after="20260101Z",valid-before="20270101120000Z" ${KEY}\n`,
      'signers',
    );
    expect(ann).toMatchObject({ principals: ['ann@example.org', 'ann@corp.example'], certAuthority: false, line: 3 });
    expect(ann.namespaces).toBeUndefined();
    expect(team).toMatchObject({
      principals: ['*@example.org'],
      certAuthority: true,
      namespaces: ['git', 'file'],
      validAfter: Date.UTC(2026, 0, 1) / 1000,
      validBefore: Date.UTC(2027, 0, 1, 12) / 1000,
      line: 4,
    });
  });

  it.each([
    ['a line without a key', 'ann@example.org', 'the line has no key'],
    ['a key that is not base64', 'ann@example.org ssh-ed25519 !!!', 'not base64'],
    [
      'a key of another type than written',
      `ann@example.org ${KEY.replace('ssh-ed25519', 'ssh-rsa')}`,
      'the key is a ssh-ed25519',
    ],
    ['a truncated key', `ann@example.org ${KEY.slice(0, -8)}`, 'cut off'],
    ['an unknown option', `ann@example.org no-touch-required ${KEY}`, 'is not known'],
    ['an option that is there twice', `ann@example.org namespaces="git",namespaces="file" ${KEY}`, 'twice'],
    ['an option without quotes', `ann@example.org namespaces=git ${KEY}`, 'cannot be read'],
    ['a time without a zone', `ann@example.org valid-before="20260101" ${KEY}`, 'does not say its zone'],
    ['a day that does not exist', `ann@example.org valid-before="20260230Z" ${KEY}`, 'is no time'],
    [
      'times the wrong way round',
      `ann@example.org valid-after="2027 0101Z",valid-before="20260101Z" ${KEY}`.replace('2027 ', '2027'),
      'never valid',
    ],
  ])('refuses %s, with file and line', (_name, line, message) => {
    expect(() => parseAllowedSigners(`# one\n${line}\n`, '.countersign/allowed_signers')).toThrow(
      expect.objectContaining({
        code: 'signers-malformed',
        message: expect.stringContaining(message),
        place: { file: '.countersign/allowed_signers', line: 2 },
      }),
    );
  });
});

describe('pattern lists', () => {
  it.each([
    ['ann@example.org', ['ann@example.org'], true],
    ['ann@example.org', ['*@example.org'], true],
    ['ann@example.org.evil.com', ['*@example.org'], false],
    ['ann@example.org', ['*@example.org', '!ann@*'], false],
    ['ann@example.org', ['!ann@*', '*@example.org'], false],
    ['bob', ['b?b'], true],
    ['bb', ['b?b'], false],
    ['ann', ['!bo'], false],
    ['axb', ['a.b'], false],
    ['anything', ['**'], true],
  ])('%s against %j: %s', (text, patterns, expected) => {
    expect(matchesPatterns(text, patterns)).toBe(expected);
  });

  it('take no exponential time', () => {
    expect(matchesPatterns('a'.repeat(5000), [`${'a*'.repeat(200)}b`])).toBe(false);
  });
});
