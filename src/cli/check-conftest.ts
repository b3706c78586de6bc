import { Option, type Command } from 'commander';
import { toCountersignError } from '../errors.js';
import type { ConftestCheck } from '../policy/conftest.js';
import { printable } from './output.js';

interface Options {
  readonly policy: string[];
  readonly namespace: string[];
  readonly allNamespaces?: boolean;
  readonly data: string[];
  readonly combine?: boolean;
  readonly parser?: string;
  readonly ignore: string;
  readonly failOnWarn?: boolean;
  readonly fail: boolean;
  readonly quiet?: boolean;
  readonly strict?: boolean;
  readonly regoVersion: 'v0' | 'v1';
  readonly color: boolean;
  readonly suppressExceptions?: boolean;
  readonly stdinFilename?: string;
  readonly junitHideMessage?: boolean;
  readonly githubHidePassed?: boolean;
  readonly output: string;
}

const FORMATS = ['stdout', 'json', 'tap', 'table', 'junit', 'github', 'azuredevops', 'sarif'];

/** `check --conftest`: the options, output and exit codes of `conftest test`. */
export function registerConftest(program: Command): void {
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
    .action(check);
}

/** Conftest's environment variables: CONFTEST_FAIL_ON_WARN for --fail-on-warn. */
function setting(option: string): string | undefined {
  return process.env[`CONFTEST_${option.replaceAll('-', '_').toUpperCase()}`];
}

function listed(_name: string, _defaults: readonly string[]): (value: string, before: string[]) => string[] {
  let given: string[] | undefined;
  return (value) => (given = [...(given ?? []), ...value.split(',')]);
}

async function check(paths: readonly string[], options: Options): Promise<void> {
  try {
    await test(paths, options);
  } catch (thrown) {
    // As Conftest does, for pipelines that look at the code.
    process.stderr.write(`Error: ${printable(toCountersignError(thrown).sentence)}\n`);
    process.exitCode = 1;
  }
}

async function test(paths: readonly string[], options: Options): Promise<void> {
  const [{ dataDocument, inputFiles, policyFiles }, { conftestExitCode, totalsOf }] = await Promise.all([
    import('./conftest/files.js'),
    import('../policy/conftest.js'),
  ]);
  const files = inputFiles(paths, options.ignore);
  const compiled = await compile(policyFiles(options.policy), options);
  for (const { message, remedy, place } of compiled.blunt) {
    process.stderr.write(`${printable(`warning: ${place.file}:${place.line} ${message}. ${remedy}`)}\n`);
  }
  const bundle = {
    module: await WebAssembly.compile(compiled.wasm as Uint8Array<ArrayBuffer>),
    data: JSON.stringify(dataDocument(options.data)),
    namespaces: compiled.namespaces,
    readsFile: compiled.readsFile,
  };
  const byFile = options.combine
    ? [await combined(bundle, files, options)]
    : await (await import('../adapters/opa/conftest-pool.js')).checkWithThreads(bundle, files, options.parser); // prettier-ignore
  const checks = compiled.namespaces.flatMap((_, i) => byFile.map((ofFile) => renamed(ofFile[i], options)));
  const exitCode = conftestExitCode(totalsOf(checks), options.failOnWarn ?? false);
  if (!options.quiet || exitCode !== 0) {
    const { CONFTEST_FORMATS } = await import('../report/conftest.js');
    const { InputParsers } = await import('../adapters/inputs/program.js');
    process.stdout.write(
      CONFTEST_FORMATS[options.output](checks, {
        color: options.color,
        suppressExceptions: options.suppressExceptions ?? false,
        junitHideMessage: options.junitHideMessage ?? false,
        githubHidePassed: options.githubHidePassed ?? false,
        table: (rows) => new InputParsers().table(rows),
      }),
    );
    if (!options.fail) return;
  }
  process.exitCode = exitCode;
}

function renamed(found: ConftestCheck, { stdinFilename }: Options): ConftestCheck {
  return stdinFilename && found.filename === '-' ? { ...found, filename: stdinFilename } : found;
}

async function compile(files: ReadonlyMap<string, string>, options: Options) {
  const [{ RegoCompiler }, { policyCache }] = await Promise.all([
    import('../adapters/opa/compiler.js'),
    import('../adapters/folder/cache-folder.js'),
  ]);
  const compiler = new RegoCompiler({ cache: policyCache() });
  try {
    return await compiler.compileConftest(files, {
      namespaces: options.namespace,
      all: options.allNamespaces ?? false,
      strict: options.strict ?? false,
      v0: options.regoVersion === 'v0',
    });
  } finally {
    await compiler.close();
  }
}

/** All files as one list of {path, contents}, by path. */
async function combined(
  bundle: import('../adapters/opa/conftest-evaluation.js').ConftestBundle,
  files: readonly string[],
  { parser, stdinFilename }: Options,
): Promise<readonly ConftestCheck[]> {
  const [{ ConftestEvaluation }, { InputParsers }, { InputReader }] = await Promise.all([
    import('../adapters/opa/conftest-evaluation.js'),
    import('../adapters/inputs/program.js'),
    import('../adapters/inputs/read.js'),
  ]);
  const reader = new InputReader(new InputParsers(), true);
  const parts = files
    .map((file) => ({
      path: file === '-' ? (stdinFilename ?? file) : file,
      texts: reader.read(file, parser).map((text) => Buffer.from(text).toString()),
    }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
    .flatMap(({ path, texts }) => texts.map((text) => `{"path":${JSON.stringify(path)},"contents":${text}}`));
  return new ConftestEvaluation(bundle).check('Combined', [Buffer.from(`[${parts.join(',')}]`)]);
}
