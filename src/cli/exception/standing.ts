import { FolderTree } from '../../adapters/folder/folder-tree.js';
import { openRepository } from '../../adapters/git/open.js';
import { workTreeOf } from '../../adapters/git/work-tree.js';
import { policyFolder } from '../../policy/folder.js';
import { FILES } from '../../review/check.js';
import type { ExceptionStanding } from '../../review/exceptions.js';
import { type Law, readLaw } from '../../review/law.js';
import { startEngine } from '../engine.js';
import { organisationAt, type OrganisationOptions } from '../organisation.js';

interface Where extends OrganisationOptions {
  readonly head?: string;
  readonly policies?: string;
}

/** What a repository's own files, or one of its commits, make of the exceptions that lie there. */
export async function exceptionsOf(path: string, where: Where): Promise<readonly ExceptionStanding[]> {
  return (await lawOf(path, where)).exceptions;
}

export async function lawOf(path: string, where: Where): Promise<Law> {
  const { head, policies } = where;
  const engine = await startEngine(1);
  try {
    const options = {
      compile: engine.compile,
      organisation: await organisationAt(where),
      ...(policies === undefined ? {} : { policies: (starter: object) => policyFolder(policies, starter) }),
    };
    const root = workTreeOf(path)?.root ?? path;
    if (head === undefined) return await readLaw(FolderTree.open(root), FILES, options);
    const repository = await openRepository(root);
    try {
      return await readLaw(repository, await repository.resolve(head), options);
    } finally {
      await repository.close();
    }
  } finally {
    await engine.close();
  }
}
