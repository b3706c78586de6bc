import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lineDiff } from './line-diff.js';

const folder = mkdtempSync(join(tmpdir(), 'countersign-diff-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What git makes of a text by the diff. */
function applied(before: string, after: string): string {
  const file = join(folder, 'x.rego');
  writeFileSync(file, before);
  execFileSync('git', ['apply', '--unidiff-zero', '-'], {
    cwd: folder,
    input: `${lineDiff(before, after, 'x.rego')}\n`,
  });
  return readFileSync(file, 'utf8');
}

const long = Array.from({ length: 40 }, (_, i) => `line ${i}\n`);
const changed = long.map((line, i) => (i === 3 || i === 30 ? `other ${i}\n` : line)).filter((_, i) => i !== 12);

describe('lineDiff', () => {
  it.each([
    ['one line', 'a\nb\nc\n', 'a\nx\nc\n'],
    ['two places far apart', long.join(''), changed.join('')],
    ['a text that had no break at its end', 'a\nb', 'a\nb\n'],
    ['a text that is all new', 'x\n', 'a\nb\nc\n'],
    ['lines at both ends', 'a\nb\nc\n', 'z\na\nb\nc\ny\n'],
  ])('of %s is what git applies', (_what, before, after) => {
    expect(applied(before, after)).toBe(after);
  });

  it('is nothing where nothing differs, and reads as people expect', () => {
    expect(lineDiff('a\n', 'a\n', 'x')).toBe('');
    expect(lineDiff('a\nb\nc\n', 'a\nx\nc\n', 'p/x.rego')).toBe(
      '--- a/p/x.rego\n+++ b/p/x.rego\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c',
    );
  });
});
