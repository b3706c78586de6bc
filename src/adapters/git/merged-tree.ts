import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CountersignError } from '../../errors.js';
import { OBJECT_ID } from '../../source/object-id.js';
import { complaint, type GitEnvironment, runGit } from './processes.js';

/** Milliseconds: a merge of two large trees takes seconds. */
const TIMEOUT = 60_000;

/**
 * What git merges two commits to; null for a conflict, or no common history. The objects it makes go into a folder of their own that
 * is removed, so that reading a repository never writes to it. No merge driver runs: attributes are read from nowhere.
 */
export async function mergedTree(
  gitDir: string,
  ours: string,
  theirs: string,
  environment: GitEnvironment,
): Promise<string | null> {
  const objects = await mkdtemp(join(tmpdir(), 'countersign-merge-'));
  try {
    const { GIT_OBJECT_DIRECTORY, GIT_ALTERNATE_OBJECT_DIRECTORIES: others } = environment.variables ?? {};
    const own = GIT_OBJECT_DIRECTORY ?? (await objectsOf(gitDir));
    const { code, stdout, stderr } = await runGit(
      ['--git-dir', gitDir, 'merge-tree', '--write-tree', '--no-messages', ours, theirs],
      {
        ...environment,
        settings: [...(environment.settings ?? []), ['core.attributesFile', '/dev/null']],
        variables: {
          ...environment.variables,
          GIT_OBJECT_DIRECTORY: objects,
          GIT_ALTERNATE_OBJECT_DIRECTORIES: [JSON.stringify(own), ...(others ? [others] : [])].join(':'),
        },
        timeout: TIMEOUT,
      },
    );
    const tree = stdout.toString('latin1').trim();
    if (code === 0 && OBJECT_ID.test(tree)) return tree;
    if (code === 1 || /refusing to merge unrelated histories/.test(stderr)) return null;
    throw new CountersignError('git-failed', `git merge-tree in ${gitDir}: ${complaint(stderr)}`, { retry: true });
  } finally {
    await rm(objects, { recursive: true, force: true });
  }
}

/** Those of a linked work tree lie in the repository that it belongs to. */
async function objectsOf(gitDir: string): Promise<string> {
  const { stdout } = await runGit([
    '--git-dir',
    gitDir,
    'rev-parse',
    '--path-format=absolute',
    '--git-path',
    'objects',
  ]);
  return stdout.toString('utf8').trimEnd();
}
