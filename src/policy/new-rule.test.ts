import { RegoCompiler } from '../adapters/opa/compiler.js';
import type { Rule } from './decision.js';
import { newRule } from './new-rule.js';

const compiler = new RegoCompiler();
afterAll(() => compiler.close());

const kinds: readonly Rule['kind'][] = ['deny', 'warn', 'require'];
const scopes: readonly Rule['scope'][] = ['object', 'change'];
const every = kinds.flatMap((kind) => scopes.map((scope) => ({ kind, scope })));
const rule = (name: string, kind: Rule['kind'] = 'deny', scope: Rule['scope'] = 'object') =>
  newRule({ name, kind, scope, severity: 'low', controls: ['SOC2:CC8.1'] });

describe('a new rule', () => {
  it('compiles in strict mode, is formatted, gives the linter nothing to say, and passes its own test', async () => {
    const made = every.map(({ kind, scope }) => rule(`shop-${kind}.${scope}.it`, kind, scope));
    const files = new Map(made.flatMap((one) => [one.rule, one.test]).map(({ path, text }) => [path, text]));
    const sources = { files, data: {}, strict: true };
    const rules = await compiler.check(sources);
    expect(rules.map(({ id, kind, scope, severity, controls }) => ({ id, kind, scope, severity, controls }))).toEqual(
      every
        .map(({ kind, scope }) => ({
          id: `shop-${kind}.${scope}.it`,
          kind,
          scope,
          severity: 'low',
          controls: ['SOC2:CC8.1'],
        })) // prettier-ignore
        .toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    );
    expect(await compiler.lint(sources)).toEqual([]);
    expect([...(await compiler.format(files))]).toEqual([...files].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    const results = await compiler.test(sources);
    expect(results.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 4 * every.length }, () => 'passed'));
  });

  it('lies where its name says, in a package of that name', () => {
    const { rule: made, test } = rule('shop.image-age');
    expect([made.path, test.path]).toEqual(['shop/image_age.rego', 'shop/image_age_test.rego']);
    expect(made.text).toMatch(/^package countersign\.shop\.image_age$/m);
  });

  it.each([
    ['owner', 'is no name'],
    ['Shop.owner', 'is no name'],
    ['shop/owner', 'is no name'],
    ['../shop.owner', 'is no name'],
    ['shop.-x', 'is no name'],
    ['shop.9', 'is no name'],
    ['shop.input', '"input" is a word of Rego'],
    ['', 'is no name'],
  ])('is not called %s', (name, said) => {
    expect(() => rule(name)).toThrow(said);
  });
});
