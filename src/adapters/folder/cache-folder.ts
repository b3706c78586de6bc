import { homedir } from 'node:os';
import { join } from 'node:path';

/** What can be made again: outside every tree, shared by all runs. */
export function cacheFolder(): string {
  const { COUNTERSIGN_CACHE, XDG_CACHE_HOME } = process.env;
  return COUNTERSIGN_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'countersign');
}

/** Compiled policy, by the digest of its sources: the same for all who compile them. */
export const policyCache = (): string => join(cacheFolder(), 'policy');
