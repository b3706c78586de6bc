import { InvalidArgumentError, Option, type Command } from 'commander';
import type { CompilerOptions, Finding, RegoCompiler, RegoTestResult } from '../adapters/opa/compiler.js';
import type { Rule } from '../policy/decision.js';
import type { Coverage } from '../adapters/opa/coverage.js';
import { CountersignError, formatPlace } from '../errors.js';
import { type Column, jsonLine, Listing, type Output, outputOption, print, printable } from './output.js';
import type { ControlOptions } from './policy-controls.js';
import type { ExplainOptions } from './policy-explain.js';
import type { FormatOptions } from './policy-fmt.js';
import type { ImpactOptions } from './policy-impact.js';
import type { ImportOptions } from './policy-import.js';
import type { NewOptions } from './policy-new.js';

interface Options {
  readonly output: 'text' | 'json';
  readonly strict?: boolean;
}

interface CheckOptions {
  readonly output: Output;
  readonly strict?: boolean;
}

interface TestOptions extends Options {
  readonly run?: string;
  readonly coverage?: boolean;
  /** Percent. */
  readonly threshold?: number;
}

export function register(program: Command): void {
  const policy = program.command('policy').description('write, test, explain and compare rules');
  policy
    .command('new')
    .description('write a rule to begin with, and its test, which passes')
    .argument('<name>', 'its id: an area and a name, as shop.owner')
    .option('--policies <folder>', 'where to; by default the folder that countersign.yaml names, else policies')
    .addOption(new Option('--kind <kind>', 'what it gives').choices(['deny', 'warn', 'require']).default('deny'))
    .addOption(
      new Option('--scope <scope>', 'what it sees: one object that changes, or the whole change with its commits')
        .choices(['object', 'change'])
        .default('object'),
    )
    .addOption(
      new Option('--severity <severity>', 'how bad it is')
        .choices(['critical', 'high', 'medium', 'low', 'info'])
        .default('medium'),
    )
    .option('--control <id>', 'a control that it answers, as SOC2:CC8.1; may be repeated', repeated, [])
    .addHelpText('after', NEW_HELP)
    .action((name: string, options: NewOptions) =>
      withCompiler(async (compiler) => (await import('./policy-new.js')).writeNewRule(compiler, name, options)),
    );
  policy
    .command('explain')
    .description('say what a rule is, what it reads and calls, and which exceptions name it')
    .argument('<rule>', 'its id, or a file or folder: all of its rules')
    .option('--policies <folder>', 'where the rule is; by default policies')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', EXPLAIN_HELP)
    .action((what: string, options: ExplainOptions) =>
      withCompiler(async (compiler) => (await import('./policy-explain.js')).explainRules(compiler, what, options)),
    );
  policy
    .command('test')
    .description('run the tests of a policy folder: test_ rules in *_test.rego, and suites of Gatekeeper')
    .argument('[path]', 'folder or file', 'policies')
    .option('--run <pattern>', 'only tests whose full name matches this regular expression')
    .option('--strict', STRICT)
    .option('--coverage', 'say which lines of the rules no test went through')
    .option('--threshold <percent>', 'fail where less of the rules is covered; asks for --coverage', percent)
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', TEST_HELP)
    .action((path: string, options: TestOptions) =>
      withCompiler((compiler) => test(compiler, path, options), { testsBelow: '.' }),
    );
  policy
    .command('check')
    .description('compile a policy folder and list the rules that would run')
    .argument('[path]', 'folder or file', 'policies')
    .option('--strict', STRICT)
    .addOption(outputOption('text', 'json', 'csv', 'yaml'))
    .addHelpText('after', CHECK_HELP)
    .action((path: string, options: CheckOptions) => withCompiler((compiler) => check(compiler, path, options)));
  policy
    .command('controls')
    .description('list the controls of the catalogues, or show one with the evidence and rules that answer it')
    .argument('[control]', 'a control, as SOC2:CC8.1, or a catalogue, as SOC2')
    .option('--policies <folder>', 'rules of your own; by default policies')
    .addOption(outputOption('text', 'json', 'csv', 'yaml', 'markdown'))
    .addHelpText('after', CONTROLS_HELP)
    .action((id: string | undefined, options: ControlOptions) =>
      withCompiler(async (compiler) => (await import('./policy-controls.js')).showControls(compiler, id, options)),
    );
  policy
    .command('schema')
    .description('print the JSON Schema of what policies see as input, for editors and other tools')
    .addOption(outputOption('json', 'markdown'))
    .addHelpText('after', SCHEMA_HELP)
    .action(async ({ output }: { readonly output: 'json' | 'markdown' }) => {
      const { inputJsonSchema } = await import('../policy/input-schema.js');
      if (output === 'json') return print(JSON.stringify(inputJsonSchema(), null, 2));
      const { inputPage } = await import('../report/input-page.js');
      process.stdout.write(inputPage(inputJsonSchema()));
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
    .option(
      '--kubeconfig <file>',
      'list what runs from this cluster, which is only read; else what is recorded of it is judged',
    )
    .option('--context <name>', 'of the kubeconfig; by default its current one')
    .option('--target <name>', 'which target that cluster is, if there are several')
    .option('--again', 'begin anew, not where it was stopped')
    .addOption(outputOption('text', 'json'))
    .action(async (options: ImpactOptions) => (await import('./policy-impact.js')).impact(options));
  policy
    .command('import')
    .description('write the Gatekeeper templates and constraints of a cluster into files')
    .requiredOption('--kubeconfig <file>', 'how to reach the cluster, which is only read')
    .option('--context <name>', 'of the kubeconfig; by default its current one')
    .requiredOption('--to <folder>', 'where to write them, as policies/gatekeeper')
    .option('--force', 'write over files that differ')
    .addOption(outputOption('text', 'json'))
    .action(async (options: ImportOptions) => (await import('./policy-import.js')).importPolicies(options));
  policy
    .command('lint')
    .description('show what is slow or unstable as Wasm, and rules without metadata')
    .argument('[path]', 'folder or file', 'policies')
    .option('--strict', 'show what reads what the input does not have, too')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', LINT_HELP)
    .action((path: string, options: Options) => withCompiler((compiler) => lint(compiler, path, options)));
  policy
    .command('fmt')
    .alias('format')
    .description('show which files are not formatted as `opa fmt` would, or format them')
    .argument('[path]', 'folder or file', 'policies')
    .option('--write', 'format them')
    .option('--check', 'only say which are not, and fail if any is; what happens without --write')
    .option('--diff', 'show what would change')
    .addHelpText('after', FORMAT_HELP)
    .action((path: string, options: FormatOptions) =>
      withCompiler(async (compiler) => (await import('./policy-fmt.js')).format(compiler, path, options)),
    );
}

const STRICT = 'refuse rules that read what the input does not have; policies.strict in countersign.yaml is the same';

const NEW_HELP = `
Examples:
  countersign policy new shop.owner --control SOC2:CC8.1
  countersign policy new commits.reason --scope change --kind warn --severity low
It writes policies/shop/owner.rego and owner_test.rego; a file that is there is left alone. docs/policies.md goes on from there.`;

const EXPLAIN_HELP = `
Examples:
  countersign policy explain images.pinned
  countersign policy explain policies/shop/owner.rego --output json
What it reads is followed through helpers as far as that can be known without running it: a path that is computed ends where that begins.`;

const CONTROLS_HELP = `
Examples:
  countersign policy controls SOC2:CC8.1
  countersign policy controls PCI-DSS --output json
Catalogues of your own go into .countersign/controls; docs/controls.md shows one, and all that ship.`;

const TEST_HELP = `
Examples:
  countersign policy test policies --strict --coverage --threshold 90
  countersign policy test --run owner --output json
With --output json, a line each test, a line each file (--coverage), and last {"passed", "failed", "skipped"} and, with --coverage, "coverage" in percent.
Exit code: 0 all passed, 1 some failed or too little is covered, 2 could not tell.`;

const CHECK_HELP = `
Example:
  countersign policy check policies --strict
Exit code: 0 valid, 2 not; every fault is told with file and line.`;

const LINT_HELP = `
Example:
  countersign policy lint policies --strict
Exit code: 0 nothing found, 1 something.`;

const FORMAT_HELP = `
Examples:
  countersign policy fmt policies --diff
  countersign policy fmt policies --write
Exit code: 0 all formatted, or --write; 1 some were not.`;

const repeated = (value: string, all: readonly string[]): string[] => [...all, value];

function percent(value: string): number {
  const number = Number(value);
  if (/^\d+(\.\d+)?%?$/.test(value) && parseFloat(value) <= 100) return parseFloat(value);
  throw new InvalidArgumentError(Number.isNaN(number) ? 'it must be a number' : 'it must be a number from 0 to 100');
}

const SCHEMA_HELP = `
Example, for the OPA extension of VS Code (opa.schema) and for opa check --schema:
  countersign policy schema > schemas/input.json
The schema is that of countersign.dev/v1; docs/policies.md tells how editors use it, docs/policy-input.md is the same for people.`;

async function withCompiler(
  action: (compiler: RegoCompiler) => Promise<void>,
  options: CompilerOptions = {},
): Promise<void> {
  const [{ RegoCompiler }, { policyCache }] = await Promise.all([
    import('../adapters/opa/compiler.js'),
    import('../adapters/folder/cache-folder.js'),
  ]);
  const compiler = new RegoCompiler({ cache: policyCache(), ...options });
  try {
    await action(compiler);
  } finally {
    await compiler.close();
  }
}

async function test(compiler: RegoCompiler, path: string, options: TestOptions): Promise<void> {
  const { output, run, strict, coverage: asked, threshold } = options;
  if (threshold !== undefined && !asked) throw notCovered();
  const [{ policyFolder, testFolder }, { testPolicies }, { totalCoverage }] = await Promise.all([
    import('../policy/folder.js'),
    import('./policy-tests.js'),
    import('../adapters/opa/coverage.js'),
  ]);
  if (strict) await compiler.check(policyFolder(path, { profile: 'off', strict }));
  const { tests, coverage } = await testPolicies(compiler, testFolder(path), { run, covered: asked });
  const count = (...outcomes: RegoTestResult['outcome'][]) => tests.filter((r) => outcomes.includes(r.outcome)).length;
  const summary = { passed: count('passed'), failed: count('failed', 'error'), skipped: count('skipped') };
  for (const result of tests) {
    if (output === 'json') await print(jsonLine(result));
    else if (result.outcome !== 'passed') await print(testLines(result));
  }
  for (const file of coverage) await print(output === 'json' ? jsonLine(file) : printable(coverageLine(file)));
  const total = totalCoverage(coverage);
  const [passed, failed, skipped] = [`${summary.passed} passed`, `${summary.failed} failed`, `${summary.skipped} skipped`]; // prettier-ignore
  const shown = [passed, failed, skipped, ...(asked ? [`${total} % covered`] : [])];
  await print(output === 'json' ? jsonLine({ ...summary, ...(asked ? { coverage: total } : {}) }) : shown.join(', '));
  const low = threshold !== undefined && total < threshold;
  if (low && output === 'text') await print(`that is less than ${threshold} %`);
  process.exitCode = summary.failed > 0 || low ? 1 : 0;
}

function notCovered(): CountersignError {
  return new CountersignError('usage', '--threshold is about coverage, which is not looked at', {
    remedy: 'Give --coverage, too',
  });
}

function coverageLine({ file, percent: covered, uncovered }: Coverage): string {
  const missed = uncovered.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
  return `${`${covered} %`.padStart(7)}  ${file}${missed === '' ? '' : `  not covered: ${missed}`}`;
}

function testLines({ outcome, file, row, package: pkg, name, error, output }: RegoTestResult): string {
  const more = [error, ...(output ?? '').split('\n')].filter((line) => line !== undefined && line !== '');
  return [`${outcome}  ${file}:${row}  ${pkg}.${name}`, ...more.map((line) => `  ${line}`)].map(printable).join('\n');
}

async function check(compiler: RegoCompiler, path: string, { output, strict = false }: CheckOptions): Promise<void> {
  const { policyFolder } = await import('../policy/folder.js');
  const rules = await compiler.check(policyFolder(path, { profile: 'off', strict }));
  const listing = new Listing(RULE_COLUMNS, { output, record: (rule) => rule });
  for (const rule of rules) await listing.add(rule);
  if (output !== 'text' || rules.length > 0) await listing.end();
  if (output === 'json') await print(jsonLine({ rules: rules.length }));
  if (output === 'text') await print(`valid, ${rules.length} ${rules.length === 1 ? 'rule' : 'rules'}`);
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

const RULE_COLUMNS: readonly Column<Rule>[] = [
  { name: 'id', value: ({ id }) => id },
  { name: 'kind', value: ({ kind }) => kind },
  { name: 'scope', value: ({ scope }) => scope },
  { name: 'severity', value: ({ severity }) => severity },
  { name: 'place', value: ({ place }) => formatPlace(place) },
  { name: 'title', value: ({ title = '' }) => title },
  { name: 'controls', value: ({ controls }) => controls },
];

/** Controls that rules name and no catalogue has. */
async function unknownIn(rules: readonly Rule[], path: string): Promise<readonly Finding[]> {
  const [{ unknownControls, CONTROLS_FOLDER }, { cataloguesAround }] = await Promise.all([
    import('../report/controls.js'),
    import('./policy-controls.js'),
  ]);
  return unknownControls(rules, cataloguesAround(path)).map(({ rule, control, near }) => ({
    code: 'unknown-control',
    message: `${rule.id} answers ${control}, which is in no catalogue${near}`,
    remedy: `Correct it, or add it to a file in ${CONTROLS_FOLDER}`,
    place: rule.place,
  }));
}

async function lint(compiler: RegoCompiler, path: string, { output, strict = false }: Options): Promise<void> {
  const { policyFolder } = await import('../policy/folder.js');
  const { STARTER_PREFIX } = await import('../policy/bundle.js');
  const sources = policyFolder(path, { profile: 'off', strict });
  const starters = sources.starter?.profile === 'off'; // else they are the very folder
  const findings = await compiler.lint(sources);
  const own = [
    ...findings.filter(({ place }) => !starters || !place.file.startsWith(STARTER_PREFIX)),
    ...(await unknownIn(await compiler.check({ ...sources, strict: false }), path)),
  ];
  for (const finding of own) {
    const { code, message, remedy, place } = finding;
    await print(output === 'json' ? jsonLine(finding) : printable(`${formatPlace(place)}  ${message}. ${remedy} (${code})`)); // prettier-ignore
  }
  if (own.length > 0) process.exitCode = 1;
}
