import type { Repository } from '../../source/repository.js';
import { gitVersion } from './processes.js';

export interface OpenOptions {
  /** Which way of reading; by default the installed git where it is new enough, else our own. */
  readonly adapter?: 'native' | 'isomorphic';
}

/**
 * Opens a work tree (or a folder inside one), a linked worktree or a bare repository. Throws `repository-missing` where
 * there is none, `repository-unsupported` for one that cannot be read. An empty repository opens: it has no HEAD to resolve.
 */
export async function openRepository(path: string, options: OpenOptions = {}): Promise<Repository> {
  const adapter = options.adapter ?? ((await hasNativeGit()) ? 'native' : 'isomorphic');
  if (adapter === 'native') return (await import('./native.js')).NativeRepository.open(path);
  return (await import('./isomorphic.js')).IsomorphicRepository.open(path);
}

/** `cat-file --batch-command`, `--show-object-format` and safe.directory from the environment: all there in 2.39. */
export async function hasNativeGit(): Promise<boolean> {
  const version = await gitVersion();
  return version !== undefined && (version[0] > 2 || (version[0] === 2 && version[1] >= 39));
}
