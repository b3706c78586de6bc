import type { Command } from 'commander';
import type { AccessGrant, AccessList } from '../report/access-list.js';
import { ask } from './ask.js';
import { type Column, jsonLine, Listing, type Output, outputOption, print, printYaml } from './output.js';

interface Options {
  readonly at?: string;
  readonly url: string;
  readonly output: Output;
}

export function register(program: Command): void {
  program
    .command('access')
    .description('list who may what at a service, now or at an earlier date')
    .option('--at <instant>', 'as it was then: a date, or a time such as 2026-07-01T00:00:00Z')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .addOption(outputOption('text', 'json', 'csv', 'yaml'))
    .addHelpText('after', '\nExample: countersign access --at 2026-07-01 --output csv > access-2026-07-01.csv')
    .action(list);
}

const QUERY = `query ($at: DateTime) { accessList(at: $at) { at index since
  grants { kind name login role repositories environments expires expired } } }`;

async function list({ at, url, output }: Options): Promise<void> {
  const { accessList } = await ask<{ accessList: AccessList }>(url, QUERY, { at: at ?? null });
  if (output === 'json') return print(jsonLine(accessList));
  if (output === 'yaml') return printYaml(accessList);
  if (output === 'text')
    await print(`at ${accessList.at}, as configured since ${accessList.since} (entry ${accessList.index})`);
  const listing = new Listing(COLUMNS, { output });
  for (const grant of accessList.grants) await listing.add(grant);
  await listing.end('nobody has anything');
}

const COLUMNS: readonly Column<AccessGrant>[] = [
  { name: 'kind', value: ({ kind }) => kind },
  { name: 'name', value: ({ name }) => name },
  { name: 'login', value: ({ login }) => login },
  { name: 'role', value: ({ role }) => role },
  { name: 'repositories', value: ({ repositories }) => repositories },
  { name: 'environments', value: ({ environments }) => environments },
  { name: 'expires', value: ({ expires }) => expires },
  { name: 'expired', value: ({ expired }) => expired, text: ({ expired }) => (expired ? 'expired' : '') },
];
