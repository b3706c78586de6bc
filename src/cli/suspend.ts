import { type Command, InvalidArgumentError } from 'commander';
import { holding, propose, type HoldOptions } from './hold/propose.js';

interface Options extends HoldOptions {
  readonly until?: string;
}

export function register(program: Command): void {
  holding(program.command('suspend').description('write nothing to an environment; its drift is recorded meanwhile'))
    .option('--until <time>', 'when it ends by itself, as 2026-11-21T18:00:00Z', instant)
    .action(suspend);
}

function instant(text: string): string {
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(Date.parse(text)))
    throw new InvalidArgumentError('It must be a time such as 2026-11-21T18:00:00Z.');
  return new Date(text).toISOString();
}

async function suspend(name: string, options: Options): Promise<void> {
  const { reason, until } = options;
  const hold = { do: 'suspend', suspend: { reason, ...(until ? { until } : {}) } } as const;
  await propose(name, options, () => Promise.resolve({ hold, title: `suspend ${name}` }));
}
