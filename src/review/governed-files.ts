import { isNewEnvironment } from '../change/environment-templates.js';
import { type GovernanceSettings, parseSettings, SETTINGS_FILE, withTemplates } from '../change/environments.js';
import type { PolicySources } from '../policy/bundle.js';
import { mayHoldGatekeeper } from '../policy/gatekeeper/gatekeeper.js';
import type { OrganisationPolicy } from '../policy/organisation.js';
import { policySources } from '../policy/sources.js';
import type { TreeReader } from '../source/repository.js';

/**
 * Whether a file of the policy folder may take part in the bundle. Where that folder is the whole repository, Gatekeeper's files
 * are read below gatekeeper/ only: else every manifest would be governance.
 */
export function isPolicySource(path: string, folder: string): boolean {
  if (path.endsWith('.rego') || /(^|\/)data\.(ya?ml|json)$/.test(path)) return true;
  return mayHoldGatekeeper(path) && (folder !== '' || path.startsWith('gatekeeper/'));
}

/** The policy folder of a repository at a commit, with the starter rules its settings choose. */
export async function readSources(
  repository: TreeReader,
  commit: string,
  { policies }: GovernanceSettings,
  organisation: OrganisationPolicy | undefined,
): Promise<PolicySources> {
  const files = await policyFiles(repository, commit, policies.path);
  return policySources(files, { ...policies.starter, organisation, strict: policies.strict }, policies.path);
}

/** What of a folder may take part in a bundle, as texts by path. */
export async function policyFiles(
  repository: TreeReader,
  commit: string,
  folder: string,
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const entry of await repository.tree(commit, folder)) {
    // A link would read what is outside the folder; a submodule is another repository (invariant 8).
    if (entry.type !== 'blob' || entry.mode === '120000' || !isPolicySource(entry.path, folder)) continue;
    files.set(entry.path, (await repository.blob(entry.id)).toString('utf8'));
  }
  return files;
}

/** An ordinary file at a commit as text; null where there is none. */
export async function readText(repository: TreeReader, commit: string, path: string): Promise<string | null> {
  const entry = (await repository.tree(commit, path)).find((candidate) => candidate.path === path);
  return entry?.type === 'blob' ? (await repository.blob(entry.id)).toString('utf8') : null;
}

/** The settings in a text of countersign.yaml, with the environments that its templates find in the tree of a commit. */
export async function settingsAt(tree: TreeReader, commit: string, text: string): Promise<GovernanceSettings> {
  const settings = parseSettings(text, SETTINGS_FILE);
  return settings.templates.length === 0 ? settings : withTemplates(settings, await tree.tree(commit, ''));
}

/** Whether a change to this file is a change of governance: a new folder of a template is a new environment. */
export function isGoverned(path: string, { policies, templates, environments }: GovernanceSettings): boolean {
  if (isNewEnvironment(path, templates, environments)) return true;
  if (path === SETTINGS_FILE || path.startsWith('.countersign/')) return true;
  return policies.path === '' ? isPolicySource(path, '') : path.startsWith(`${policies.path}/`);
}
