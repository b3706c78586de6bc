import { Option, type Command } from 'commander';
import { toCountersignError } from '../errors.js';
import { runConftest, type ConftestOptions } from './conftest/run.js';
import { printable } from './output.js';

const FORMATS = ['stdout', 'json', 'tap', 'table', 'junit', 'github', 'azuredevops', 'sarif'];

/** `check --conftest`: the options, output and exit codes of `conftest test`. */
export function registerConftest(program: Command, action: typeof check = check): void {
  program
    .command('check')
    .description('judge files as `conftest test` does')
    .argument('<path...>', 'files or folders; - is the standard input')
    .option('--conftest', 'what this is')
    .option(
      '-p, --policy <paths>',
      'folders or files of Rego',
      listed('policy', ['policy']),
      setting('policy')?.split(',') ?? ['policy'],
    ) // prettier-ignore
    .option(
      '-n, --namespace <names>',
      'packages whose rules run; *, ? and […] match many',
      listed('namespace', ['main']),
      setting('namespace')?.split(',') ?? ['main'],
    ) // prettier-ignore
    .option('--all-namespaces', 'run the rules of every package', setting('all-namespaces') === 'true')
    .option('-d, --data <paths>', 'folders or files of data', listed('data', []), setting('data')?.split(',') ?? [])
    .option('--combine', 'judge all files as one input', setting('combine') === 'true')
    .option('--parser <format>', 'read every file as this format', setting('parser'))
    .option('--ignore <pattern>', 'leave out paths that this regular expression matches', setting('ignore') ?? '')
    .option('--fail-on-warn', 'exit with 1 for warnings, 2 for failures', setting('fail-on-warn') === 'true')
    .option('--no-fail', 'exit with 0 whatever is found')
    .option('--quiet', 'print nothing if all is well', setting('quiet') === 'true')
    .option('--strict', 'refuse unused variables and the like', setting('strict') === 'true')
    .addOption(
      new Option('--rego-version <version>', 'of the policies')
        .choices(['v0', 'v1'])
        .default(setting('rego-version') ?? 'v1'),
    ) // prettier-ignore
    .option('--no-color', 'print without colours')
    .option('--suppress-exceptions', 'do not print exceptions', setting('suppress-exceptions') === 'true')
    .option('--stdin-filename <name>', 'what to call the standard input', setting('stdin-filename'))
    .option('--junit-hide-message', 'leave messages out of names of tests')
    .option('--github-hide-passed', 'leave out files that passed')
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(FORMATS).default(setting('output') ?? 'stdout'),
    ) // prettier-ignore
    .action(action);
}

/** Conftest's environment variables: CONFTEST_FAIL_ON_WARN for --fail-on-warn. */
function setting(option: string): string | undefined {
  return process.env[`CONFTEST_${option.replaceAll('-', '_').toUpperCase()}`];
}

function listed(_name: string, _defaults: readonly string[]): (value: string, before: string[]) => string[] {
  let given: string[] | undefined;
  return (value) => (given = [...(given ?? []), ...value.split(',')]);
}

async function check(paths: readonly string[], options: ConftestOptions): Promise<void> {
  const [{ RegoCompiler }, { policyCache }, { InputParsers }] = await Promise.all([
    import('../adapters/opa/compiler.js'),
    import('../adapters/folder/cache-folder.js'),
    import('../adapters/inputs/program.js'),
  ]);
  const compiler = new RegoCompiler({ cache: policyCache() });
  try {
    const { output, warnings, exitCode } = await runConftest(paths, options, {
      compiler,
      parsers: new InputParsers(),
      onCompiled: () => compiler.rest(),
    });
    process.stderr.write(warnings.map((text) => `${printable(text)}\n`).join(''));
    process.stdout.write(output);
    process.exitCode = exitCode;
  } catch (thrown) {
    // As Conftest does, for pipelines that look at the code.
    process.stderr.write(`Error: ${printable(toCountersignError(thrown).sentence)}\n`);
    process.exitCode = 1;
  } finally {
    await compiler.close();
  }
}
