import { type Command, Option } from 'commander';
import type { ObjectIdentity } from '../cluster/object.js';
import { jsonLine, print, printable } from './output.js';

interface Options {
  readonly url: string;
  readonly target?: string;
  readonly namespace?: string;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('orphans')
    .description('list what is in governed namespaces that no commit explains; nothing is deleted')
    .option('--target <name>', 'of service.yaml; all of them otherwise')
    .option('-n, --namespace <name>', 'only there')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .addOption(new Option('--output <format>', 'how to print them').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      '\nExit code: 0 there are none, 1 there are some, 2 could not tell (of a kind, for want of rights, too).',
    )
    .action(orphans);
}

const QUERY = `query ($target: String, $namespace: String) { orphans(target: $target, namespace: $namespace) {
  target count orphans { object { group version kind namespace name } uid createdAt manager } notRead { kind reason } } }`;

interface Answer {
  readonly orphans: readonly {
    readonly target: string;
    readonly count: number;
    readonly orphans: readonly { readonly object: ObjectIdentity; readonly createdAt: string; readonly manager: string | null }[]; // prettier-ignore
    readonly notRead: readonly { readonly kind: string; readonly reason: string }[];
  }[];
}

async function orphans({ url, output, ...where }: Options): Promise<void> {
  const [{ ask }, { describeIdentity }] = await Promise.all([import('./ask.js'), import('../cluster/object.js')]);
  const { orphans: targets } = await ask<Answer>(url, QUERY, where);
  const unread = targets.some(({ notRead }) => notRead.length > 0);
  process.exitCode = unread ? 2 : targets.some(({ count }) => count > 0) ? 1 : 0;
  if (output === 'json') return print(jsonLine(targets));
  for (const { target, count, orphans: found, notRead } of targets) {
    for (const { object, createdAt, manager } of found)
      await print(printable(`${target}   ${describeIdentity(object)}   made ${createdAt} by ${manager ?? 'somebody'}`));
    if (count > found.length) await print(`${target}   … and ${count - found.length} more`);
    for (const { kind, reason } of notRead) await print(printable(`${target}   not known of ${kind}: ${reason}`));
  }
  if (!unread && targets.every(({ count }) => count === 0))
    await print('none: every object there is explained by a commit');
}
