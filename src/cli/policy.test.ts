import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCli } from '../../test/support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'countersign-policy-'));
afterAll(() => rmSync(folder, { recursive: true }));

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

  it('passes the starter rules in their own folder', async () => {
    const { code, stdout } = await run('test', fileURLToPath(new URL('../../policies', import.meta.url)));
    expect(stdout.trim()).toMatch(/^\d+ passed, 0 failed, 0 skipped$/);
    expect(code).toBe(0);
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
