import { signingKey } from '../signing-key.js';

export interface SignedText {
  readonly signature: string;
  /** Whose file it is under the approvals ref. */
  readonly fingerprint: string;
}

interface Choice {
  readonly key?: string;
  readonly openpgp?: string | true;
}

/** With the SSH key that was named, or git's own; or with gpg. Throws `keys-invalid`. */
export async function signed(
  text: string,
  { key, openpgp }: Choice,
  clone: { config(name: string): Promise<string | null> },
): Promise<SignedText> {
  if (openpgp === undefined) return sshSigned(text, key ?? (await signingKey(clone)));
  return openPgpSigned(text, openpgp === true ? '' : openpgp);
}

async function sshSigned(text: string, key: string): Promise<SignedText> {
  const [{ signWithSsh }, { parseSshSignature }, { APPROVAL_NAMESPACE }] = await Promise.all([
    import('../../adapters/keys/ssh-keygen.js'),
    import('../../source/sshsig.js'),
    import('../../review/approval.js'),
  ]);
  const signature = await signWithSsh(key, APPROVAL_NAMESPACE, text);
  return { signature, fingerprint: parseSshSignature(Buffer.from(signature)).key.fingerprint };
}

/** What an OpenPGP signature says of its key is a claim that is checked where it counts; here it only needs a name of its own. */
async function openPgpSigned(text: string, key: string): Promise<SignedText> {
  const [{ signWithGpg }, { createHash }] = await Promise.all([
    import('../../adapters/keys/gpg.js'),
    import('node:crypto'),
  ]);
  const signature = await signWithGpg(key, text);
  return { signature, fingerprint: `openpgp-${createHash('sha256').update(signature).digest('hex').slice(0, 32)}` };
}

/** Throws `usage`. */
export async function readToken(file: string): Promise<string> {
  const [{ readFile }, { CountersignError }] = await Promise.all([
    import('node:fs/promises'),
    import('../../errors.js'),
  ]);
  const token = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CountersignError('usage', `the token in ${file} cannot be read`, { cause });
  });
  return token.trim();
}
