import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { conftestProgram } from './conftest.js';

/** A command line of `conftest test`, and what Conftest said to it. */
export interface ConftestCase {
  readonly line: string;
  readonly folder: string;
  readonly args: readonly string[];
  /** The standard input. */
  readonly file?: string;
  /** Conftest's own order changes from run to run. */
  readonly anyOrder: boolean;
}

export interface ConftestGolden {
  readonly line: string;
  readonly exitCode: number;
  /** Standard output; formats in which Conftest's order or its own version shows are as `comparable` gives them. */
  readonly output: unknown;
}

export const GOLDENS = new URL('../vectors/conftest/goldens.json', import.meta.url);

export function conftestCases(): readonly ConftestCase[] {
  const text = readFileSync(new URL('../vectors/conftest/cases.txt', import.meta.url), 'utf8');
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const folders = new Map([
    ['own', fileURLToPath(new URL('../vectors/conftest/own', import.meta.url))],
    ['conftest', moduleFolder()],
  ]);
  return lines.map((line) => {
    const [command, file] = line.split(' < ');
    const [where, ...words] = command.split(' ');
    const args = words.filter((word) => word !== '+color' && word !== '+any');
    if (!words.includes('+color')) args.unshift('--no-color');
    return { line, folder: folders.get(where)!, args, file, anyOrder: words.includes('+any') };
  });
}

/** Conftest's sources, examples with them, as the Go program of its parsers pins them. */
function moduleFolder(): string {
  const cwd = fileURLToPath(new URL('../../src/adapters/inputs/parsers', import.meta.url));
  const name = 'github.com/open-policy-agent/conftest';
  execFileSync('go', ['mod', 'download', name], { cwd, stdio: 'ignore' });
  return execFileSync('go', ['list', '-m', '-f', '{{.Dir}}', name], { cwd, encoding: 'utf8' }).trim();
}

/** What must be equal of an output: all of it, but for the layout of SARIF and who wrote it. */
export function comparable({ args, anyOrder }: ConftestCase, output: string): unknown {
  if (output === '') return output;
  if (anyOrder) return args.includes('json') ? sorted(JSON.parse(output)) : output.replace(/\d+(?= - )/g, '').split('\n').toSorted(); // prettier-ignore
  if (args.includes('sarif')) {
    const sarif = JSON.parse(output) as { runs: { tool: { driver: Record<string, unknown> } }[] };
    for (const { tool } of sarif.runs) delete tool.driver['version'];
    return sarif;
  }
  return output.replace(/(<property name="go.version" value=)"[^"]*"/g, '$1""');
}

function sorted(value: unknown): unknown {
  if (!Array.isArray(value)) {
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, sorted(member)]));
  }
  return value.map(sorted).toSorted(byText);
}

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}

/** Asks Conftest itself. */
export function record(cases: readonly ConftestCase[]): ConftestGolden[] {
  const program = conftestProgram();
  return cases.map((one) => {
    const { status, stdout } = spawnSync(program, ['test', ...one.args], {
      cwd: one.folder,
      encoding: 'utf8',
      input: one.file && readFileSync(`${one.folder}/${one.file}`),
    });
    return { line: one.line, exitCode: status ?? -1, output: comparable(one, stdout) };
  });
}
