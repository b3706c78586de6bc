import type { Command } from 'commander';
import type { ObjectIdentity } from '../cluster/object.js';
import { type Column, jsonLine, Listing, type Output, outputOption, print, printable, printYaml } from './output.js';

interface Options {
  readonly url: string;
  readonly target?: string;
  readonly namespace?: string;
  readonly output: Output;
}

export function register(program: Command): void {
  program
    .command('orphans')
    .description('list what is in governed namespaces that no commit explains; nothing is deleted')
    .option('--target <name>', 'of service.yaml; all of them otherwise')
    .option('-n, --namespace <name>', 'only there')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .addOption(outputOption('text', 'json', 'csv', 'yaml'))
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
  if (output === 'yaml') return printYaml(targets);
  const columns: readonly Column<Found>[] = [
    { name: 'target', value: ({ target }) => target },
    { name: 'object', value: ({ object }) => describeIdentity(object) },
    { name: 'made', value: ({ createdAt }) => createdAt },
    { name: 'by', value: ({ manager }) => manager, text: ({ manager }) => manager ?? 'somebody' },
  ];
  const listing = new Listing(columns, { output });
  for (const { target, orphans: found } of targets) for (const one of found) await listing.add({ target, ...one });
  if (output === 'csv') return listing.end();
  await listing.end(unread ? 'none that is known of' : 'none: every object there is explained by a commit');
  for (const { target, count, orphans: found, notRead } of targets) {
    if (count > found.length) await print(printable(`${target}   … and ${count - found.length} more`));
    for (const { kind, reason } of notRead) await print(printable(`${target}   not known of ${kind}: ${reason}`));
  }
}

type Found = Answer['orphans'][number]['orphans'][number] & { readonly target: string };
