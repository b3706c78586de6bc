import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandTree } from '../tree.js';
import { completionFor } from './script.js';

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-completion-'));
  writeFileSync(join(folder, 'countersign.bash'), completionFor('bash', await commandTree(null)));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What bash itself offers when Tab is pressed at the end of this. */
function offered(...words: readonly string[]): string[] {
  const script = `source ./countersign.bash
    complete -p countersign > /dev/null
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
    _countersign
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const text = execFileSync('bash', ['--norc', '--noprofile', '-uc', script, 'bash', 'countersign', ...words], { cwd: folder, encoding: 'utf8' }); // prettier-ignore
  return text.split('\n').filter((line) => line !== '');
}

describe('completion in bash', () => {
  it('offers commands, and those below them', () => {
    expect(offered('')).toEqual(expect.arrayContaining(['check', 'policy', 'verify', 'help']));
    expect(offered('ver')).toEqual(['verify']);
    expect(offered('policy', '')).toEqual(expect.arrayContaining(['test', 'explain', 'fmt']));
    expect(offered('policy', 't')).toEqual(['test']);
    expect(offered('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });

  it('offers the options of the command that is being written, wherever it stands', () => {
    expect(offered('check', '--ba')).toEqual(['--base']);
    expect(offered('policy', 'test', '--cov')).toEqual(['--coverage']);
    expect(offered('keys', '--data', 'data', 'rotate', '--f')).toEqual(['--finish']);
    expect(offered('sessions', '--')).toEqual(expect.arrayContaining(['--end', '--token', '--url', '--help']));
    expect(offered('check', '--nothing')).toEqual([]);
  });

  it('offers the values that an option may have, and files for the others', () => {
    expect(offered('commits', '--output', '')).toEqual(['text', 'json', 'jsonl', 'csv', 'yaml']);
    expect(offered('commits', '--output', 'j')).toEqual(['json', 'jsonl']);
    expect(offered('check', '--profile', 's')).toEqual(['strict']);
    // The name of a command after an option that takes a value is that value.
    expect(offered('check', '--base', 'ma')).toEqual([]);
  });
});

describe('completion in zsh and fish', () => {
  it.each(['zsh', 'fish'] as const)('%s has every command and option', async (shell) => {
    const program = await commandTree(null);
    const script = completionFor(shell, program);
    for (const command of program.commands) {
      expect(script).toContain(command.name());
      for (const { long } of command.options)
        expect(script).toContain(shell === 'zsh' ? `'${long}:` : `-l '${long!.slice(2)}'`);
    }
  });
});
