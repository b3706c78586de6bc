import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { signWithSsh } from '../../adapters/keys/ssh-keygen.js';
import { ERASURE_NAMESPACE, type ErasureStatement } from '../../review/erasure.js';
import { parseSshSignature } from '../../source/sshsig.js';
import { readRequest } from './files.js';

export interface SignedRequest {
  readonly sealed: string;
  readonly statement: ErasureStatement;
  /** Whom it is about. */
  readonly terms: readonly string[];
}

/** Signs a request that was checked to be about whom it says. */
export async function signRequest(file: string, key = `${homedir()}/.ssh/id_ed25519`): Promise<SignedRequest> {
  const { text, statement, subject } = await readRequest(file);
  const signature = await signWithSsh(key, ERASURE_NAMESPACE, text);
  const { fingerprint } = parseSshSignature(Buffer.from(signature)).key;
  const name = fingerprint.replace(/^SHA256:/, '').replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 12); // prettier-ignore
  const sealed = `${file}.${name}.sig`;
  await writeFile(sealed, signature);
  return { sealed, statement, terms: subject.written };
}
