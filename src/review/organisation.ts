import { parseSettings, SETTINGS_FILE } from '../change/environments.js';
import type { PolicyBundle } from '../policy/bundle.js';
import { NO_RULES, ORGANISATION_PREFIX, type OrganisationPolicy } from '../policy/organisation.js';
import type { TreeReader } from '../source/repository.js';
import { policyFiles, readText } from './governed-files.js';

/** The organisation's policy as the service follows it. */
export interface OrganisationSource {
  /** At the last approved commit; null until something governs there. */
  readonly inForce: () => OrganisationPolicy | null;
  /** At a commit that governed once. Throws as `readOrganisation`. */
  readonly at: (commit: string) => Promise<OrganisationPolicy>;
}

/** What another policy of the organisation comes to in the repositories below it. */
export type Below = (
  proposed: OrganisationPolicy,
) => Promise<readonly { readonly repository: string; readonly bundle: PolicyBundle }[]>;

/** What a state of the organisation's repository lays above others. Throws `config-invalid` and what stands behind it. */
export async function readOrganisation(
  tree: TreeReader,
  commit: string,
  repository: string,
): Promise<OrganisationPolicy> {
  const text = await readText(tree, commit, SETTINGS_FILE);
  const settings = text === null ? null : parseSettings(text, SETTINGS_FILE);
  const folder = settings?.policies.path ?? 'policies';
  const files = [...(await policyFiles(tree, commit, folder))].map(
    ([path, content]) => [ORGANISATION_PREFIX + path, content] as const,
  );
  return {
    repository,
    commit,
    files: new Map(files),
    root: (ORGANISATION_PREFIX + folder).replace(/\/$/, ''),
    rules: settings?.organisation ?? NO_RULES,
  };
}
