import { parseIdentities } from '../source/identities.js';
import { PusherClaims, pusherInput, pusherOfHook } from './pusher.js';

const identities = parseIdentities(`apiVersion: countersign.dev/v1
people: [{person: ann, logins: [ann@example.org], accounts: {gitlab: [ann-codes]}}]
`);
const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(40));
const ref = 'refs/heads/main';

describe('who pushed', () => {
  it.each([
    [{ GL_USERNAME: 'ann-codes', REMOTE_USER: 'other' }, 'ann', 'gitlab:ann-codes'],
    [{ REMOTE_USER: 'ann@example.org' }, 'ann', 'login:ann@example.org'],
    [{ GITEA_PUSHER_NAME: 'ann-codes' }, 'gitea:ann-codes', 'gitea:ann-codes'],
    [{ GITHUB_USER_LOGIN: 'bo' }, 'github:bo', 'github:bo'],
    [{ BB_USER_NAME: 'bo' }, 'bitbucket:bo', 'bitbucket:bo'],
    [{ GL_USER: 'bo' }, 'login:bo', 'login:bo'],
  ])(
    'is what the server tells its hook, and the person whom the identity map makes of it: %j',
    (env, pusher, account) => {
      expect(pusherInput(pusherOfHook(env), 'hook', identities)).toEqual({
        pusher,
        pusherAccount: account,
        pusherVia: 'hook',
      });
    },
  );

  it('is not known where nobody says so, or what is said is no name', () => {
    for (const env of [
      {},
      { REMOTE_USER: '' },
      { GL_USERNAME: 'two words' },
      { GL_USER: 'x\n' },
      { GL_USER: 'x'.repeat(300) },
    ])
      expect(pusherInput(pusherOfHook(env), 'hook', identities)).toEqual({});
  });
});

describe('a claim about a push', () => {
  let time = Date.parse('2026-11-21T08:00:00Z');
  const by = { forge: 'github', name: 'ann' };
  const claim = { ref, old: a, new: b, by };
  const waiting = () => {
    const claims = new PusherClaims(() => new Date(time));
    claims.add(claim);
    return claims;
  };

  it('is for that move alone, once', () => {
    const claims = waiting();
    for (const other of [
      { ref, old: a, new: c },
      { ref, old: c, new: b },
      { ref, old: null, new: b },
      { ref, old: a, new: null },
      { ref: 'refs/heads/other', old: a, new: b },
    ])
      expect(claims.take(other)).toBeNull();
    expect(claims.take({ ref, old: a, new: b })).toEqual(by);
    expect(claims.take({ ref, old: a, new: b })).toBeNull();
  });

  it('lasts an hour, and many of them push no memory full', () => {
    const claims = waiting();
    time += 3_600_001;
    expect(claims.take(claim)).toBeNull();
    const many = waiting();
    for (let n = 0; n < 1_000; n++) many.add({ ...claim, ref: `refs/heads/${n}` });
    expect(many.take(claim)).toBeNull();
    expect(many.take({ ...claim, ref: 'refs/heads/999' })).toEqual(by);
  });
});
