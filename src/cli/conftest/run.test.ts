import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { comparable, conftestCases, type ConftestCase, type ConftestGolden, GOLDENS } from '../../../test/support/conftest-cases.js'; // prettier-ignore
import { policyCache } from '../../adapters/folder/cache-folder.js';
import { InputParsers } from '../../adapters/inputs/program.js';
import { RegoCompiler } from '../../adapters/opa/compiler.js';
import { registerConftest } from '../check-conftest.js';
import { runConftest, type ConftestOptions, type ConftestRun } from './run.js';

const goldens = new Map(
  (JSON.parse(readFileSync(GOLDENS, 'utf8')) as ConftestGolden[]).map((golden) => [golden.line, golden]),
);
const parts = { compiler: new RegoCompiler({ cache: policyCache() }), parsers: new InputParsers() };
const home = process.cwd();
afterEach(() => process.chdir(home));
afterAll(() => parts.compiler.close());

/** As the command line would run it, in this process. */
async function started({ folder, args }: ConftestCase): Promise<ConftestRun> {
  process.chdir(folder);
  let run: ConftestRun | undefined;
  const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  registerConftest(program, async (paths: readonly string[], options: ConftestOptions) => {
    run = await runConftest(paths, options, parts);
  });
  await program.parseAsync(['check', '--conftest', ...args], { from: 'user' });
  return run!;
}

async function ours(one: ConftestCase): Promise<Omit<ConftestRun, 'warnings'>> {
  try {
    const { output, exitCode } = await started(one);
    return { output, exitCode };
  } catch {
    return { output: '', exitCode: 1 };
  }
}

/** The command itself, for what has a standard input. */
function commandOf({ folder, args, file }: ConftestCase): Omit<ConftestRun, 'warnings'> {
  const cli = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
  const input = readFileSync(`${folder}/${file!}`);
  const { stdout, status } = spawnSync(process.execPath, [cli, 'check', '--conftest', ...args], {
    cwd: folder,
    input,
    encoding: 'utf8',
  });
  return { output: stdout, exitCode: status ?? -1 };
}

describe('check --conftest', () => {
  it.each(conftestCases().map((one) => [one.line, one] as const))('%s', async (line, one) => {
    const { output, exitCode } = one.file ? commandOf(one) : await ours(one);
    expect({ line, exitCode, output: comparable(one, output) }).toEqual(goldens.get(line));
  });

  it.each([
    [['files/a.cue'], 'cue is not read here'],
    [['--parser', 'textproto', 'files/web.yaml'], 'textproto is not read here'],
    [['README.md'], 'its format is not known'],
  ])('refuses %j by name', async (args, why) => {
    const [own] = conftestCases();
    await expect(started({ ...own, args: ['-p', 'policy', ...args] })).rejects.toThrow(why);
  });
});
