import { Argument, type Command } from 'commander';
import { print } from './output.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export function register(program: Command): void {
  program
    .command('completion')
    .description('print what completes commands, options and their values in a shell')
    .addArgument(new Argument('<shell>', 'which one').choices(SHELLS))
    .action(complete);
}

async function complete(shell: (typeof SHELLS)[number]): Promise<void> {
  const [{ commandTree }, { completionFor }] = await Promise.all([
    import('./tree.js'),
    import('./completion/script.js'),
  ]);
  await print(completionFor(shell, await commandTree(null)).trimEnd());
}
