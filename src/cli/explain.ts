import type { Command } from 'commander';
import type { ExplanationLines } from '../report/explanation.js';
import { jsonLine, print, printable, outputOption } from './output.js';

interface Options {
  readonly url: string;
  readonly trace?: boolean;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('explain')
    .description('say why a recorded decision came out as it did, by judging it again in OPA’s own interpreter')
    .argument('<decision>', 'its id')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .option('--trace', 'every step of the interpreter')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', HELP)
    .action(explain);
}

const HELP = `
The id of a decision: { decisions(first: 1, filter: {outcome: [deny]}) { nodes { id } } }. For a change that is not recorded:
countersign check --explain. Exit code: 0 explained, 2 could not.`;

const QUERY = `query ($id: ID!, $trace: Boolean!) { decision(id: $id) { outcome environment change { head }
  explanations(trace: $trace) { title description values exceptionRequest trace more
    violation { rule kind message controls place { file line } object { kind namespace name } source { path line } commit fix }
    fired { name place { file line } values } } } }`;

interface Answer {
  readonly decision: {
    readonly outcome: string;
    readonly environment: string;
    readonly change: { readonly head: string } | null;
    readonly explanations: readonly ExplanationLines[];
  } | null;
}

async function explain(id: string, { url, trace = false, output }: Options): Promise<void> {
  const [{ ask }, { CountersignError }, { explanationText }] = await Promise.all([
    import('./ask.js'),
    import('../errors.js'),
    import('../report/explanation.js'),
  ]);
  const { decision } = await ask<Answer>(url, QUERY, { id, trace });
  if (!decision) {
    throw new CountersignError('not-found', `the service at ${url} has no decision ${id}`, {
      remedy: 'List them with { decisions { nodes { id environment outcome } } }',
    });
  }
  if (output === 'json') return print(jsonLine(decision));
  const { outcome, environment, change, explanations } = decision;
  await print(printable(`${outcome}   ${environment}   ${change?.head.slice(0, 7) ?? ''}`));
  for (const one of explanations) {
    await print('');
    for (const line of explanationText(one)) await print(printable(line));
  }
  if (explanations.length === 0) await print('no rule had anything to say');
}
