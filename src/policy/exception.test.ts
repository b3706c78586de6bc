import { CountersignError } from '../errors.js';
import type { Rule } from './decision.js';
import {
  covers,
  type Covered,
  describeScope,
  exceptionText,
  expired,
  objection,
  parseException,
  parseObjectArgument,
  requestCommand,
} from './exception.js';

const NOW = new Date('2026-07-01T00:00:00Z');
const statement = {
  repository: 'shop',
  rule: 'images.pinned',
  scope: { environment: 'shop/production', kind: 'Deployment', namespace: 'shop', name: 'cart' },
  owner: 'payments',
  reason: 'vendor image: no "digest" yet',
  ticket: 'OPS-7',
  expires: '2026-08-01T00:00:00.000Z',
};
const text = exceptionText(statement);
const rule = (id: string, scope: Rule['scope']): Rule => ({ id, scope, kind: 'deny', package: 'p', name: 'deny', severity: 'low', controls: [], place: { file: 'f' }, starter: false }); // prettier-ignore
const context = {
  repository: 'shop',
  rules: [rule('images.pinned', 'object'), rule('commits.signed', 'change'), rule('org.owned', 'object')],
  environments: ['shop/production'],
  withheld: ({ id }: Rule) => (id === 'org.owned' ? 'org.owned is the organisation’s' : null),
  firstSeen: NOW,
};

const held = (change: object): CountersignError | null =>
  objection(parseException(exceptionText({ ...statement, ...change }), 'e.yaml'), context);

const refusal = (work: () => unknown): CountersignError => {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof CountersignError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was refused');
};

describe('an exception’s text', () => {
  it('is read as it is written, whatever its words hold', () => {
    expect(parseException(text, 'e.yaml').statement).toEqual(statement);
    const odd = { ...statement, reason: 'a: b # c\n- "d"', owner: 'yes', ticket: '007' };
    expect(parseException(exceptionText(odd), 'e.yaml').statement).toEqual(odd);
  });

  it.each<[string, string, number, RegExp]>([
    ['no expiry', text.replace(/expires.*\n/, ''), 0, /expires: it is missing/],
    ['an expiry that is none', text.replace(/expires: .*/, 'expires: soon'), 13, /must be a day, 2026-12-31/],
    ['no owner', text.replace('owner: payments', 'owner: ""'), 10, /owner: it must not be empty/],
    ['everything as environment', text.replace('shop/production', '"*"'), 6, /too wide/],
    ['every name', text.replace('name: cart', 'name: "*"'), 9, /too wide/],
    ['a pattern as rule', text.replace('images.pinned', '"images.*"'), 4, /too wide/],
    ['every path', text.replace('name: cart', 'path: "**"'), 9, /too wide: the path must begin/],
    ['a field nobody knows', text.replace('ticket:', 'tickets:'), 0, /did you mean "ticket"/],
    ['a key written twice', text.replace('ticket:', 'owner:'), 12, /YAML/],
    ['what is another thing', text.replace('Exception', 'Approval'), 2, /kind: it must be Exception/],
  ])('with %s is refused with file and line', (_what, content, line, says) => {
    const { code, place, message } = refusal(() => parseException(content, 'e.yaml'));
    expect(code).toBe('exception-invalid');
    expect(message).toMatch(says);
    expect(place).toMatchObject({ file: 'e.yaml', ...(line > 0 ? { line } : {}) });
  });
});

describe('what an exception is held against', () => {
  it('lets one through that names a rule and an environment there are, and no more than some objects', () => {
    expect(held({})).toBeNull();
    expect(held({ rule: 'commits.signed', scope: { environment: 'shop/production' } })).toBeNull();
  });

  it.each<[string, object, number, RegExp]>([
    ['another repository', { repository: 'other' }, 3, /for the repository other/],
    ['an unknown rule', { rule: 'images.pined' }, 4, /no rule images.pined runs here.*did you mean "images.pinned"/],
    ['an unknown environment', { scope: { environment: 'shop/prod', name: 'a' } }, 6, /no environment shop\/prod/],
    ['all objects of an environment', { scope: { environment: 'shop/production' } }, 5, /too wide/],
    ['a rule that is not the repository’s to except', { rule: 'org.owned' }, 4, /the organisation’s/],
    ['a time without end', { expires: '2036-01-01' }, 13, /longer than 366 days/],
  ])('refuses %s with the line', (_what, change, line, says) => {
    expect(held(change)).toMatchObject({ message: expect.stringMatching(says) as string, place: { file: 'e.yaml', line } }); // prettier-ignore
  });

  it('tells of one that has ended', () => {
    const parsed = parseException(text, 'e.yaml');
    expect(expired(parsed, NOW)).toBeNull();
    expect(expired(parsed, new Date(statement.expires))).toMatchObject({ place: { line: 13 } });
  });
});

describe('what an exception covers', () => {
  const exception = { id: 'e', ...statement, principal: 'bo@example.org' };
  const cart = { group: 'apps', version: 'v1', kind: 'Deployment', namespace: 'shop', name: 'cart' };
  const said: Covered = { rule: 'images.pinned', object: cart, source: { path: 'apps/cart.yaml', line: 3 } };
  const hides = (scope: object, change: Partial<Covered> = {}, environment = 'shop/production', time = NOW): boolean =>
    covers({ ...exception, scope: { environment: 'shop/production', ...scope } }, { ...said, ...change }, environment, time.toISOString()); // prettier-ignore

  it('is its rule within every part of its scope', () => {
    expect(hides(statement.scope)).toBe(true);
    expect(hides({ path: 'apps/**' })).toBe(true);
    expect(hides({ group: 'apps', kind: 'Deployment' })).toBe(true);
  });

  it('is never more: no other rule, object, file, commit, environment or time', () => {
    const none: Covered = { rule: 'images.pinned' };
    const hidden = {
      'another rule': hides(statement.scope, { rule: 'images.registries' }),
      'another object': hides(statement.scope, { object: { ...cart, name: 'cart2' } }),
      'another namespace': hides({ namespace: 'shop' }, { object: { ...cart, namespace: 'bank' } }),
      'another kind': hides({ kind: 'Deployment' }, { object: { ...cart, kind: 'StatefulSet' } }),
      'another group': hides({ group: 'apps' }, { object: { ...cart, group: 'evil.example.org' } }),
      'what is about no object': covers(
        { ...exception, scope: { environment: 'e', kind: 'Deployment' } },
        none,
        'e',
        NOW.toISOString(),
      ),
      'another file': hides({ path: 'apps/*.yaml' }, { source: { path: 'apps/more/cart.yaml', line: 1 } }),
      'another commit': hides({ commit: 'a'.repeat(40) }, { commit: 'b'.repeat(40) }),
      'another environment': hides(statement.scope, {}, 'shop/staging'),
      'what came when it had ended': hides(statement.scope, {}, 'shop/production', new Date(statement.expires)),
    };
    expect(Object.entries(hidden).filter(([, is]) => is)).toEqual([]);
  });

  it('can be asked for by the command that is shown, and that is nothing wider', () => {
    const command = requestCommand(said, 'shop/production')!;
    expect(command).toBe(
      'countersign exception request images.pinned --env shop/production --object apps/Deployment/shop/cart',
    );
    const object = parseObjectArgument('apps/Deployment/shop/cart')!;
    expect(object).toEqual({ group: 'apps', kind: 'Deployment', namespace: 'shop', name: 'cart' });
    expect(hides(object)).toBe(true);
    expect(parseObjectArgument('ClusterRole/system:admin')).toEqual({ kind: 'ClusterRole', name: 'system:admin' });
    expect(parseObjectArgument('cart')).toBeUndefined();
    expect(requestCommand({ rule: 'reading.manifest-malformed' }, 'e')).toBeNull();
    expect(requestCommand({ rule: 'r', source: { path: "it's/a.yaml", line: 1 } }, 'e')).toContain(
      String.raw`--path 'it'\''s/a.yaml'`,
    );
  });

  it('is told in words', () => {
    expect(describeScope(statement.scope)).toBe('Deployment shop/cart in shop/production');
    expect(describeScope({ environment: 'e' })).toBe('everything in e');
  });
});
