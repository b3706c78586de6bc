import { existsSync, realpathSync, statSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { CountersignError } from '../../errors.js';
import { complaint, runGit } from './processes.js';

/** Where a path lies in a work tree. */
export interface WorkTree {
  readonly root: string;
  /** Of the path in it, with `/` between folders; '' for the root itself. */
  readonly prefix: string;
}

/** null outside of work trees: in a bare repository, or where there is no Git at all. */
export function workTreeOf(path: string): WorkTree | null {
  const start = realpathSync(resolve(path));
  const folder = statSync(start).isDirectory() ? start : dirname(start);
  for (let root = folder; ; root = dirname(root)) {
    if (existsSync(`${root}/.git`)) return { root, prefix: relative(root, start).replaceAll('\\', '/') };
    if (root === dirname(root)) return null;
  }
}

/**
 * Files that differ from HEAD, untracked ones included: how many, and the first of them. Throws `git-failed`, also for a folder
 * that another user owns: comparing files runs the clean filters that its configuration names, so git's own check of the
 * owner stays on here.
 */
export async function changedFiles(root: string): Promise<{ count: number; first: string | undefined }> {
  const { code, stdout, stderr } = await runGit(
    ['-C', root, 'status', '--porcelain', '-z', '--no-renames', '--ignore-submodules=all'],
    { settings: [['safe.directory', '']] },
  );
  if (code !== 0) {
    throw new CountersignError('git-failed', `git status failed in ${root}: ${complaint(stderr)}`, {
      remedy: 'Run the check as the owner of that folder, or name a revision with --head in a bare repository',
    });
  }
  const lines = stdout.toString('utf8').split('\0').filter(Boolean);
  return { count: lines.length, first: lines[0]?.slice(3) };
}
