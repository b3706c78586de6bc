import type { Commit } from '../../source/repository.js';

/** Commits that are looked at one by one before git is asked: starting one process takes as long as reading about so many. */
const NEAR = 32;

type ReadCommit = (id: string) => Promise<Commit>;

/**
 * What came after `base`, up to `head`, oldest first: the usual push, a few commits in a row. undefined where it is anything else, or longer.
 */
export async function nearHistory(
  base: string,
  head: string,
  read: ReadCommit,
): Promise<readonly Commit[] | undefined> {
  const found: Commit[] = [];
  for (let id = head; id !== base;) {
    if (found.length === NEAR) return undefined;
    const commit = await read(id);
    const [parent, ...others] = commit.parents;
    if (parent === undefined || others.length > 0) return undefined;
    found.push(commit);
    id = parent;
  }
  return found.toReversed();
}

/** undefined: the commits that are near do not tell. */
export async function nearAncestor(
  ancestor: string,
  descendant: string,
  read: ReadCommit,
): Promise<boolean | undefined> {
  const seen = new Set([descendant]);
  for (const id of seen) {
    if (id === ancestor) return true;
    if (seen.size > NEAR) return undefined;
    for (const parent of (await read(id)).parents) seen.add(parent);
  }
  return false;
}
