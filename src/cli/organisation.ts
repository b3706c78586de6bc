import { basename } from 'node:path';
import type { Command } from 'commander';
import type { OrganisationPolicy } from '../policy/organisation.js';

export interface OrganisationOptions {
  readonly organisation?: string;
  readonly organisationRef?: string;
}

export function organisationOptions(command: Command): Command {
  return command
    .option('--organisation <repository>', 'whose policy lies above: a clone, a bare repository, or a folder')
    .option('--organisation-ref <revision>', 'of that repository; by default HEAD');
}

/** The organisation's policy as it lies in a repository or folder of this machine; undefined where none was named. */
export async function organisationAt({
  organisation: path,
  organisationRef = 'HEAD',
}: OrganisationOptions): Promise<OrganisationPolicy | undefined> {
  if (path === undefined) return undefined;
  const [{ FolderTree }, { openRepository }, { toCountersignError }, { FILES }, { readOrganisation }] =
    await Promise.all([
      import('../adapters/folder/folder-tree.js'),
      import('../adapters/git/open.js'),
      import('../errors.js'),
      import('../review/check.js'),
      import('../review/organisation.js'),
    ]);
  const name = basename(path.replace(/(\/?\.git)?\/*$/, ''));
  const repository = await openRepository(path).catch((thrown: unknown) => {
    if (toCountersignError(thrown).code === 'repository-missing') return null;
    throw thrown;
  });
  if (!repository) return readOrganisation(FolderTree.open(path), FILES, name);
  try {
    return await readOrganisation(repository, await repository.resolve(organisationRef), name);
  } finally {
    await repository.close();
  }
}
