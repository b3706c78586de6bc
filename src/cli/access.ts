import { Option, type Command } from 'commander';
import type { AccessGrant, AccessList } from '../report/access-list.js';
import { ask } from './ask.js';
import { jsonLine, print, printable } from './output.js';

interface Options {
  readonly at?: string;
  readonly url: string;
  readonly output: 'text' | 'json' | 'csv';
}

export function register(program: Command): void {
  program
    .command('access')
    .description('list who may what at a service, now or at an earlier date')
    .option('--at <instant>', 'as it was then: a date, or a time such as 2026-07-01T00:00:00Z')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .addOption(new Option('--output <format>', 'how to print it').choices(['text', 'json', 'csv']).default('text'))
    .addHelpText('after', '\nExample: countersign access --at 2026-07-01 --output csv > access-2026-07-01.csv')
    .action(list);
}

const QUERY = `query ($at: DateTime) { accessList(at: $at) { at index since
  grants { kind name login role repositories environments expires expired } } }`;
const COLUMNS = ['kind', 'name', 'login', 'role', 'repositories', 'environments', 'expires', 'expired'] as const;

async function list({ at, url, output }: Options): Promise<void> {
  const { accessList } = await ask<{ accessList: AccessList }>(url, QUERY, { at: at ?? null });
  if (output === 'json') return print(jsonLine(accessList));
  if (output === 'csv') {
    const { csvRecord } = await import('../report/csv.js');
    const rows = accessList.grants.map((grant) => csvRecord(COLUMNS.map((name) => grant[name])));
    process.stdout.write(csvRecord([...COLUMNS]) + rows.join(''));
    return;
  }
  await print(`at ${accessList.at}, as configured since ${accessList.since} (entry ${accessList.index})`);
  for (const grant of accessList.grants) await print(printable(lineOf(grant)));
}

function lineOf({ kind, name, login, role, repositories, environments, expires, expired }: AccessGrant): string {
  const until = expires === null ? '' : `   ${expired ? 'expired' : 'until'} ${expires}`;
  const where = `${repositories.join(' ')} / ${environments.join(' ')}`;
  return `${kind.padEnd(8)}  ${role.padEnd(13)}  ${login === null ? name : `${name} (${login})`}   ${where}${until}`;
}
