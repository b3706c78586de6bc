import { readFile, writeFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { OwnClone } from '../../adapters/git/approvals-ref.js';
import { workTreeOf } from '../../adapters/git/work-tree.js';
import { signWithGpg } from '../../adapters/keys/gpg.js';
import { signWithSsh } from '../../adapters/keys/ssh-keygen.js';
import { CountersignError } from '../../errors.js';
import { describeScope, EXCEPTION_NAMESPACE, parseException } from '../../policy/exception.js';
import type { OrganisationOptions } from '../organisation.js';
import { signingKey } from '../signing-key.js';
import { exceptionsOf } from './standing.js';

export interface SignedException {
  readonly sealed: string;
  /** What was signed, in words. */
  readonly scope: string;
  readonly principal: string | null;
  /** Why it would not count all the same. */
  readonly fault: string | null;
}

export interface SigningOptions extends OrganisationOptions {
  readonly key?: string | undefined;
  readonly openpgp?: string | true | undefined;
}

/** Signs a file's exact bytes with the person's own key, and looks whether that counts by the files of the work tree. */
export async function signException(
  file: string,
  { key, openpgp, organisation, organisationRef }: SigningOptions,
): Promise<SignedException> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CountersignError('usage', `there is no file ${file}`, { remedy: 'Write it with countersign exception request', cause }); // prettier-ignore
  });
  const { statement } = parseException(text, file);
  const signature =
    openpgp === undefined
      ? await signWithSsh(
          key ?? (await signingKey(await OwnClone.open(dirname(file)).catch(() => null))),
          EXCEPTION_NAMESPACE,
          text,
        )
      : await signWithGpg(openpgp === true ? '' : openpgp, text);
  const sealed = `${file}.sig`;
  await writeFile(sealed, signature);
  const scope = `${statement.rule} for ${describeScope(statement.scope)}, until ${statement.expires}`;
  const root = workTreeOf(dirname(file))?.root;
  if (root === undefined) return { sealed, scope, principal: null, fault: `${file} lies in no repository` };
  const path = relative(resolve(root), resolve(file));
  const standing = (await exceptionsOf(root, { organisation, organisationRef })).find((one) => one.path === path);
  if (!standing) return { sealed, scope, principal: null, fault: 'it does not lie in .countersign/exceptions' };
  return { sealed, scope, principal: standing.principal, fault: standing.fault?.sentence ?? null };
}
