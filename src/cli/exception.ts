import type { Command } from 'commander';
import type { ExceptionScope } from '../policy/exception.js';
import { type OrganisationOptions, organisationOptions } from './organisation.js';
import { type Column, Listing, type Output, outputOption, print, printable } from './output.js';

interface RequestOptions extends OrganisationOptions {
  readonly env: string;
  readonly object?: string;
  readonly path?: string;
  readonly commit?: string;
  readonly owner?: string;
  readonly reason: string;
  readonly ticket: string;
  readonly expires: string;
  readonly repository: string;
  readonly name?: string;
  readonly sign?: boolean;
  readonly key?: string;
  readonly openpgp?: string | true;
}

interface SignOptions extends OrganisationOptions {
  readonly key?: string;
  readonly openpgp?: string | true;
}

export function register(program: Command): void {
  const exception = program.command('exception').description('ask for, sign and list exceptions from rules');
  signing(
    organisationOptions(exception.command('request'))
      .description('write an exception from one rule, for somebody to sign')
      .argument('<rule>', 'its id: images.pinned')
      .requiredOption('--env <name>', 'the environment that it counts in')
      .option('--object <object>', 'what it covers: Deployment/shop/cart, ClusterRole/admin, or a kind alone')
      .option('--path <glob>', 'files that it covers: environments/production/legacy/**')
      .option('--commit <id>', 'the commit that it covers, in full')
      .option('--owner <name>', 'who answers for it; by default user.email of git')
      .requiredOption('--reason <text>', 'why')
      .requiredOption('--ticket <id>', 'where it is followed up')
      .option('--expires <when>', 'a day (2026-12-31), or how long: 30d', '30d')
      .option('--repository <folder>', 'your clone of the governed repository', '.')
      .option('--name <repository>', 'as the service calls the repository; by default the name of its folder')
      .option('--sign', 'sign it at once'),
  ).action(request);
  signing(
    organisationOptions(exception.command('sign'))
      .description('sign an exception that somebody asked for')
      .argument('<file>', 'for example .countersign/exceptions/images.pinned-ops-7.yaml'),
  ).action(sign);
  organisationOptions(exception.command('list'))
    .description('show every exception of a repository and whether it counts')
    .argument('[path]', 'a clone', '.')
    .option('--head <revision>', 'at a commit; by default the files as they are')
    .option('--policies <folder>', "in place of the repository's policies")
    .addOption(outputOption('text', 'json', 'csv', 'yaml'))
    .addHelpText('after', LIST_HELP)
    .action(list);
}

const LIST_HELP = `
Exit code: 0 all that are there count, 1 some do not, 2 could not tell. What the service made of them, and since when it knows them:
{ exceptions { nodes { rule status refusal expires } } }.`;

function signing(command: Command): Command {
  return command
    .option('--key <file>', 'your SSH key; by default user.signingKey of git, then ~/.ssh/id_ed25519')
    .option('--openpgp [key]', 'sign with gpg instead, by its default key or the one named');
}

async function request(rule: string, options: RequestOptions): Promise<void> {
  const [{ writeRequest }, { readFile }] = await Promise.all([
    import('./exception/request.js'),
    import('node:fs/promises'),
  ]);
  const file = await writeRequest(rule, await scopeOf(options), options);
  await print(printable(`wrote   ${file}`));
  for (const line of (await readFile(file, 'utf8')).trimEnd().split('\n').slice(2)) await print(printable(`  ${line}`));
  if (options.sign) return sign(file, options);
  await print(printable(`next    have it signed: countersign exception sign ${file}`));
}

async function scopeOf({ env, object, path, commit }: RequestOptions): Promise<ExceptionScope> {
  const [{ parseObjectArgument }, { CountersignError }] = await Promise.all([
    import('../policy/exception.js'),
    import('../errors.js'),
  ]);
  const named = object === undefined ? {} : parseObjectArgument(object);
  if (!named) {
    throw new CountersignError('usage', `--object ${object} names no object`, {
      remedy: 'Write it as Deployment/shop/cart, apps/Deployment/shop/cart or ClusterRole/admin',
    });
  }
  return {
    environment: env,
    ...named,
    ...(path === undefined ? {} : { path }),
    ...(commit === undefined ? {} : { commit }),
  };
}

async function sign(file: string, options: SignOptions): Promise<void> {
  const { signException } = await import('./exception/sign.js');
  const { sealed, scope, fault, principal } = await signException(file, options);
  await print(printable(`signed  ${sealed}   ${scope}`));
  if (fault) await print(printable(`but     it would not count: ${fault}`));
  else
    await print(
      printable(
        `by      ${principal}; commit both files and push: it counts once that change of governance is allowed`,
      ),
    );
  process.exitCode = fault ? 1 : 0;
}

async function list(
  path: string,
  options: OrganisationOptions & { head?: string; policies?: string; output: Output },
): Promise<void> {
  const { exceptionsOf } = await import('./exception/standing.js');
  const { describeScope } = await import('../policy/exception.js');
  const found = await exceptionsOf(path, options);
  type Found = (typeof found)[number];
  const columns: readonly Column<Found>[] = [
    { name: 'counts', value: ({ fault }) => !fault, text: ({ fault }) => (fault ? '✗' : '✓') },
    { name: 'rule', value: ({ parsed, path: file }) => parsed?.statement.rule ?? file },
    { name: 'scope', value: ({ parsed }) => (parsed?.statement.scope ? describeScope(parsed.statement.scope) : '') },
    { name: 'expires', value: ({ parsed }) => parsed?.statement.expires ?? null, text: ({ parsed }) => parsed?.statement.expires?.slice(0, 10) ?? 'never said' }, // prettier-ignore
    { name: 'owner', value: ({ parsed }) => parsed?.statement.owner ?? '' },
    { name: 'ticket', value: ({ parsed }) => parsed?.statement.ticket ?? '' },
    { name: 'signer', value: ({ fault, principal }) => (fault ? '' : (principal ?? '')) },
    { name: 'file', value: ({ path: file }) => file },
  ];
  const listing = new Listing(columns, {
    output: options.output,
    record: ({ id, path: file, parsed, principal, key, fault }) => {
      const { message, place, remedy } = fault ?? {};
      return { id, file, ...parsed?.statement, principal, key, counts: !fault, ...(fault ? { fault: { message, place, remedy } } : {}) }; // prettier-ignore
    },
    notes: ({ fault }) => (fault ? fault.sentence.split('\n') : []),
  });
  for (const one of found) await listing.add(one);
  const bad = found.filter(({ fault }) => fault).length;
  if (found.length > 0 || options.output !== 'text') await listing.end();
  if (options.output === 'text') await print(`${found.length - bad} in force, ${bad} not`);
  process.exitCode = bad > 0 ? 1 : 0;
}
