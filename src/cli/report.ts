import { Option, type Command } from 'commander';
import { jsonLine, print, printable } from './output.js';

interface Options {
  readonly to: string;
  readonly format: 'csv' | 'jsonl';
  readonly url: string;
  readonly since?: string;
  readonly until?: string;
  readonly zone?: string;
  readonly repository?: string;
  readonly environment?: string;
  readonly decision?: string;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  const report = program.command('report').description('take listings for auditors from a running service');
  report
    .command('changes')
    .description('every change that was judged in a period: who, what, why, approved by whom, live when')
    .requiredOption('--to <file>', 'a new file; what was asked for goes into <file>.manifest.json')
    .addOption(new Option('--format <format>', 'how to write it').choices(['csv', 'jsonl']).default('csv'))
    .option('--since <date>', 'the first day, or a time such as 2026-07-01T00:00:00Z')
    .option('--until <date>', 'the day after the last, or a time')
    .option('--zone <zone>', 'where those days begin and end, as Europe/Berlin (UTC)')
    .option('--repository <name>', 'of this repository only')
    .option('--environment <name>', 'of this environment only; governance for changes of policy')
    .option('--decision <outcome>', 'allow, deny, pending or error only')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .addOption(new Option('--output <format>', 'how to print what was done').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      `
Example: countersign report changes --since 2026-07-01 --until 2026-10-01 --zone Europe/Berlin --to q3.csv
         countersign verify evidence.zip --trust trust.txt --population q3.csv`,
    )
    .action(reportChanges);
}

async function reportChanges(options: Options): Promise<void> {
  const { fetchListing } = await import('./fetch-listing.js');
  const { to, format, url, since, until, zone, repository, environment, decision } = options;
  const address = new URL(`/reports/changes.${format}`, url);
  for (const [name, value] of Object.entries({ since, until, zone, repository, environment, decision })) {
    if (value !== undefined) address.searchParams.set(name, value);
  }
  const { manifest, manifestFile } = await fetchListing(address, to);
  if (options.output === 'json') return print(jsonLine({ path: to, manifest: manifestFile, ...manifest }));
  const { rows, size, index } = manifest;
  await print(
    printable(`wrote ${rows} ${rows === 1 ? 'change' : 'changes'} to ${to}, and what was asked for to ${manifestFile}`),
  );
  await print(`taken from entries 0 … ${size - 1} of the log, which tells of this export in entry ${index}`);
  await print('check it  countersign export --data DATA --to evidence.zip');
  await print(printable(`          countersign verify evidence.zip --trust trust.txt --population ${to}`));
}
