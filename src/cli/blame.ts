import type { Command } from 'commander';
import type { BlameLines } from '../report/blame-text.js';
import { jsonLine, print, printable, outputOption } from './output.js';

interface Options {
  readonly url: string;
  readonly namespace?: string;
  readonly environment?: string;
  readonly repository?: string;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('blame')
    .description(
      'say of every field of a live object which commit, person and decision set it, or who did outside of Git',
    )
    .argument('<object>', 'KIND/NAME as for kubectl: deployment/cart, deploy/cart, deployments.apps/cart')
    .option('-n, --namespace <name>', 'the namespace that it is in')
    .option('--environment <name>', 'the environment that holds it, where several could')
    .option('--repository <name>', 'the repository of that environment')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', '\nExit code: 0 told, 2 could not.')
    .action(blame);
}

const QUERY = `query ($kind: String!, $name: String!, $namespace: String, $repository: String, $environment: String) {
  blame(kind: $kind, name: $name, namespace: $namespace, repository: $repository, environment: $environment) {
    object { object { group version kind namespace name } repository environment health } isThere
    fields { path value by differs commitId isExact operation decisionIndex appliedAt attribution
      commit { author { name email } signature { principal status key } } decision { approvals { principal account } } drift { index supplements } }
    drift { fields type attribution supplements detectedAt correctedAt index } } }`;

async function blame(object: string, options: Options): Promise<void> {
  const [{ ask }, { CountersignError }, { blameText }] = await Promise.all([
    import('./ask.js'),
    import('../errors.js'),
    import('../report/blame-text.js'),
  ]);
  const [kind, name, ...rest] = object.split('/');
  if (!kind || !name || rest.length > 0) {
    throw new CountersignError('usage', `${object} names no object`, { remedy: 'Name it like deployment/cart' });
  }
  const { url, output, ...where } = options;
  const { blame: answer } = await ask<{ readonly blame: BlameLines }>(url, QUERY, { kind, name, ...where });
  if (output === 'json') return print(jsonLine(answer));
  for (const line of blameText(answer)) await print(printable(line));
}
