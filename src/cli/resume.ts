import type { Command } from 'commander';
import { holding, propose, type HoldOptions } from './hold/propose.js';

export function register(program: Command): void {
  holding(program.command('resume').description('lift what holds an environment: suspension and pin')).action(resume);
}

async function resume(name: string, options: HoldOptions): Promise<void> {
  await propose(name, options, () => Promise.resolve({ hold: { do: 'resume' }, title: `resume ${name}` }));
}
