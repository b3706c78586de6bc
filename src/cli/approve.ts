import { type Command, InvalidArgumentError } from 'commander';
import type { ApprovedBytes } from '../review/approval.js';
import type { Waiting } from './approve/waiting.js';
import { jsonLine, print, outputOption } from './output.js';

interface Options {
  readonly url: string;
  readonly repository: string;
  readonly remote?: string;
  readonly key?: string;
  readonly openpgp?: string | true;
  readonly tokenFile?: string;
  readonly comment?: string;
  readonly review?: boolean;
  readonly request?: number;
  readonly withdraw?: string;
  readonly yes?: boolean;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('approve')
    .description('approve a change that waits: sign what it does to the byte, and push that')
    .argument('[environment]', 'for example shop/production; not needed when only one waits')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .option('--repository <folder>', 'your clone of the governed repository', '.')
    .option('--remote <name>', 'where to push; by default origin')
    .option('--key <file>', 'your SSH key; by default user.signingKey of git, then ~/.ssh/id_ed25519')
    .option('--openpgp [key]', 'sign with gpg instead, with that key or your default one')
    .option('--token-file <file>', 'approve by login, with the token in that file, rather than under a key')
    .option('--comment <text>', 'a remark that goes into the log with it')
    .option('--request <number>', 'an open pull or merge request', requestNumber)
    .option('--review', 'look at an emergency change that was let through, after the fact')
    .option('--withdraw <id>', 'take back an approval of yours: sign that, and push it')
    .option('--yes', 'do not ask')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', HELP)
    .action(approve);
}

const HELP = `
What is shown comes from the service; commits and tree are compared with your own clone. Your key must be in .countersign/allowed_signers,
and a line there with namespaces="…" must name countersign-approval.
Exit code: 0 pushed, 1 not approved, 2 could not.`;

function requestNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be the number of a request, such as 7.');
}

async function approve(name: string | undefined, options: Options): Promise<void> {
  if (options.withdraw !== undefined) {
    const { withdraw } = await import('./approve/withdraw.js');
    return withdraw(options.withdraw, options);
  }
  const [{ waiting, withinClone }, { OwnClone }, approval, { describe }, { signAndPush }] = await Promise.all([
    import('./approve/waiting.js'),
    import('../adapters/git/approvals-ref.js'),
    import('../review/approval.js'),
    import('./approve/describe.js'),
    import('./approve/sign.js'),
  ]);
  const clone = await OwnClone.open(options.repository);
  const choice = { environment: name, review: options.review ?? false, request: options.request };
  const change = await waiting(options.url, choice, clone);
  await withinClone(change, clone);
  if (options.output === 'text' || !options.yes) for (const line of describe(change)) await say(line, options.output);
  if (!options.yes && !(await agreed(change))) {
    await say('not approved', options.output);
    process.exitCode = 1;
    return;
  }
  const { repository, ref, environment, base, head, tree, renderedDigest, target = null } = change;
  const bytes = { repository, ref, environment, base, head, tree, renderedDigest, target };
  if (options.tokenFile !== undefined) return byLogin(bytes, options.tokenFile, options);
  const text = approval.approvalText({
    ...bytes,
    time: new Date().toISOString(),
    ...(options.comment ? { comment: options.comment } : {}),
  });
  const message = `approve ${environment} ${head.slice(0, 12)}`;
  const statement = { text, path: (by: string) => approval.approvalPath(bytes, by), message };
  const { signature, fingerprint, commit, path } = await signAndPush(statement, options, clone);
  const id = approval.approvalId(repository, text, signature);
  if (options.output === 'json') return print(jsonLine({ ...bytes, id, key: fingerprint, commit, path }));
  await print(`approved  ${environment} ${head.slice(0, 12)} with ${fingerprint}, pushed to ${approval.APPROVALS_REF}`);
  await print(`see what became of it  ${options.url}/graphql  { approvals { nodes { id principal status reason } } }`);
  await print(`take it back           countersign approve --withdraw ${id.slice(0, 12)}`);
}

const APPROVE = `mutation ($input: ApproveInput!) { approve(input: $input) { id status reason principal } }`;

/** The service vouches for who it was; whether it counts is known at once. */
async function byLogin(bytes: ApprovedBytes, file: string, { url, comment, output }: Options): Promise<void> {
  const [{ readToken }, { ask }] = await Promise.all([import('./approve/sign.js'), import('./ask.js')]);
  const token = await readToken(file);
  const input = { ...bytes, ...(comment ? { comment } : {}) };
  const { approve: given } = await ask<{ approve: { id: string; status: string; reason: string | null } }>(
    url,
    APPROVE,
    { input },
    token,
  );
  if (given.status !== 'accepted') process.exitCode = 1;
  if (output === 'json') return print(jsonLine({ ...bytes, ...given }));
  const what = `${bytes.environment} ${bytes.head.slice(0, 12)}`;
  await print(given.status === 'accepted' ? `approved  ${what}` : `does not count  ${what}: ${given.reason}`);
}

/** With `--output json`, only the result goes to standard output. */
async function say(line: string, output: Options['output']): Promise<void> {
  if (output === 'text') await print(line);
  else process.stderr.write(`${line}\n`);
}

async function agreed({ environment, head }: Waiting): Promise<boolean> {
  const { CountersignError } = await import('../errors.js');
  if (!process.stdin.isTTY) {
    throw new CountersignError('usage', 'nobody can be asked here', { remedy: 'Look at the change, then pass --yes' });
  }
  const { createInterface } = await import('node:readline/promises');
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question(`approve ${environment} ${head.slice(0, 12)}? [y/N] `)).trim());
  } finally {
    asking.close();
  }
}
