import { CountersignError } from '../errors.js';
import { NO_IDENTITIES, parseIdentities, peopleOf, personOf } from './identities.js';

const KEY = `SHA256:${'a'.repeat(43)}`;
const map = parseIdentities(`apiVersion: countersign.dev/v1
people:
  - person: ann
    principals: [ann@example.org, ann.doe@example.com]
    keys: ["${KEY}", "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567"]
    logins: [ann]
    accounts: {github: [Ann-Codes], gitlab: [ann]}
  - person: bo
    principals: [bo@example.org]
    logins: [Ann]
`);

function refused(read: () => unknown): CountersignError {
  try {
    read();
  } catch (thrown) {
    if (thrown instanceof CountersignError) return thrown;
    throw thrown;
  }
  throw new Error('it was accepted');
}

describe('an identity map', () => {
  it.each([
    [{ principal: 'ann@example.org' }],
    [{ principal: 'Ann.Doe@Example.com' }],
    [{ key: KEY }],
    [{ key: '0123456789abcdef0123456789abcdef01234567' }],
    [{ login: 'ann' }],
    [{ account: { forge: 'GitHub', name: 'ann-codes' } }],
    [{ principal: 'ann@example.org', key: KEY, login: 'ann' }],
  ])('joins one person’s handles: %j', (claim) => {
    expect(personOf(map, claim)).toBe('ann');
  });

  it('keeps logins apart by case, because whoever gives them out may', () => {
    expect(personOf(map, { login: 'Ann' })).toBe('bo');
    expect(personOf(map, { login: 'ANN' })).toBeUndefined();
  });

  it.each([[{}], [{ principal: 'eve@example.org' }], [{ account: { forge: 'gitea', name: 'ann' } }], [{ key: 'ann' }]])(
    'maps %j to nobody',
    (claim) => {
      expect(personOf(map, claim)).toBeUndefined();
      expect(personOf(NO_IDENTITIES, claim)).toBeUndefined();
    },
  );

  it('when parts of a claim name different people, names both and settles on neither', () => {
    const claim = { principal: 'bo@example.org', key: KEY };
    expect(peopleOf(map, claim)).toEqual(['bo', 'ann']);
    expect(personOf(map, claim)).toBeUndefined();
  });

  it.each([
    ['principals: [x@example.org]', 'principals: [X@example.org]', '"X@example.org" is both one\'s and two\'s'],
    [`keys: ["${'ab'.repeat(20)}"]`, `keys: ["${'AB:'.repeat(19)}AB"]`, "is both one's and two's"],
    ['accounts: {github: [x]}', 'accounts: {GitHub: [X]}', "is both one's and two's"],
    ['logins: [x]', 'logins: [x]', "is both one's and two's"],
  ])('refuses %s beside %s of somebody else, with its line', (first, second, message) => {
    const text = `apiVersion: countersign.dev/v1\npeople:\n  - person: one\n    ${first}\n  - person: two\n    ${second}\n`;
    expect(refused(() => parseIdentities(text))).toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining(message),
      place: { file: '.countersign/identities.yaml', line: 6 },
    });
  });

  it.each([
    ['principals: ["*@example.org"]', 'one exact name'],
    ['principals: ["ann\\u202e@example.org"]', 'one exact name'],
    ['keys: [SHA256:short]', 'it must be SHA256:'],
    ['emails: [ann@example.org]', 'there is no such setting'],
    ['logins: ann', 'it must be'],
  ])('refuses %s with its line', (line, message) => {
    const text = `apiVersion: countersign.dev/v1\npeople:\n  - person: ann\n    ${line}\n`;
    const error = refused(() => parseIdentities(text));
    expect(error).toMatchObject({ code: 'config-invalid', place: { line: 4 } });
    expect(error.message).toContain(message);
  });

  it('refuses a person who is listed twice', () => {
    const text = 'apiVersion: countersign.dev/v1\npeople:\n  - person: ann\n  - person: ann\n';
    expect(refused(() => parseIdentities(text))).toMatchObject({ place: { line: 4 } });
  });
});
