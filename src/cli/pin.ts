import type { Command } from 'commander';
import { commitIn, holding, propose, type HoldOptions, pinTo } from './hold/propose.js';

interface Options extends HoldOptions {
  readonly to?: string;
}

export function register(program: Command): void {
  holding(program.command('pin').description('hold an environment at a commit, whatever its branch moves to'))
    .option('--to <revision>', "the commit; by default the head of the environment's ref in your clone")
    .action(pin);
}

async function pin(name: string, options: Options): Promise<void> {
  await propose(name, options, async (environment, clone) => {
    const commit = await commitIn(clone, options.to ?? environment.ref);
    return { hold: pinTo(commit, options), title: `pin ${name} to ${commit.slice(0, 12)}` };
  });
}
