import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CountersignError } from '../../errors.js';
import { type KnownToken, newToken, tokenDigest } from '../../review/token.js';
import { readOrMake } from './secret-file.js';

/** In the data folder, for its owner only. */
export const ADMINISTRATOR_TOKEN = 'administrator-token';

/**
 * The token of a service whose configuration says nothing of access, made at its first start. Whoever may read it may read the
 * keys beside it, too. Throws `keys-invalid` if others may, or if it is no token.
 */
export async function administratorToken(data: string): Promise<KnownToken> {
  const file = join(data, ADMINISTRATOR_TOKEN);
  const token = await readOrMake(file, newToken);
  if (((await stat(file)).mode & 0o077) !== 0) {
    throw new CountersignError('keys-invalid', 'the administrator token can be read by others than its owner', {
      place: { file },
      remedy: 'Delete it, and a new one is made at the next start',
    });
  }
  if (!/^cs_[\w-]{43}$/.test(token)) {
    throw new CountersignError('keys-invalid', 'the file does not hold a token', {
      place: { file },
      remedy: 'Delete it, and a new one is made at the next start',
    });
  }
  const sha256 = tokenDigest(token);
  const all = { repositories: ['*'], environments: ['*'] };
  return { name: 'administrator', login: 'administrator', role: 'administrator', sha256, ...all, expires: null };
}
