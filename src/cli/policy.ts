import { Option, type Command } from 'commander';
import type { RegoCompiler, RegoTestResult } from '../adapters/opa/compiler.js';
import type { Rule } from '../policy/decision.js';
import { formatPlace } from '../errors.js';
import { jsonLine, print, printable } from './output.js';
import type { ImpactOptions } from './policy-impact.js';
import type { ImportOptions } from './policy-import.js';

interface Options {
  readonly output: 'text' | 'json';
  readonly run?: string;
  readonly write?: boolean;
  readonly strict?: boolean;
}

export function register(program: Command): void {
  const policy = program.command('policy').description('list, test and format rules');
  policy
    .command('test')
    .description('run the tests of a policy folder: test_ rules in *_test.rego, and suites of Gatekeeper')
    .argument('[path]', 'folder or file', 'policies')
    .option('--run <pattern>', 'only tests whose full name matches this regular expression')
    .option('--strict', STRICT)
    .addOption(outputOption())
    .action((path: string, options: Options) => withCompiler((compiler) => test(compiler, path, options)));
  policy
    .command('check')
    .description('compile a policy folder and list the rules that would run')
    .argument('[path]', 'folder or file', 'policies')
    .option('--strict', STRICT)
    .addOption(outputOption())
    .action((path: string, options: Options) => withCompiler((compiler) => check(compiler, path, options)));
  policy
    .command('schema')
    .description('print the JSON Schema of what policies see as input, for editors and other tools')
    .addHelpText('after', SCHEMA_HELP)
    .action(async () => {
      const { inputJsonSchema } = await import('../policy/input-schema.js');
      await print(JSON.stringify(inputJsonSchema(), null, 2));
    });
  policy
    .command('list')
    .description('print what a policy folder holds as a Markdown page: each rule with its controls and examples')
    .argument('[path]', 'folder or file', 'policies')
    .action((path: string) => withCompiler((compiler) => list(compiler, path)));
  policy
    .command('impact')
    .description('say which recorded decisions, and what that runs, other policies would judge otherwise')
    .requiredOption('--policies <folder>', 'the policies to try; starter rules stay as each repository has them')
    .requiredOption('--since <time>', 'decisions from then on: 2026-07-01')
    .option('--data <folder>', 'the data folder of the service, running or stopped', 'data')
    .option('--database <url>', 'where the database is, if the data folder does not tell')
    .option('--repository <name>', 'only decisions about this one')
    .option('--again', 'begin anew, not where it was stopped')
    .addOption(outputOption())
    .action(async (options: ImpactOptions) => (await import('./policy-impact.js')).impact(options));
  policy
    .command('import')
    .description('write the Gatekeeper templates and constraints of a cluster into files')
    .requiredOption('--kubeconfig <file>', 'how to reach the cluster, which is only read')
    .option('--context <name>', 'of the kubeconfig; by default its current one')
    .requiredOption('--to <folder>', 'where to write them, as policies/gatekeeper')
    .option('--force', 'write over files that differ')
    .addOption(outputOption())
    .action(async (options: ImportOptions) => (await import('./policy-import.js')).importPolicies(options));
  policy
    .command('lint')
    .description('show what is slow or unstable as Wasm, and rules without metadata')
    .argument('[path]', 'folder or file', 'policies')
    .option('--strict', 'show what reads what the input does not have, too')
    .addOption(outputOption())
    .action((path: string, options: Options) => withCompiler((compiler) => lint(compiler, path, options)));
  policy
    .command('fmt')
    .alias('format')
    .description('show which files are not formatted as `opa fmt` would, or format them')
    .argument('[path]', 'folder or file', 'policies')
    .option('--write', 'format them')
    .action((path: string, options: Options) => withCompiler((compiler) => format(compiler, path, options)));
}

const STRICT = 'refuse rules that read what the input does not have; policies.strict in countersign.yaml is the same';

const SCHEMA_HELP = `
Example, for what understands annotations of OPA (Regal, the OPA extension of VS Code, opa check --schema schemas):
  countersign policy schema > schemas/input.json
The schema is that of countersign.dev/v1; docs/policies.md tells how editors use it.`;

function outputOption(): Option {
  return new Option('--output <format>', 'how to print').choices(['text', 'json']).default('text');
}

async function withCompiler(action: (compiler: RegoCompiler) => Promise<void>): Promise<void> {
  const { RegoCompiler } = await import('../adapters/opa/compiler.js');
  const compiler = new RegoCompiler();
  try {
    await action(compiler);
  } finally {
    await compiler.close();
  }
}

async function test(compiler: RegoCompiler, path: string, { output, run, strict }: Options): Promise<void> {
  const { policyFolder, testFolder } = await import('../policy/folder.js');
  const { testPolicies } = await import('./policy-tests.js');
  if (strict) await compiler.check(policyFolder(path, { profile: 'off', strict }));
  const results = await testPolicies(compiler, testFolder(path), run);
  const count = (...outcomes: RegoTestResult['outcome'][]) =>
    results.filter((r) => outcomes.includes(r.outcome)).length;
  const summary = { passed: count('passed'), failed: count('failed', 'error'), skipped: count('skipped') };
  for (const result of results) {
    if (output === 'json') await print(jsonLine(result));
    else if (result.outcome !== 'passed') await print(testLines(result));
  }
  await print(
    output === 'json'
      ? jsonLine(summary)
      : `${summary.passed} passed, ${summary.failed} failed, ${summary.skipped} skipped`,
  );
  process.exitCode = summary.failed > 0 ? 1 : 0;
}

function testLines({ outcome, file, row, package: pkg, name, error, output }: RegoTestResult): string {
  const more = [error, ...(output ?? '').split('\n')].filter((line) => line !== undefined && line !== '');
  return [`${outcome}  ${file}:${row}  ${pkg}.${name}`, ...more.map((line) => `  ${line}`)].map(printable).join('\n');
}

async function check(compiler: RegoCompiler, path: string, { output, strict = false }: Options): Promise<void> {
  const { policyFolder } = await import('../policy/folder.js');
  const rules = await compiler.check(policyFolder(path, { profile: 'off', strict }));
  for (const rule of rules) await print(output === 'json' ? jsonLine(rule) : printable(ruleLine(rule)));
  await print(output === 'json' ? jsonLine({ rules: rules.length }) : `valid, ${rules.length} rules`);
  if (rules.length > 0) return;
  // Valid as a library is, and most often a mistake: it would allow everything.
  process.stderr.write(
    'note  none of these rules takes part in decisions: those called deny, warn or require in a package countersign.<area> do, and those called deny, violation or warn in any other\n',
  );
}

async function list(compiler: RegoCompiler, path: string): Promise<void> {
  const [{ policyFolder }, { listedRules, rulesPage }] = await Promise.all([
    import('../policy/folder.js'),
    import('../report/rules-page.js'),
  ]);
  const sources = policyFolder(path, { profile: 'off' });
  const [rules, annotations] = [await compiler.check(sources), await compiler.inspect(sources.files)];
  process.stdout.write(rulesPage(listedRules(rules, annotations)));
}

function ruleLine({ id, kind, scope, severity, place, controls, title = '' }: Rule): string {
  return [
    id.padEnd(24),
    kind.padEnd(7),
    scope.padEnd(8),
    severity.padEnd(8),
    formatPlace(place),
    title,
    controls.join(' '),
  ].join('  ');
}

async function lint(compiler: RegoCompiler, path: string, { output, strict = false }: Options): Promise<void> {
  const { policyFolder } = await import('../policy/folder.js');
  const { STARTER_PREFIX } = await import('../policy/bundle.js');
  const sources = policyFolder(path, { profile: 'off', strict });
  const starters = sources.starter?.profile === 'off'; // else they are the very folder
  const findings = await compiler.lint(sources);
  const own = findings.filter(({ place }) => !starters || !place.file.startsWith(STARTER_PREFIX));
  for (const finding of own) {
    const { code, message, remedy, place } = finding;
    await print(output === 'json' ? jsonLine(finding) : printable(`${formatPlace(place)}  ${message}. ${remedy} (${code})`)); // prettier-ignore
  }
  if (own.length > 0) process.exitCode = 1;
}

async function format(compiler: RegoCompiler, path: string, { write }: Options): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  const { regoFiles } = await import('../policy/folder.js');
  const files = regoFiles(path);
  let different = 0;
  for (const [file, text] of await compiler.format(files)) {
    if (text === files.get(file)) continue;
    different++;
    if (write) await writeFile(file, text);
    await print(printable(file));
  }
  if (different > 0 && !write) process.exitCode = 1;
}
