import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { OwnClone } from '../../adapters/git/approvals-ref.js';
import type { Environment } from '../../change/environment.js';
import type { Hold } from '../../change/edit-settings.js';
import { CountersignError } from '../../errors.js';
import { jsonLine, print, printable, outputOption } from '../output.js';

export interface HoldOptions {
  readonly repository: string;
  readonly reason: string;
  readonly ticket?: string;
  readonly push?: boolean;
  readonly remote?: string;
  readonly output: 'text' | 'json';
}

/** That an environment is held at a commit. */
export function pinTo(commit: string, { reason, ticket }: HoldOptions): Hold {
  return { do: 'pin', pin: { commit, reason, ...(ticket ? { ticket } : {}) } };
}

/** What every command has that changes how an environment is held. */
export function holding(command: Command): Command {
  return command
    .argument('<environment>', 'for example shop/production')
    .requiredOption('--reason <text>', 'why: policy and the log get it')
    .option('--ticket <id>', 'where it is discussed')
    .option('--repository <folder>', 'your clone of the governed repository, on the branch that governs it', '.')
    .option('--push', 'push the commit, too')
    .option('--remote <name>', 'where to push; by default origin')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', HELP);
}

const HELP = `
Commits the change of countersign.yaml under your name, signed as your Git is configured to. It is a change of governance: it is judged by policy, and
logged, before it counts. Without --push it is only proposed; push it, or open a request with it. Exit code: 0 committed, 2 could not.`;

/** Edits countersign.yaml, commits that with the reason, and pushes it if asked. */
export async function propose(
  name: string,
  options: HoldOptions,
  what: (environment: Environment, clone: OwnClone) => Promise<{ readonly hold: Hold; readonly title: string }>,
): Promise<void> {
  const [
    { OwnClone },
    { editSettings },
    { SETTINGS_FILE, parseSettings, withTemplates, environmentNamed },
    { openRepository },
  ] = await Promise.all([
    import('../../adapters/git/approvals-ref.js'),
    import('../../change/edit-settings.js'),
    import('../../change/environments.js'),
    import('../../adapters/git/open.js'),
  ]);
  const clone = await OwnClone.open(options.repository);
  const file = join(await clone.top(), SETTINGS_FILE);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CountersignError('config-invalid', `there is no ${SETTINGS_FILE} in ${options.repository}`, {
      remedy: 'Name your clone with --repository, on the branch that governs it',
      cause,
    });
  });
  await clone.mustBeClean(SETTINGS_FILE);
  const repository = await openRepository(options.repository);
  let environment: Environment;
  try {
    const entries = await repository.tree(await repository.resolve('HEAD'));
    environment = environmentNamed(withTemplates(parseSettings(text), entries), name);
  } finally {
    await repository.close();
  }
  const { hold, title } = await what(environment, clone);
  await writeFile(file, editSettings(text, environment, hold));
  const trailer = options.ticket ? `\n\nTicket: ${options.ticket}` : '';
  const commit = await clone.commitFile(SETTINGS_FILE, `${title}\n\n${options.reason}${trailer}`);
  const branch = await clone.branch();
  const remote = options.remote ?? (await clone.remote());
  if (options.push) await clone.pushHead(remote, branch);
  if (options.output === 'json')
    return print(jsonLine({ environment: name, ...hold, commit, branch, pushed: options.push === true }));
  await print(
    printable(`${title}: commit ${commit.slice(0, 12)} on ${branch}${options.push ? `, pushed to ${remote}` : ''}`),
  );
  await print(
    printable(
      options.push
        ? 'it counts once policy has allowed it: countersign explain says why not'
        : `to propose it:\n  git push ${remote} HEAD:${branch}`,
    ),
  );
}

/** The full id of a commit of the environment's ref. */
export async function commitIn(clone: OwnClone, revision: string): Promise<string> {
  const commit = await clone.resolve(revision);
  if (commit !== null) return commit;
  throw new CountersignError('revision-unknown', `${revision} is no commit of your clone`, {
    remedy: 'Fetch it, or name another with --to',
  });
}
