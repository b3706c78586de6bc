import { CountersignError } from '../errors.js';
import { ownersAsked, ownersOfPath, parseGroups, parseOwners } from './owners.js';

const groups = parseGroups(
  'apiVersion: countersign.dev/v1\ngroups: {payments: [Bo@example.org, cy@example.org], sre: [dee@example.org]}\n',
);
const asked = (text: string, paths: readonly string[], environment = 'shop/production') =>
  ownersAsked(parseOwners(text, groups), environment, paths).map(({ owners, paths: files }) => [
    owners.join(' '),
    ...files,
  ]);

describe('an owners file', () => {
  it('lets the last line that matches decide', () => {
    const text = '* ann@example.org\n/apps/ @sre\n/apps/cart/ @payments # the shop\n/apps/cart/README.md\n';
    expect(asked(text, ['README.md', 'apps/x.yaml', 'apps/cart/a/b.yaml', 'apps/cart/README.md'])).toEqual([
      ['ann@example.org', 'README.md'],
      ['@sre', 'apps/x.yaml'],
      ['@payments', 'apps/cart/a/b.yaml'],
    ]);
  });

  it.each([
    ['*.yaml', ['a.yaml', 'x/y/a.yaml'], ['a.yml']],
    ['/*.yaml', ['a.yaml'], ['x/a.yaml']],
    ['docs/*', ['docs/a.md'], ['docs/x/a.md', 'y/docs/a.md']],
    ['docs/', ['docs/a.md', 'x/docs/y/a.md'], ['docs', 'docsx/a.md']],
    ['/docs/', ['docs/a.md', 'docs/x/a.md'], ['x/docs/a.md']],
    ['apps/**/secret.yaml', ['apps/secret.yaml', 'apps/x/y/secret.yaml'], ['secret.yaml']],
    ['cart', ['cart', 'x/cart/a.yaml'], ['carts/a']],
    ['/with\\ blank/', ['with blank/a'], ['with/a']],
  ])('reads %s as gitignore does', (pattern, yes, no) => {
    const text = `${pattern} ann@example.org\n`;
    expect(asked(text, yes)).toEqual([['ann@example.org', ...yes]]);
    expect(asked(text, no)).toEqual([]);
  });

  it('says later whose a file was, also of more files than are named', () => {
    const text = '* ann@example.org\n/apps/ @sre\n/apps/cart/ @payments\n[Safety] dee@example.org\n/apps/\n';
    const many = Array.from({ length: 30 }, (_, i) => `apps/cart/${i}.yaml`);
    const later = ownersAsked(parseOwners(text, groups), 'prod', [...many, 'apps/x.yaml', 'README.md']);
    expect(ownersOfPath(later, 'apps/cart/29.yaml')).toEqual(['@payments', 'dee@example.org']);
    expect(ownersOfPath(later, 'apps/x.yaml')).toEqual(['@sre', 'dee@example.org']);
    expect(ownersOfPath(later, 'README.md')).toEqual(['ann@example.org']);
    expect(ownersOfPath(later, 'unknown')).toEqual([]);
  });

  it('has sections that each ask for themselves, of some environments, by number, and optional ones that ask nothing', () => {
    const text = '[Base] @sre\n*\n[environment shop/prod*][2] @payments\n*.yaml\n^[Docs]\n* ann@example.org\n';
    expect(ownersAsked(parseOwners(text, groups), 'shop/production', ['a.yaml'])).toMatchObject([
      { owners: ['@sre'], approvals: 1, people: ['dee@example.org'] },
      { owners: ['@payments'], approvals: 2, people: ['bo@example.org', 'cy@example.org'] },
    ]);
    expect(asked(text, ['a.yaml'], 'shop/staging')).toEqual([['@sre', 'a.yaml']]);
  });

  it.each([
    ['* @nobody', 'there is no group @nobody'],
    ['* bo', 'neither an address nor a @group'],
    ['!x ann@example.org', 'has a ! or brackets'],
  ])('refuses %s with its line', (line, message) => {
    let refused: unknown;
    try {
      parseOwners(`# owners\n${line}\n`, groups);
    } catch (thrown) {
      refused = thrown;
    }
    expect(refused).toBeInstanceOf(CountersignError);
    expect(refused).toMatchObject({ code: 'config-invalid', place: { file: '.countersign/owners', line: 2 } });
    expect((refused as CountersignError).message).toContain(message);
  });
});
