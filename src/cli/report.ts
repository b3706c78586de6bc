import { Option, type Command } from 'commander';
import { jsonLine, print, printable, outputOption } from './output.js';

interface Selection {
  readonly to: string;
  readonly url: string;
  readonly since?: string;
  readonly until?: string;
  readonly zone?: string;
  readonly repository?: string;
  readonly environment?: string;
  readonly decision?: string;
  readonly output: 'text' | 'json';
}

interface ChangesOptions extends Selection {
  readonly format: 'csv' | 'jsonl';
  readonly seed?: string;
  readonly sample?: string;
}

interface OscalOptions extends Selection {
  readonly controls?: string;
}

interface ManagementOptions extends Selection {
  readonly format?: 'pdf' | 'json';
  readonly seed?: string;
  readonly sample?: string;
}

export function register(program: Command): void {
  const report = program.command('report').description('take listings for auditors from a running service');
  selecting(report.command('changes'))
    .description('every change that was judged in a period: who, what, why, approved by whom, live when')
    .addOption(new Option('--format <format>', 'how to write it').choices(['csv', 'jsonl']).default('csv'))
    .option('--sample <number>', 'only so many of them, drawn by the seed')
    .option('--seed <text>', 'what the sample is drawn by; name it before you know the population (random)')
    .addHelpText(
      'after',
      `
Example: countersign report changes --since 2026-07-01 --until 2026-10-01 --zone Europe/Berlin --to q3.csv
         countersign report changes --since 2026-07-01 --until 2026-10-01 --sample 25 --seed audit-2026-q3 --to sample.csv
         countersign verify evidence.zip --trust trust.txt --population q3.csv`,
    )
    .action(reportChanges);
  selecting(report.command('management'))
    .description('a change-management report for people: figures, what stands out, a sample, and how to verify it')
    .addOption(new Option('--format <format>', 'pdf, or its figures as json').choices(['pdf', 'json']).default('pdf'))
    .option('--sample <number>', 'how many changes to show in full (25)')
    .option('--seed <text>', 'what the sample is drawn by; name it before you know the population (random)')
    .addHelpText(
      'after',
      `
Example: countersign report management --since 2026-07-01 --until 2026-10-01 --seed audit-2026-q3 --to q3.pdf`,
    )
    .action(reportManagement);
  selecting(report.command('oscal'))
    .description('how controls came out in a period, as OSCAL assessment-results (JSON)')
    .option('--controls <id>', 'of one catalogue (SOC2) or one control (SOC2:CC8.1) only')
    .addHelpText(
      'after',
      `
Example: countersign report oscal --since 2026-07-01 --until 2026-10-01 --controls NIST-800-53 --to q3.oscal.json
What they are: countersign policy controls`,
    )
    .action(reportOscal);
  selecting(report.command('vsa'))
    .description(
      'what each change was allowed or denied, as SLSA verification summaries: a signed DSSE envelope a line',
    )
    .addHelpText(
      'after',
      `
Example: countersign report vsa --repository shop --since 2026-07-01 --to vsa.jsonl
         countersign verify evidence.zip --trust trust.txt --vsa vsa.jsonl`,
    )
    .action(reportSummaries);
  printing(report.command('evidence'))
    .description('an evidence bundle: every entry of the log, and the contents that your token may see')
    .requiredOption('--to <file>', 'a new file; what was asked for goes into <file>.manifest.json')
    .addHelpText('after', '\nExample: countersign report evidence --to evidence.zip')
    .action(reportEvidence);
}

function selecting(command: Command): Command {
  return printing(command)
    .requiredOption('--to <file>', 'a new file; what was asked for goes into <file>.manifest.json')
    .option('--since <date>', 'the first day, or a time such as 2026-07-01T00:00:00Z')
    .option('--until <date>', 'the day after the last, or a time')
    .option('--zone <zone>', 'where those days begin and end, as Europe/Berlin (UTC)')
    .option('--repository <name>', 'of this repository only')
    .option('--environment <name>', 'of this environment only; governance for changes of policy')
    .option('--decision <outcome>', 'allow, deny, pending or error only');
}

function printing(command: Command): Command {
  return command
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .addOption(outputOption('text', 'json'));
}

async function reportChanges({ format, seed, sample, ...options }: ChangesOptions): Promise<void> {
  const manifest = await fetchReport(`changes.${format}`, options, { seed, sample });
  if (!manifest) return;
  const { rows, sample: drawn } = manifest;
  const some = drawn ? `a sample of ${Math.min(rows, drawn.size)}, by the seed ${drawn.seed}, of ` : '';
  await print(printable(`wrote ${some}${rows} ${rows === 1 ? 'change' : 'changes'} to ${options.to}, and what was asked for to ${manifest.file}`)); // prettier-ignore
  await whence(manifest);
  await print('check it  countersign export --data DATA --to evidence.zip');
  await print(printable(`          countersign verify evidence.zip --trust trust.txt --population ${options.to}`));
}

async function reportManagement({ format, seed, sample, ...options }: ManagementOptions): Promise<void> {
  const manifest = await fetchReport(`management.${format}`, options, { seed, sample });
  if (!manifest) return;
  await print(printable(`wrote a report on ${manifest.rows} ${manifest.rows === 1 ? 'change' : 'changes'} to ${options.to}, and what was asked for to ${manifest.file}`)); // prettier-ignore
  await whence(manifest);
}

async function reportOscal({ controls, ...options }: OscalOptions): Promise<void> {
  const manifest = await fetchReport('oscal.json', options, { controls });
  if (!manifest) return;
  await print(printable(`wrote an assessment of ${manifest.rows} ${manifest.rows === 1 ? 'change' : 'changes'} to ${options.to}, and what was asked for to ${manifest.file}`)); // prettier-ignore
  await whence(manifest);
}

async function reportEvidence(options: Pick<Selection, 'to' | 'url' | 'output'>): Promise<void> {
  const manifest = await fetchReport('evidence.zip', options);
  if (!manifest) return;
  await print(printable(`wrote ${manifest.size} entries or more to ${options.to}, with what your token may see of them`)); // prettier-ignore
  await print(`the log tells of this export in entry ${manifest.index}`);
  await print(printable(`check it  countersign verify ${options.to} --trust trust.txt`));
}

async function reportSummaries(options: Selection): Promise<void> {
  const manifest = await fetchReport('vsa.jsonl', options);
  if (!manifest) return;
  await print(printable(`wrote verification summaries of ${manifest.rows} ${manifest.rows === 1 ? 'decision' : 'decisions'}, those that were allowed or denied, to ${options.to}, and what was asked for to ${manifest.file}`)); // prettier-ignore
  await whence(manifest);
}

const whence = ({ size, index }: Listing): Promise<void> =>
  print(`taken from entries 0 … ${size - 1} of the log, which tells of this export in entry ${index}`);

type Listing = Readonly<Record<'rows' | 'size' | 'index', number>> & {
  readonly file: string;
  readonly sample?: { readonly seed: string; readonly size: number };
};

/** Undefined once all is printed. */
async function fetchReport(
  path: string,
  { to, url, output, since, until, zone, repository, environment, decision }: Selection,
  others: Readonly<Record<string, string | undefined>> = {},
): Promise<Listing | undefined> {
  const { fetchListing } = await import('./fetch-listing.js');
  const address = new URL(`/reports/${path}`, url);
  for (const [name, value] of Object.entries({ since, until, zone, repository, environment, decision, ...others })) {
    if (value !== undefined) address.searchParams.set(name, value);
  }
  const { manifest, manifestFile } = await fetchListing(address, to);
  if (output === 'text') return { ...manifest, file: manifestFile };
  await print(jsonLine({ path: to, manifest: manifestFile, ...manifest }));
  return undefined;
}
