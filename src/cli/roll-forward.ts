import type { Command } from 'commander';
import { commitIn, holding, propose, type HoldOptions, pinTo } from './hold/propose.js';

interface Options extends HoldOptions {
  readonly to?: string;
}

export function register(program: Command): void {
  holding(program.command('roll-forward').description('let an environment go on after a rollback or a pin'))
    .option('--to <revision>', 'hold it at this later commit; by default it follows its ref again')
    .action(rollForward);
}

async function rollForward(name: string, options: Options): Promise<void> {
  await propose(name, options, async (_, clone) => {
    const { to } = options;
    if (to === undefined) return { hold: { do: 'unpin' }, title: `roll ${name} forward` };
    const commit = await commitIn(clone, to);
    return { hold: pinTo(commit, options), title: `roll ${name} forward to ${commit.slice(0, 12)}` };
  });
}
