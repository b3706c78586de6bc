import { CountersignError } from '../../errors.js';
import { runSigner } from './signer.js';

/**
 * Signs as ssh-keygen -Y sign does, which asks ssh-agent or the person for what it needs: the private key never comes to us. `key` is
 * the path of the private key, or of a public key whose private half the agent holds. Throws `keys-invalid` with its own words.
 */
export async function signWithSsh(key: string, namespace: string, text: string): Promise<string> {
  const { code, stdout, stderr } = await runSigner(
    'ssh-keygen',
    ['-Y', 'sign', '-q', '-n', namespace, '-f', key],
    text,
    'Install OpenSSH 8.2 or newer',
  );
  if (code === 0 && stdout.startsWith('-----BEGIN SSH SIGNATURE-----')) return stdout;
  throw new CountersignError(
    'keys-invalid',
    `${key} cannot sign: ${stderr.split('\n')[0] || `ssh-keygen ended with ${code}`}`,
    {
      remedy: 'Name your SSH key with --key, or load it into ssh-agent with ssh-add',
    },
  );
}
