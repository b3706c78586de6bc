import type { Command } from 'commander';
import { CountersignError } from '../errors.js';
import { ask } from './ask.js';
import { commitIn, holding, propose, type HoldOptions, pinTo } from './hold/propose.js';

interface Options extends HoldOptions {
  readonly to?: string;
  readonly url: string;
}

export function register(program: Command): void {
  holding(
    program.command('rollback').description('hold an environment at an earlier commit, as a change that policy sees'),
  )
    .option('--to <revision>', 'the commit; by default the one that was approved before the present one')
    .option('--url <address>', 'the service that is asked for it', 'http://127.0.0.1:4100')
    .action(rollback);
}

async function rollback(name: string, options: Options): Promise<void> {
  await propose(name, options, async (_, clone) => {
    const commit = await commitIn(clone, options.to ?? (await before(name, options.url)));
    return { hold: pinTo(commit, options), title: `roll back ${name} to ${commit.slice(0, 12)}` };
  });
}

/** The newest approved commit that is another than the present one. */
async function before(environment: string, url: string): Promise<string> {
  const { decisions } = await ask<{ decisions: { nodes: { change: { head: string } }[] } }>(
    url,
    `query ($environment: String) {
      decisions(first: 100, filter: {environment: $environment, outcome: [allow]}) { nodes { change { head } } }
    }`,
    { environment },
  );
  const heads = decisions.nodes.map(({ change }) => change.head);
  const found = heads.find((head) => head !== heads[0]);
  if (found !== undefined) return found;
  throw new CountersignError('not-found', `nothing else was approved for ${environment} before`, {
    remedy: 'Name the commit with --to',
  });
}
