import { CountersignError } from '../../errors.js';
import { runSigner } from './signer.js';

/**
 * Signs as gpg does with the person's own key ring and agent; `key` is whatever gpg takes for one, its default key if it is empty.
 * Throws `keys-invalid` with its own words.
 */
export async function signWithGpg(key: string, text: string): Promise<string> {
  const chosen = key === '' ? [] : ['--local-user', key];
  const { code, stdout, stderr } = await runSigner(
    'gpg',
    ['--batch', '--armor', ...chosen, '--detach-sign'],
    text,
    'Install GnuPG, or sign with an SSH key',
  );
  if (code === 0 && stdout.startsWith('-----BEGIN PGP SIGNATURE-----')) return stdout;
  throw new CountersignError('keys-invalid', `gpg cannot sign: ${stderr.split('\n')[0] || `it ended with ${code}`}`, {
    remedy: 'Name a secret key of yours with --openpgp, or sign with an SSH key (--key)',
  });
}
