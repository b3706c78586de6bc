import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { OwnClone } from '../../adapters/git/approvals-ref.js';
import { workTreeOf } from '../../adapters/git/work-tree.js';
import { CountersignError } from '../../errors.js';
import {
  expired,
  EXCEPTIONS_FOLDER,
  type ExceptionScope,
  exceptionText,
  objection,
  parseException,
} from '../../policy/exception.js';
import type { OrganisationOptions } from '../organisation.js';
import { lawOf } from './standing.js';

interface Requested extends OrganisationOptions {
  readonly repository: string;
  readonly name?: string;
  readonly owner?: string;
  readonly reason: string;
  readonly ticket: string;
  readonly expires: string;
}

/** Writes the file that is to be signed, if it could count; resolves to its path from where the user stands. */
export async function writeRequest(rule: string, scope: ExceptionScope, requested: Requested): Promise<string> {
  const root = workTreeOf(requested.repository)?.root;
  if (root === undefined) {
    throw new CountersignError('repository-missing', `${requested.repository} is in no work tree`, {
      remedy: 'Name your clone of the governed repository with --repository',
    });
  }
  const owner = requested.owner ?? (await (await OwnClone.open(root)).config('user.email'));
  if (!owner) throw new CountersignError('usage', 'nobody answers for it', { remedy: 'Name somebody with --owner' });
  const { reason, ticket } = requested;
  const repository = requested.name ?? basename(root);
  const expires = until(requested.expires, new Date());
  const text = exceptionText({ repository, rule, scope, owner, reason, ticket, expires });
  const file = freeName(root, `${rule}-${ticket}`);
  const parsed = parseException(text, file);
  const { organisation, organisationRef } = requested;
  const law = await lawOf(root, { organisation, organisationRef });
  const fault =
    objection(parsed, {
      repository: null,
      rules: law.bundle.rules,
      environments: law.environments.map(({ name }) => name),
      withheld: law.withheld,
      firstSeen: new Date(),
    }) ?? expired(parsed, new Date());
  // The place would be in a file that is not there.
  if (fault) throw new CountersignError('exception-invalid', fault.message, { remedy: fault.remedy ?? '' });
  await mkdir(join(root, EXCEPTIONS_FOLDER), { recursive: true });
  await writeFile(join(root, file), text, { flag: 'wx' });
  return relative('', join(root, file));
}

/** `30d` from now, or a day or instant as it is written. */
function until(text: string, now: Date): string {
  const days = /^(\d{1,4})d$/.exec(text);
  return days ? new Date(now.getTime() + Number(days[1]) * 86_400_000).toISOString() : text;
}

function freeName(root: string, wanted: string): string {
  const name = wanted.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, '-').slice(0, 100); // prettier-ignore
  for (let i = 1; ; i++) {
    const file = `${EXCEPTIONS_FOLDER}/${name}${i === 1 ? '' : `-${i}`}.yaml`;
    if (!existsSync(join(root, file))) return file;
  }
}
