import { Option, type Command } from 'commander';
import { CountersignError } from '../errors.js';
import { jsonLine, print, outputOption } from './output.js';
import { follow } from './follow.js';

interface Options {
  readonly data: string;
  readonly format: 'bundle' | 'tiles' | 'proof' | 'vsa';
  readonly entry?: number;
  readonly to: string;
  readonly database?: string;
  readonly newest?: boolean;
  readonly repository?: readonly string[];
  readonly environment?: readonly string[];
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('export')
    .description('write the log of a data folder to a file that auditors can check offline, or to static tiles')
    .requiredOption('--data <folder>', 'the data folder of the service, running or stopped')
    .addOption(
      new Option(
        '--format <format>',
        'one zip with everything, C2SP tiles, the C2SP tlog-proof of one entry, or SLSA verification summaries',
      )
        .choices(['bundle', 'tiles', 'proof', 'vsa'])
        .default('bundle'),
    )
    .requiredOption('--to <path>', 'a new file, or for tiles a new folder')
    .addOption(new Option('--entry <index>', 'of which --format proof is; of vsa, the only one').argParser(parseIndex))
    .option('--newest', 'up to the last entry, even if the witnesses have not signed that far yet')
    .option('--repository <glob...>', 'of a bundle: every entry, and what is in those of these repositories only')
    .option('--environment <glob...>', 'the same of environments; governance for changes of policy')
    .option('--database <url>', 'where the database is, if the data folder does not tell')
    .addOption(outputOption('text', 'json'))
    .action(exportLog);
}

async function exportLog(options: Options): Promise<void> {
  const { readKeys } = await import('../adapters/keys/file.js');
  const { openLogForReading } = await import('../adapters/postgres/open-log.js');
  const { exportBundle, exportProof, exportSummaries, exportTiles } = await import('../adapters/evidence/export.js');
  if (options.format !== 'vsa' && (options.format === 'proof') !== (options.entry !== undefined))
    throw new CountersignError('usage', '--format proof and --entry go together');
  const limited = options.repository !== undefined || options.environment !== undefined;
  if (limited && options.format !== 'bundle')
    throw new CountersignError('usage', '--repository and --environment are of --format bundle');
  const keys = await readKeys(options.data);
  const log = await openLogForReading(options.data, options.database);
  const progress = follow('entries');
  try {
    const { newest = false } = options;
    if (options.format === 'vsa') {
      const only = options.entry === undefined ? {} : { entry: options.entry };
      const { size, summaries } = await exportSummaries(log, keys, options.to, progress.at, { newest, ...only });
      progress.end();
      if (options.output === 'json') return await print(jsonLine({ path: options.to, format: 'vsa', origin: keys.origin, size, summaries })); // prettier-ignore
      await print(`exported ${summaries} verification ${summaries === 1 ? 'summary' : 'summaries'} of ${size} entries of ${keys.origin}`); // prettier-ignore
      await print(`check them  countersign verify evidence.zip --trust trust.txt --vsa ${options.to}`);
      return;
    }
    if (options.entry !== undefined) {
      await exportProof(log, keys, options.entry, options.to, { newest });
      await print(options.output === 'json' ? jsonLine({ path: options.to, format: 'proof', entry: options.entry }) : `check it  countersign verify ${options.to} --trust trust.txt`); // prettier-ignore
      return;
    }
    const { repository: repositories = ['*'], environment: environments = ['*'] } = options;
    const reach = limited ? { reach: [{ repositories, environments }] } : {};
    const write = options.format === 'bundle' ? exportBundle : exportTiles;
    const exported = await write(log, keys, options.to, progress.at, { newest, ...reach });
    const { size, contents, withheld, later } = exported;
    progress.end();
    if (options.output === 'json') {
      await print(
        jsonLine({
          path: options.to,
          format: options.format,
          origin: keys.origin,
          size,
          contents,
          withheld,
          later,
          vkey: keys.log.vkey,
        }),
      );
      return;
    }
    const also =
      options.format === 'bundle'
        ? `, ${contents} contents${withheld > 0 ? `, ${withheld} withheld or erased` : ''}`
        : '';
    await print(`exported ${size} entries of ${keys.origin}${also}`);
    if (later > 0)
      await print(`${later} newer entries are left out: no quorum of witnesses has signed them yet (--newest)`);
    await print(`check it  countersign verify ${options.to} --trust trust.txt`);
    await print(`          trust.txt holds the line  ${keys.log.vkey}`);
  } finally {
    progress.end();
    await log.close();
  }
}

function parseIndex(text: string): number {
  if (/^(0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new CountersignError('usage', `"${text}" is no number of an entry: the first is 0`);
}
