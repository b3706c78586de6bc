import type { Command } from 'commander';
import { jsonLine, print, printable, outputOption } from './output.js';

interface Common {
  readonly data: string;
  readonly database?: string;
  readonly output: 'text' | 'json';
}

export interface RequestOptions extends Common {
  readonly subject: string;
  readonly also: readonly string[];
  readonly reason: string;
  readonly ticket: string;
  readonly repository?: string;
  readonly out?: string;
}

const HELP = `
Three steps, of which no person can do all:

  countersign erase request --data DIR --subject ann@example.org --also "Ann Example" --reason "art. 17" --ticket P-7
  countersign erase sign erasure-P-7.json                      each of two people, with their own SSH key
  countersign erase apply erasure-P-7.json --data DIR          with the service stopped; both .sig beside the file

The request is two files: erasure-P-7.json is signed and lists digests only; erasure-P-7.json.subject says whom it is about, and is
removed in the end. Who signs is listed in .countersign/allowed_signers of the governed repository; a line there with namespaces="…" must
name countersign-erasure@countersign.dev. One person with two keys or names is one.

What is erased: every stored content that names the person, and the person in every row beside the log. What stays: the entries, which hold
digests only, and what Git itself holds. Copies follow when the service next mirrors; backups of the database are yours to let go.
Exit code: 0 done, 2 refused or could not.`;

export function register(program: Command): void {
  const erase = program
    .command('erase')
    .description("take a person's data out of the log's contents, as two people have signed")
    .addHelpText('after', HELP);
  common(erase.command('request'))
    .description('write what is to be erased, for two people to sign')
    .requiredOption('--subject <name>', 'an e-mail address or principal')
    .option('--also <name...>', 'other addresses and names of the same person', [])
    .requiredOption('--reason <text>', 'why; without naming the person')
    .requiredOption('--ticket <id>', 'where it is followed up')
    .option('--repository <name>', 'whose allowed signers count; needed if the service follows several')
    .option('--out <file>', 'where to write it; by default erasure-TICKET.json')
    .action(request);
  erase
    .command('sign')
    .description('sign a request with your SSH key')
    .argument('<file>', 'for example erasure-P-7.json')
    .option('--key <file>', 'your SSH key; by default ~/.ssh/id_ed25519')
    .action(sign);
  common(erase.command('apply'))
    .description('erase what two people have signed for; the service must be stopped')
    .argument('<file>', 'for example erasure-P-7.json')
    .option('--signature <file...>', 'by default every FILE.….sig')
    .action(apply);
}

const common = (command: Command): Command =>
  command
    .requiredOption('--data <folder>', 'the data folder of the service')
    .option('--database <url>', 'where the database is, if the data folder does not tell')
    .addOption(outputOption('text', 'json'));

async function request(options: RequestOptions): Promise<void> {
  const { writeRequest } = await import('./erase/request.js');
  const { file, naming, beside } = await writeRequest(options);
  const { contents, unsalted, decisions, entries } = naming;
  if (options.output === 'json') {
    return print(jsonLine({ file, contents: contents.length, unsalted: unsalted.length, decisions, entries, beside }));
  }
  await print(printable(`wrote   ${file} and ${file}.subject`));
  await print(`erases  ${contents.length} contents; ${decisions} decisions can then not be replayed`);
  if (unsalted.length > 0)
    await print(
      `note    ${unsalted.length} of them are policy and the like, without a salt: their digests stay what they are`,
    );
  if (entries.length > 0)
    await print(`note    entries ${entries.slice(0, 10).join(', ')} name the person themselves: they stay`);
  if (beside.length > 0)
    await print(printable(`note    seen beside that address, and erased only there: ${beside.join(', ')}. --also erases them everywhere`)); // prettier-ignore
  await print(printable(`next    two people: countersign erase sign ${file}`));
}

async function sign(file: string, options: { readonly key?: string }): Promise<void> {
  const { signRequest } = await import('./erase/sign.js');
  const { sealed, statement, terms } = await signRequest(file, options.key);
  const { contents, reason, ticket, origin } = statement;
  await print(printable(`erases  ${contents.length} contents of ${origin} about ${terms.join(', ')}: ${reason} (${ticket})`)); // prettier-ignore
  await print(printable(`signed  ${sealed}`));
}

async function apply(file: string, options: Common & { readonly signature?: readonly string[] }): Promise<void> {
  const { applyRequest } = await import('./erase/apply.js');
  const { follow } = await import('./follow.js');
  const progress = follow('contents');
  try {
    const { entry, contents, rows, again, authorisers } = await applyRequest(file, options, progress.at);
    progress.end();
    const by = authorisers.map(({ principal }) => principal);
    if (options.output === 'json')
      return await print(jsonLine({ entry: entry.index, contents, rows, again, authorisedBy: by }));
    if (again) return await print(`done    before, as entry ${entry.index}`);
    await print(`erased  ${contents} contents and the person in ${rows} rows, as entry ${entry.index}`);
    await print(printable(`signed  by ${by.join(' and ')}`));
    await print('copies  follow when the service next mirrors');
  } finally {
    progress.end();
  }
}
