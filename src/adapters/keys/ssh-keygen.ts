import { spawn } from 'node:child_process';
import { CountersignError } from '../../errors.js';

/**
 * Signs as ssh-keygen -Y sign does, which asks ssh-agent or the person for what it needs: the private key never comes to us. `key` is
 * the path of the private key, or of a public key whose private half the agent holds. Throws `keys-invalid` with its own words.
 */
export async function signWithSsh(key: string, namespace: string, text: string): Promise<string> {
  const child = spawn('ssh-keygen', ['-Y', 'sign', '-q', '-n', namespace, '-f', key], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const { code, stdout, stderr } = await new Promise<{ code: number | null; stdout: string; stderr: string }>(
    (resolve, reject) => {
      let [out, err] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (part: string) => (out += part));
      child.stderr.setEncoding('utf8').on('data', (part: string) => (err += part));
      child.stdin.on('error', () => {}); // it may refuse the key before it has read
      child.once('error', (cause) =>
        reject(
          new CountersignError('keys-invalid', `ssh-keygen could not be started: ${cause.message}`, {
            remedy: 'Install OpenSSH 8.2 or newer',
            cause,
          }),
        ),
      );
      child.once('close', (ended) => resolve({ code: ended, stdout: out, stderr: err.trim() }));
      child.stdin.end(text);
    },
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
