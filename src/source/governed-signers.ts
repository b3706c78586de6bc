import { CountersignError } from '../errors.js';
import type { TreeReader } from './repository.js';
import { ALLOWED_SIGNERS_PATH, NO_SIGNERS, parseSigners, REVOKED_SIGNERS_PATH, type Signers } from './signers.js';

const LIMIT = 4 * 1024 * 1024;

/**
 * The signers that a repository names in itself, as of one commit: the caller chooses the last approved one (invariant 2).
 * No file: nobody. Throws `signers-malformed` for files that cannot be read exactly.
 */
export async function readSigners(repository: TreeReader, commit: string): Promise<Signers> {
  const [allowed, revoked] = await Promise.all([
    readText(repository, commit, ALLOWED_SIGNERS_PATH),
    readText(repository, commit, REVOKED_SIGNERS_PATH),
  ]);
  if (!allowed && !revoked) return NO_SIGNERS;
  return parseSigners(allowed ?? { text: '', file: ALLOWED_SIGNERS_PATH }, revoked);
}

async function readText(
  repository: TreeReader,
  commit: string,
  file: string,
): Promise<{ text: string; file: string } | undefined> {
  const [entry] = await repository.tree(commit, file);
  if (!entry) return undefined;
  if (entry.path !== file || !entry.mode.startsWith('100')) {
    throw new CountersignError('signers-malformed', 'this is not an ordinary file', {
      place: { file },
      remedy: 'Put the file itself there, no folder and no link',
    });
  }
  return { text: (await repository.blob(entry.id, LIMIT)).toString('utf8'), file };
}
