import type { Command } from 'commander';
import type { DataSource } from 'typeorm';
import type { HoldScope } from '../review/legal-hold.js';
import { CountersignError } from '../errors.js';
import { jsonLine, outputOption, print, printable } from './output.js';

interface Common {
  readonly data: string;
  readonly database?: string;
  readonly output: 'text' | 'json';
}

interface AddOptions extends Common {
  readonly reason: string;
  readonly by: string;
  readonly repository?: string;
  readonly environment?: string;
  readonly since?: string;
  readonly until?: string;
  readonly zone?: string;
  readonly person?: string;
  readonly entries?: string;
}

export function register(program: Command): void {
  const hold = program
    .command('legal-hold')
    .description('keep contents from being removed, by retention or by an erasure')
    .addHelpText(
      'after',
      `
Example: countersign legal-hold add case-2026-7 --data DIR --repository shop --since 2026-01-01 --reason "case 7" --by "Legal, C. Doe"
         countersign legal-hold release case-2026-7 --data DIR --reason "settled" --by "Legal, C. Doe"

The service may run. A hold counts at once; the service writes it into the log within seconds, or when it is started next. A release
counts once it is in the log.`,
    );
  common(hold.command('add').argument('<name>', 'what it is called: lower-case letters, digits, ".", "_", "-"'))
    .description('hold the contents of some entries; all that is given must fit, nothing given is everything')
    .requiredOption('--reason <text>', 'why')
    .requiredOption('--by <name>', 'who asks for it')
    .option('--repository <name>', 'of this repository')
    .option('--environment <name>', 'of this environment')
    .option('--since <date>', 'recorded from this day or time on')
    .option('--until <date>', 'recorded before this day or time')
    .option('--zone <zone>', 'where those days begin, as Europe/Berlin (UTC)')
    .option('--entries <from-to>', 'of these entries, as 1200-1300')
    .option('--person <name>', 'that name this address or principal')
    .action(add);
  common(hold.command('release').argument('<name>', 'of the hold'))
    .description('end a hold')
    .requiredOption('--reason <text>', 'why')
    .requiredOption('--by <name>', 'who asks for it')
    .action(release);
  common(hold.command('list')).description('all holds, those that were released included').action(list);
}

const common = (command: Command): Command =>
  command
    .requiredOption('--data <folder>', 'the data folder of the service')
    .option('--database <url>', 'where the database is, if the data folder does not tell')
    .addOption(outputOption());

async function add(name: string, options: AddOptions): Promise<void> {
  const { addLegalHold } = await import('../adapters/postgres/legal-holds.js');
  const { scopeText } = await import('../review/legal-hold.js');
  if (!/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/.test(name))
    throw new CountersignError('usage', `"${name.slice(0, 80)}" is no name for a hold`, { remedy: 'Write one such as case-2026-7' }); // prettier-ignore
  const { reason, by } = options;
  const scope = await scopeOf(options);
  await within(options, (dataSource) => addLegalHold(dataSource, { name, scope, reason, by }));
  if (options.output === 'json') return print(jsonLine({ name, scope, reason, by }));
  await print(printable(`held: ${scopeText(scope)}; nothing of it is removed until ${name} is released`));
}

async function scopeOf(options: AddOptions): Promise<HoldScope> {
  const { parsePopulationQuery } = await import('../report/population-query.js');
  const { Subject } = await import('../review/subject.js');
  const { repository, environment, person } = options;
  const { since, until } = parsePopulationQuery({ since: options.since, until: options.until, zone: options.zone });
  if (person !== undefined) void new Subject([person]); // refuses what is too short to look for
  return {
    ...(repository === undefined ? {} : { repository }),
    ...(environment === undefined ? {} : { environment }),
    ...(since === null ? {} : { since }),
    ...(until === null ? {} : { until }),
    ...(options.entries === undefined ? {} : { entries: rangeOf(options.entries) }),
    ...(person === undefined ? {} : { person }),
  };
}

function rangeOf(text: string): { readonly from: number; readonly to: number } {
  const [, from, to] = /^(\d{1,15})-(\d{1,15})$/.exec(text)?.map(Number) ?? [];
  if (from !== undefined && to !== undefined && from <= to) return { from, to };
  throw new CountersignError('usage', `"${text.slice(0, 40)}" is no range of entries`, { remedy: 'Write 1200-1300' });
}

async function release(
  name: string,
  options: Common & { readonly reason: string; readonly by: string },
): Promise<void> {
  const { releaseLegalHold } = await import('../adapters/postgres/legal-holds.js');
  await within(options, (dataSource) => releaseLegalHold(dataSource, name, options.reason, options.by));
  if (options.output === 'json') return print(jsonLine({ name, released: true }));
  await print(`${name} ends when the log tells of its release`);
}

async function list(options: Common): Promise<void> {
  const { legalHolds } = await import('../adapters/postgres/legal-holds.js');
  const { scopeText } = await import('../review/legal-hold.js');
  const all = await within(options, legalHolds);
  if (options.output === 'json') return print(jsonLine({ holds: all }));
  if (all.length === 0) return print('no legal hold');
  for (const { name, scope, reason, by, addedAt, index, release: ended } of all) {
    const where = index === null ? 'not in the log yet' : `entry ${index}`;
    const end = ended ? `; released ${ended.at} by ${ended.by}: ${ended.reason}${ended.index === null ? ' (not in the log yet, so it still holds)' : ''}` : ''; // prettier-ignore
    await print(printable(`${name.padEnd(20)}  ${scopeText(scope)}; since ${addedAt}, ${where}, by ${by}: ${reason}${end}`)); // prettier-ignore
  }
}

async function within<T>({ data, database }: Common, work: (dataSource: DataSource) => Promise<T>): Promise<T> {
  const { notedDatabase } = await import('../adapters/postgres/embedded.js');
  const { openDatabase } = await import('../adapters/postgres/connect.js');
  const { openStoppedDatabase } = await import('../adapters/postgres/stopped.js');
  const running = database ?? (await notedDatabase(data));
  const dataSource = running === undefined ? await openStoppedDatabase(data) : await openDatabase({ url: running });
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
