import { CommanderError } from 'commander';
import { CountersignError, toCountersignError } from '../errors.js';
import { printable } from './output.js';
import { commandTree } from './tree.js';

async function main(args: readonly string[]): Promise<void> {
  const program = await commandTree(args.find((arg) => !arg.startsWith('-') && arg !== 'help'));
  if (args.length === 0) program.help({ error: true });
  await program.parseAsync([...args], { from: 'user' });
}

// A reader that has seen enough (`countersign commits | head`) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed what it had to say; 1 is taken for "denied".
    process.exitCode = error.exitCode === 0 ? 0 : process.argv.includes('--conftest') ? 1 : 2;
  } else {
    const fault = toCountersignError(error);
    // One line a fault: a configuration may have several.
    const lines = fault.sentence.split('\n').map(printable);
    process.stderr.write(`countersign: ${lines.join('\n             ')}\n`);
    if (!(error instanceof CountersignError) && process.env['COUNTERSIGN_DEBUG']) console.error(error);
    process.exitCode = 2;
  }
}
