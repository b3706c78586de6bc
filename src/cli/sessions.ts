import type { Command } from 'commander';
import type { Session } from '../review/session.js';
import { type Column, jsonLine, Listing, type Output, outputOption, print, printable } from './output.js';

interface Options {
  readonly end?: string;
  readonly url: string;
  readonly output: Output;
}

type Listed = Pick<Session, 'id' | 'login' | 'startedAt' | 'seenAt' | 'endsAt'>;

export function register(program: Command): void {
  program
    .command('sessions')
    .description('list who is signed in to a service with a browser, or sign somebody out everywhere')
    .option('--end <login>', 'end all sessions of whoever logs in so')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .addOption(outputOption('text', 'json', 'csv', 'yaml'))
    .action(sessions);
}

const COLUMNS: readonly Column<Listed>[] = [
  { name: 'login', value: ({ login }) => login },
  { name: 'signed in', value: ({ startedAt }) => startedAt },
  { name: 'last seen', value: ({ seenAt }) => seenAt },
  { name: 'ends', value: ({ endsAt }) => endsAt },
  { name: 'session', value: ({ id }) => id },
];

async function sessions({ end, url, output }: Options): Promise<void> {
  const { ask } = await import('./ask.js');
  if (end !== undefined) {
    const query = 'mutation ($login: String!) { endSessions(login: $login) }';
    const { endSessions: ended } = await ask<{ endSessions: number }>(url, query, { login: end });
    if (output !== 'text') return print(jsonLine({ login: end, ended }));
    return print(printable(`ended ${ended} ${ended === 1 ? 'session' : 'sessions'} of ${end}`));
  }
  const { sessions: found } = await ask<{ sessions: readonly Listed[] }>(url, '{ sessions { id login startedAt seenAt endsAt } }'); // prettier-ignore
  const listing = new Listing(COLUMNS, { output, record: (one) => one });
  for (const one of found) await listing.add(one);
  await listing.end('nobody is signed in with a browser');
}
