import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { cacheFolder } from '../adapters/folder/cache-folder.js';

// docs/policies.md as its reader would follow it: files are written as they stand there, commands run, and say what it says they do.

interface Step {
  readonly file?: { readonly path: string; readonly text: string };
  readonly command?: string;
  readonly prints: readonly string[];
}

const page = readFileSync(new URL('../../docs/policies.md', import.meta.url), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'countersign-guide-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Blocks whose first line is a path are files, those of kind `console` are commands with what they print; the rest is for reading. */
function steps(): Step[] {
  return [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, kind, text]): Step[] => {
    const path = /^# ([\w./-]+\.(?:rego|yaml))\n/.exec(text)?.[1];
    if (path !== undefined) return [{ file: { path, text }, prints: [] }];
    if (kind !== 'console') return [];
    return text.split(/^\$ /m).slice(1).map((part) => {
      const [command, ...prints] = part.trimEnd().split('\n');
      return { command, prints };
    }); // prettier-ignore
  });
}

function run(command: string): Promise<string> {
  const path = `${resolve('bin')}:${process.env['PATH']}`;
  const env = { PATH: path, COUNTERSIGN_CACHE: cacheFolder(), HOME: folder };
  return new Promise((done) => {
    execFile('bash', ['-c', `${command} 2>&1`], { cwd: folder, env }, (_error, stdout) => done(stdout));
  });
}

const escaped = (line: string) => line.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'); // prettier-ignore

/** `…` is anything within a line; on a line of its own, any number of lines. */
function asWritten(prints: readonly string[]): RegExp {
  const lines = prints.map((line) => (line.trim() === '…' ? '(?:.*\\n)*?' : `${escaped(line)}\\n`));
  return new RegExp(`^${lines.join('')}$`);
}

describe('docs/policies.md', () => {
  it('works as it is written, from nothing to a rule that denies', async () => {
    const all = steps();
    expect(all.filter(({ command }) => command?.startsWith('countersign')).length).toBeGreaterThanOrEqual(5);
    for (const { file, command, prints } of all) {
      if (file) {
        mkdirSync(join(folder, dirname(file.path)), { recursive: true });
        writeFileSync(join(folder, file.path), file.text);
      }
      if (command === undefined) continue;
      const printed = await run(command);
      expect({ command, printed }).toEqual({ command, printed: expect.stringMatching(asWritten(prints)) as string });
    }
  });

  it('names pages that are there', () => {
    const links = [...page.matchAll(/\]\(([\w-]+\.md)\)/g)].map(([, name]) => name);
    const missing = links.filter((name) => {
      try {
        return readFileSync(new URL(`../../docs/${name}`, import.meta.url)).length === 0;
      } catch {
        return true;
      }
    });
    expect(missing).toEqual([]);
  });
});
