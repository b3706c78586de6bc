import { outputOption } from './output.js';
import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('demo')
    .description('the whole story on a real repository, a real log and a real Kubernetes API server')
    .option('--exit', 'end by itself: exit code 0 if every step did what it should, else 1')
    .option('--kubeconfig <file>', 'use this cluster, in two namespaces of its own that are deleted at the end')
    .option('--keep <dir>', 'leave the data folder and the repository in this new folder')
    .addOption(outputOption('text', 'json'))
    .action(async (options: { exit?: boolean; kubeconfig?: string; keep?: string; output: 'text' | 'json' }) => {
      const { runDemo } = await import('./demo/run.js');
      // Whatever still waits for something belongs to a story that is over.
      process.exit(await runDemo({ ...options, exit: options.exit ?? false }));
    });
}
