import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createRepository, person, temporaryFolder } from '../../test/support/git-fixture.js';
import { runCli } from '../../test/support/cli.js';
import { exceptionText } from '../policy/exception.js';

const folder = temporaryFolder();
const rule = `package countersign.acme

# METADATA
# title: Small
# custom: {id: acme.small, scope: object, severity: high, controls: []}
deny contains "too many" if input.changes[0].after.spec.replicas > 5
`;
const deployment = (replicas: number) =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart, namespace: shop}\nspec: {replicas: ${replicas}}\n`;

function write(root: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
}

describe('--organisation', () => {
  let shop: string;
  let policies: string;
  let key: string;
  beforeAll(async () => {
    const ann = await person('Ann', 'ann@example.org');
    key = ann.keyFile;
    policies = folder.path('policies');
    write(policies, {
      'countersign.yaml':
        'apiVersion: countersign.dev/v1\npolicies: {starter: {profile: off}}\norganisation: {starter: {profile: off}}\n',
      'policies/acme.rego': rule,
    });
    const scratch = await createRepository(folder.path('shop'));
    shop = scratch.path;
    await scratch.commit({
      author: ann,
      sign: false,
      message: 'first',
      files: {
        'countersign.yaml':
          'apiVersion: countersign.dev/v1\npolicies: {starter: {profile: off}}\nenvironments:\n- {name: test, path: test, namespace: shop}\n- {name: prod, path: prod, namespace: shop}\n',
        '.countersign/allowed_signers': `${ann.email} namespaces="git,countersign-exception" ${ann.publicKey}\n`,
        'test/cart.yaml': deployment(9),
        'prod/cart.yaml': deployment(2),
      },
    });
  });
  const both = async (...args: string[]) => {
    const [without, with_] = [await runCli(args), await runCli([...args, '--organisation', policies])];
    return { without, with: with_ };
  };

  it('lays its rules above what history judges', async () => {
    const { without, with: above } = await both('history', shop, '--output', 'json');
    expect(JSON.parse(without.stdout)).toMatchObject({ denied: 0 });
    expect(JSON.parse(above.stdout)).toMatchObject({ denied: 1, byRule: { 'acme.small': 1 } });
  });

  it('lays them above what a promotion would change', async () => {
    const { without, with: above } = await both('promote', shop, '--from', 'test', '--to', 'prod', '--output', 'json');
    expect([without.code, above.code]).toEqual([0, 1]);
    expect(above.stdout).toContain('"rule":"acme.small"');
  });

  it('says to who signs an exception that the organisation allows none', async () => {
    const file = join(shop, '.countersign/exceptions/a.yaml');
    const scope = { environment: 'prod', kind: 'Deployment', namespace: 'shop', name: 'cart' };
    const expires = new Date(Date.now() + 86_400_000).toISOString();
    const text = exceptionText({ repository: 'shop', rule: 'acme.small', scope, owner: 'ann', reason: 'x', ticket: 'T-1', expires }); // prettier-ignore
    write(shop, { '.countersign/exceptions/a.yaml': text });
    const { without, with: above } = await both('exception', 'sign', file, '--key', key);
    expect(without.stdout).toContain('no rule acme.small runs here');
    expect(above.stdout).toContain('acme.small is a rule of the organisation (policies), which allows no exception');
  });
});
