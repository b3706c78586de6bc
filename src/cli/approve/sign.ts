import type { OwnClone } from '../../adapters/git/approvals-ref.js';
import { signingKey } from '../signing-key.js';

interface SignedText {
  readonly signature: string;
  /** Whose file it is under the approvals ref. */
  readonly fingerprint: string;
}

interface Choice {
  readonly key?: string;
  readonly openpgp?: string | true;
}

/** A statement for the approvals ref of a clone's remote. */
interface Statement {
  readonly text: string;
  /** Of its file, by whose key it is. */
  readonly path: (fingerprint: string) => string;
  /** Of the commit that carries it. */
  readonly message: string;
}

interface PushedStatement extends SignedText {
  readonly path: string;
  readonly commit: string;
}

/** Signs a statement and pushes it with its signature beside it. Throws `keys-invalid`, `git-failed`. */
export async function signAndPush(
  { text, path: pathBy, message }: Statement,
  options: Choice & { readonly remote?: string },
  clone: OwnClone,
): Promise<PushedStatement> {
  const { APPROVALS_REF } = await import('../../review/approval.js');
  const { signature, fingerprint } = await signed(text, options, clone);
  const path = pathBy(fingerprint);
  const remote = options.remote ?? (await clone.remote());
  const files = { [path]: text, [`${path}.sig`]: signature };
  return { signature, fingerprint, path, commit: await clone.pushFiles(remote, APPROVALS_REF, message, files) };
}

/** With the SSH key that was named, or git's own; or with gpg. Throws `keys-invalid`. */
async function signed(
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
