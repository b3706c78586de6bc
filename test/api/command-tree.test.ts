import type { Command } from 'commander';
import { examplesOf, pathOf } from '../../src/cli/examples.js';
import { cliPage } from '../../src/cli/reference.js';
import { commandTree } from '../../src/cli/tree.js';
import { readFileSync } from 'node:fs';
import { parseCommandLine } from '../support/command-lines.js';

let program: Command;
beforeAll(async () => void (program = await commandTree(null)));

/** Every command that does something, and those that only hold others. */
const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
const acting = (): Command[] => all(program).filter((command) => command.commands.length === 0 || pathOf(command) === 'keys'); // prettier-ignore

describe('every command', () => {
  it('says what it is for, as do its options and arguments', () => {
    const silent = all(program).flatMap((command) => [
      ...(command.description() === '' ? [pathOf(command)] : []),
      ...command.options
        .filter(({ description }) => description === '')
        .map(({ long }) => `${pathOf(command)} ${long}`),
      ...command.registeredArguments
        .filter(({ description }) => description === '')
        .map((argument) => `${pathOf(command)} ${argument.name()}`),
    ]);
    expect(silent).toEqual([]);
  });

  it('shows by an example how it is used, and what it shows is taken', async () => {
    expect(
      acting()
        .filter((command) => examplesOf(command).length === 0)
        .map(pathOf),
    ).toEqual([]);
    for (const command of all(program)) {
      for (const example of examplesOf(command)) {
        const parsed = await parseCommandLine(example);
        expect([example, parsed.fault, parsed.path !== '']).toEqual([example, null, true]);
      }
    }
  });

  it('has one way of saying how it prints', () => {
    const formats = new Set(['text', 'json', 'jsonl', 'csv', 'yaml', 'markdown', 'sarif', 'junit']);
    for (const command of all(program)) {
      const output = command.options.find(({ long }) => long === '--output');
      expect(output?.argChoices?.filter((format) => !formats.has(format)) ?? []).toEqual([]);
    }
    const lists = ['commits', 'environments', 'orphans', 'sessions', 'access', 'exception list', 'policy check', 'policy controls']; // prettier-ignore
    const given = all(program).filter((command) => lists.includes(pathOf(command)));
    expect(given).toHaveLength(lists.length);
    for (const command of given) {
      const { argChoices } = command.options.find(({ long }) => long === '--output')!;
      expect([pathOf(command), argChoices]).toEqual([pathOf(command), expect.arrayContaining(['text', 'json', 'csv', 'yaml'])]); // prettier-ignore
    }
  });

  it.each([
    ['countersign chek', "unknown command 'chek'\n(Did you mean check?)"],
    ['countersign policy tset', "unknown command 'tset'\n(Did you mean test?)"],
    ['countersign check --bsae main', "unknown option '--bsae'\n(Did you mean --base?)"],
    ['countersign commits --output xml', 'Allowed choices are text, json, jsonl, csv, yaml'],
    ['countersign token', "required option '--login <login>' not specified"],
    ['countersign blame', "missing required argument 'object'"],
    ['countersign check a b', 'too many arguments'],
  ])('says what is wrong and what was meant: %s', async (line, words) => {
    expect((await parseCommandLine(line)).fault).toContain(words);
  });

  it('is in docs/cli.md as it is (make docs)', () => {
    expect(readFileSync('docs/cli.md', 'utf8')).toBe(cliPage(program));
  });
});
