import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const countersign = join(import.meta.dirname, '..', '..', 'bin', 'countersign');

/** Runs the CLI; its exit code and everything it printed. */
function run(args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    execFile(countersign, [...args], { timeout: 240_000, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, output: stdout + stderr });
    });
  });
}

describe('the demo', () => {
  it('tells the whole story on real parts, and ends with 0 only because every step did what it should', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'countersign-demo-flow-'));
    await chmod(parent, 0o711); // the embedded database runs as another user than root
    const keep = join(parent, 'kept');
    try {
      const { code, output } = await run(['demo', '--exit', '--keep', keep]);
      expect({ code, failed: output.match(/^! .*(\n {12}.*)*/gm) }).toEqual({ code: 0, failed: null });
      for (const line of [
        /^✓ allowed {3}shop\/production .* entry \d+,/m,
        /^✓ live {6}Deployment shop-production\/cart .* \d+ ms after git push/m,
        /^✗ denied {4}shop\/production /m,
        /rule images\.pinned \(.*images\.rego:\d+\)/,
        /rule shop\.replicas \(policies\/replicas\.rego:\d+\)/,
        /rule commits\.signed /,
        /is entry \d+ of the log, kind "forced"/,
        /^✗ drift {5}Deployment shop-production\/web modified {3}entry \d+, before it was corrected/m,
        /by kubectl-edit /,
        /^↺ corrected replicas are 2 again, \d+ ms after the edit/m,
        /^· named {5}it was dana: a patch .*\(evidence: strong\)$/m,
        /^· named {5}it was dana: a delete .*\(evidence: strong\)$/m,
        /^↺ corrected it is back after \d+ ms/m,
        /decisions replayed +✓ +all equal/,
        /^ {2}│ valid /m,
        /✗ entry \d+/,
        /^ {2}│ invalid /m,
        /^✓ done {6}(\d+) of \1 steps did what they should/m,
      ]) {
        expect(output).toMatch(line);
      }
      for (const left of ['data', 'repository.git', 'people/ann/shop', 'service.yaml', 'evidence.zip']) {
        expect(existsSync(join(keep, left))).toBe(true);
      }
      expect(await run(['demo', '--exit', '--keep', keep])).toMatchObject({ code: 2 });
    } finally {
      await rm(parent, { recursive: true, force: true, maxRetries: 3 });
    }
  }, 300_000);
});
