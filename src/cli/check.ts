import { type Command, Option } from 'commander';
import type { Report } from '../report/verdict.js';

import { type OrganisationOptions, organisationOptions } from './organisation.js';
import { colored, jsonLine, outputOption, print, printable } from './output.js';

interface Options extends OrganisationOptions {
  readonly base?: string;
  readonly head?: string;
  readonly env: string[];
  readonly policies?: string;
  readonly profile?: 'baseline' | 'strict' | 'off';
  readonly worktree?: boolean;
  readonly explain?: boolean;
  readonly trace?: boolean;
  readonly output: 'text' | 'json' | 'sarif' | 'junit';
}

export async function register(program: Command): Promise<void> {
  // Conftest's options, which are not ours: -o junit means another thing there.
  if (process.argv.includes('--conftest')) {
    (await import('./check-conftest.js')).registerConftest(program);
    return;
  }
  organisationOptions(program.command('check'))
    .description('judge a change, or a folder, before it is merged')
    .argument('[path]', 'a repository, a folder in one, or any folder or manifest', '.')
    .option('--base <revision>', 'what is there now; by default nothing, so that everything is judged')
    .option('--head <revision>', 'what is proposed; by default HEAD')
    .option('--env <name>', 'only this environment of countersign.yaml, or "governance"; may be repeated', collect, [])
    .option('--policies <folder>', "in place of the repository's policies; starter rules stay as the profile says")
    .addOption(
      new Option('--profile <profile>', 'in place of the profile in countersign.yaml').choices([
        'baseline',
        'strict',
        'off',
      ]),
    )
    .option('--worktree', 'judge the files as they are now, committed or not')
    .option('--explain', 'say of each finding what made it true, by OPA’s own interpreter (with text or json)')
    .option('--trace', 'explain, with every step of the interpreter')
    .addOption(outputOption('text', 'json', 'sarif', 'junit'))
    .addHelpText('after', HELP)
    .action(check);
}

const HELP = `
Policy and signers are read at the base, so that a change cannot choose its own; without a base, at the head.
What commits do to countersign.yaml, the policies and .countersign is judged, too: as "governance".
With --conftest it takes the place of conftest test; countersign check --conftest --help shows its options.
Exit code: 0 allowed, 1 denied or pending, 2 could not tell.`;

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

async function check(path: string, options: Options): Promise<void> {
  const started = performance.now();
  const [{ examine }, { outcomeOf }] = await Promise.all([import('./examination.js'), import('../report/verdict.js')]);
  const { verdicts, notes } = await examine(path, options);
  const seconds = Math.round(performance.now() - started) / 1000;
  const report: Report = { verdicts, notes, seconds, version: await version() };
  await print(await written(report, options.output));
  const outcome = outcomeOf(report);
  process.exitCode = outcome === 'allow' ? 0 : outcome === 'error' ? 2 : 1;
}

async function written(report: Report, output: Options['output']): Promise<string> {
  if (output === 'json') return jsonLine((await import('../report/json.js')).jsonReport(report));
  if (output === 'sarif') return jsonLine((await import('../report/sarif.js')).sarifReport(report));
  if (output === 'junit') return (await import('../report/junit.js')).junitReport(report);
  const { textReport } = await import('../report/text.js');
  return textReport(report, { color: colored(), printable });
}

async function version(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(await readFile(file, 'utf8')) as { version: string }).version;
}
