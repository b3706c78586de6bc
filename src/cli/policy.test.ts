import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCli } from '../../test/support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'countersign-policy-'));
afterAll(() => rmSync(folder, { recursive: true }));

const lines = (stdout: string) => stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>); // prettier-ignore
const run = (...args: string[]) => runCli(['policy', ...args]);

describe('countersign policy test', () => {
  it('ends with a summary, and fails when a test fails', async () => {
    writeFileSync(join(folder, 'x.rego'), 'package countersign.x\n\ndeny contains "no" if input.bad\n');
    writeFileSync(
      join(folder, 'x_test.rego'),
      'package countersign.x_test\n\nimport data.countersign.x\n\ntest_good if count(x.deny) == 0 with input as {}\n\ntest_bad if count(x.deny) == 2 with input as {"bad": true}\n\ntodo_test_later if true\n',
    );
    const { code, stdout } = await run('test', folder, '--output', 'json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toEqual({ passed: 1, failed: 1, skipped: 1 });
  });

  it('runs suites of Gatekeeper, and tests in the Rego that its templates are made from', async () => {
    const gatekeeper = join(folder, 'gatekeeper');
    mkdirSync(join(gatekeeper, 'src'), { recursive: true });
    const files = {
      'src/src.rego': 'package any\n\nviolation[{"msg": msg}] {\n  msg := input.review.object.metadata.name\n}\n',
      'src/src_test.rego':
        'package any\n\ntest_any {\n  results := violation with input as {"review": {"object": {"metadata": {"name": "a"}}}}\n  count(results) == 1\n}\n',
      'template.yaml':
        'apiVersion: templates.gatekeeper.sh/v1\nkind: ConstraintTemplate\nmetadata: {name: any}\nspec:\n  crd: {spec: {names: {kind: Any}}}\n  targets:\n  - target: admission.k8s.gatekeeper.sh\n    rego: |\n      package any\n      violation[{"msg": msg}] { msg := input.review.object.metadata.name }\n',
      'constraint.yaml': 'apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: Any\nmetadata: {name: any}\n',
      'object.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shown}\n',
      'suite.yaml':
        'apiVersion: test.gatekeeper.sh/v1alpha1\nkind: Suite\ntests:\n- name: any\n  template: template.yaml\n  constraint: constraint.yaml\n  cases:\n  - {name: yes it is, object: object.yaml, assertions: [{violations: 1, message: shown}]}\n  - {name: no it is not, object: object.yaml, assertions: [{violations: no}]}\n',
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(gatekeeper, name), text);
    const { code, stdout } = await run('test', gatekeeper, '--output', 'json');
    rmSync(gatekeeper, { recursive: true });
    const lines = stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>); // prettier-ignore
    expect(lines.at(-1)).toEqual({ passed: 2, failed: 1, skipped: 0 });
    expect(lines.find(({ outcome }) => outcome === 'failed')).toMatchObject({ name: 'no it is not', row: 9 });
    expect(code).toBe(1);
  });

  it('passes the starter rules in their own folder', async () => {
    const { code, stdout } = await run('test', fileURLToPath(new URL('../../policies', import.meta.url)));
    expect(stdout.trim()).toMatch(/^\d+ passed, 0 failed, 0 skipped$/);
    expect(code).toBe(0);
  });

  it('says so where no rule would take part in decisions', async () => {
    const file = join(folder, 'allow.rego');
    writeFileSync(file, 'package shop.authz\n\nallow if input.good\n');
    const { code, stdout, stderr } = await run('check', file);
    rmSync(file);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'valid, 0 rules\n' });
    expect(stderr).toContain('none of these rules takes part in decisions');
  });

  it('cannot tell when the policy does not compile, and says where', async () => {
    const file = join(folder, 'broken.rego');
    writeFileSync(file, 'package broken\n\ndeny contains x if y\n');
    const { code, stderr } = await run('check', file);
    rmSync(file);
    expect(code).toBe(2);
    expect(stderr).toContain('broken.rego:3');
  });
});

describe('countersign policy check --strict', () => {
  it('refuses what reads more than the input has, which policy schema prints', async () => {
    const file = join(folder, 'misread.rego');
    writeFileSync(file, 'package countersign.m\n\ndeny contains "no" if input.change.op == "create"\n');
    const [strict, lax, schema] = [await run('check', file, '--strict'), await run('check', file), await run('schema')];
    rmSync(file);
    expect([lax.code, strict.code]).toEqual([0, 2]);
    expect(strict.stderr).toContain('misread.rego:3:23  input.change does not exist. Did you mean input.changes?');
    expect(Object.keys((JSON.parse(schema.stdout) as { properties: object }).properties)).toContain('changes');
  });
});

describe('writing a rule', () => {
  const shop = join(folder, 'shop');
  const inShop = (...args: string[]) => runCli(['policy', ...args], { cwd: shop });

  it('begins with one that passes its own test, in the folder that countersign.yaml names, and overwrites nothing', async () => {
    mkdirSync(join(shop, '.git'), { recursive: true });
    writeFileSync(
      join(shop, 'countersign.yaml'),
      'apiVersion: countersign.dev/v1\npolicies: {path: rules, starter: {profile: off}}\n',
    );
    const made = await inShop('new', 'shop.owner', '--control', 'SOC2:CC8.1', '--severity', 'low');
    expect([made.code, made.stdout]).toEqual([0, expect.stringMatching(/^wrote rules\/shop\/owner\.rego\nwrote rules\/shop\/owner_test\.rego\n4 tests pass/)]); // prettier-ignore
    const again = await inShop('new', 'shop.owner');
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('rules/shop/owner.rego  the file is there already')]); // prettier-ignore
    const taken = await inShop('new', 'images.pinned');
    expect([taken.code, taken.stderr]).toEqual([2, expect.stringContaining('images.rego  there is a rule images.pinned already')]); // prettier-ignore
  });

  it('explains it, with the exceptions that name it', async () => {
    mkdirSync(join(shop, '.countersign/exceptions'), { recursive: true });
    writeFileSync(
      join(shop, '.countersign/exceptions/a.yaml'),
      'apiVersion: countersign.dev/v1\nkind: Exception\nrepository: shop\nrule: shop.owner\nscope: {environment: shop/production, kind: ConfigMap}\nowner: ann\nreason: x\nticket: T-1\nexpires: 2999-01-01\n',
    );
    const { code, stdout } = await inShop('explain', 'shop.owner', '--policies', 'rules', '--output', 'json');
    expect(code).toBe(0);
    expect(lines(stdout)).toEqual([
      expect.objectContaining({
        id: 'shop.owner',
        controls: ['SOC2:CC8.1'],
        places: ['rules/shop/owner.rego:13'],
        input: expect.arrayContaining(['input.changes[_].after.metadata.annotations["example.org/owner"]']),
        exceptions: [
          expect.objectContaining({ file: '.countersign/exceptions/a.yaml', scope: 'ConfigMap in shop/production' }),
        ],
      }),
    ]);
    const unknown = await inShop('explain', 'shop.owners', '--policies', 'rules');
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('did you mean "shop.owner"?')]);
  });

  it('is told of a control that no catalogue has, until one of its own does', async () => {
    const file = join(shop, 'rules/shop/owner.rego');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.replace('SOC2:CC8.1', 'ACME:CHG-7'));
    const unknown = await inShop('lint', 'rules');
    expect([unknown.code, unknown.stdout]).toEqual([1, expect.stringContaining('shop.owner answers ACME:CHG-7, which is in no catalogue')]); // prettier-ignore
    mkdirSync(join(shop, '.countersign/controls'));
    writeFileSync(
      join(shop, '.countersign/controls/acme.yaml'),
      'apiVersion: countersign.dev/v1\nkind: ControlCatalogue\nprefix: ACME\ntitle: Ours\ncontrols:\n- {id: CHG-7, title: Owned, covered: partly, evidence: [decision], answer: A rule., open: The rest.}\n',
    );
    expect((await inShop('lint', 'rules')).code).toBe(0);
    const { stdout } = await inShop('controls', 'ACME:CHG-7', '--policies', 'rules', '--output', 'json');
    expect(lines(stdout)).toEqual([expect.objectContaining({ id: 'ACME:CHG-7', rules: ['shop.owner'] })]);
    writeFileSync(file, before);
  });

  it('says which lines no test went through, and fails below the threshold', async () => {
    appendFileSync(join(shop, 'rules/shop/owner.rego'), '\ndeny contains "never" if input.operation == "adoption"\n');
    const { code, stdout } = await inShop('test', 'rules', '--strict', '--coverage', '--threshold', '99', '--output', 'json'); // prettier-ignore
    expect(code).toBe(1);
    expect(lines(stdout).slice(-2)).toEqual([
      expect.objectContaining({ file: 'rules/shop/owner.rego', uncovered: [[25, 25]] }),
      { passed: 4, failed: 0, skipped: 0, coverage: expect.any(Number) as number },
    ]);
  });

  it('shows what formatting would change, and changes nothing', async () => {
    const file = join(shop, 'rules/shop/owner.rego');
    const badly = readFileSync(file, 'utf8').replace('\tnot owned', '   not  owned');
    writeFileSync(file, badly);
    const { code, stdout } = await inShop('fmt', 'rules', '--diff');
    expect([code, stdout]).toEqual([1, expect.stringContaining('\n-   not  owned(change.after)\n+\tnot owned(change.after)\n')]); // prettier-ignore
    expect(readFileSync(file, 'utf8')).toBe(badly);
  });
});
