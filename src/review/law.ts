import type { Environment } from '../change/environment.js';
import { type GovernanceSettings, noSettings, SETTINGS_FILE } from '../change/environments.js';
import type { PolicyBundle, PolicySources } from '../policy/bundle.js';
import type { CountersignError } from '../errors.js';
import type { Rule } from '../policy/decision.js';
import { type OrganisationPolicy, overruled, withheldBy } from '../policy/organisation.js';
import type { StarterSettings } from '../policy/sources.js';
import { readSettings } from '../settings.js';
import { readSigners } from '../source/governed-signers.js';
import type { Repository, TreeReader } from '../source/repository.js';
import type { Signers } from '../source/signers.js';
import { type Attesters, readAttesters } from './attesters.js';
import { type ExceptionStanding, readExceptions, standingOf } from './exceptions.js';
import { type Belonging, readBelonging } from './governed-owners.js';
import { readSources, readText, settingsAt } from './governed-files.js';

/** What a change is judged by when nobody's service holds the governance: the same files, read where the caller says. */
export interface Law {
  readonly settings: GovernanceSettings;
  readonly environments: readonly Environment[];
  readonly signers: Signers;
  readonly belonging: Belonging;
  /** Who is believed about how images were made; null where nobody is named. */
  readonly attesters: Attesters | null;
  readonly bundle: PolicyBundle;
  /** All that lie there, with what was made of them. */
  readonly exceptions: readonly ExceptionStanding[];
  /** Why nobody in this repository may except a rule; null where they may. */
  readonly withheld: (rule: Rule) => string | null;
  /** What lies above it. */
  readonly organisation: OrganisationPolicy | undefined;
  /** What the settings say against that, which has no effect. */
  readonly overruled: readonly CountersignError[];
}

export interface LawOptions {
  readonly compile: (sources: PolicySources) => Promise<PolicyBundle>;
  /** In place of the repository's own policies; starter rules stay as the settings say. */
  readonly policies?: (starter: StarterSettings) => PolicySources;
  /** In place of the settings' profile. */
  readonly profile?: StarterSettings['profile'];
  readonly organisation?: OrganisationPolicy | undefined;
}

/**
 * Reads settings, signers and policy of one state of a repository, or of a folder. Without a countersign.yaml there are no
 * environments and the starter rules judge. Throws `config-invalid`, `rego-invalid`, `signers-malformed` and what stands behind them.
 */
export async function readLaw(tree: TreeReader, commit: string, options: LawOptions): Promise<Law> {
  const text = await readText(tree, commit, SETTINGS_FILE);
  const written = text === null ? noSettings : await settingsAt(tree, commit, text);
  const { strict } = written.policies;
  const starter = { ...written.policies.starter, ...(options.profile ? { profile: options.profile } : {}) };
  const settings = { ...written, policies: { ...written.policies, starter } };
  const { organisation } = options;
  const sources = options.policies
    ? options.policies({ ...starter, organisation, strict })
    : await readSources(tree, commit, settings, organisation);
  const [signers, belonging, attesters, bundle] = await Promise.all([
    readSigners(tree, commit),
    readBelonging(tree, commit),
    readAttesters(tree, commit),
    options.compile(sources),
  ]);
  const { environments } = settings;
  const now = new Date();
  const files = await readExceptions(tree, commit, '');
  // Nobody here knows what the service calls this repository, nor when it first saw these.
  const context = {
    repository: null,
    rules: bundle.rules,
    environments: environments.map(({ name }) => name),
    signers,
  };
  const withheld = withheldBy(organisation);
  const exceptions = files.map((file) => standingOf(file, { ...context, withheld, firstSeen: now, now }));
  const overruled = overruledIn(text, settings, organisation, bundle);
  return {
    settings,
    environments,
    signers,
    belonging,
    attesters,
    bundle,
    exceptions,
    withheld,
    organisation,
    overruled,
  };
}

/** What a countersign.yaml says against the organisation. */
export function overruledIn(
  text: string | null,
  { policies }: GovernanceSettings,
  organisation: OrganisationPolicy | undefined,
  { rules }: PolicyBundle,
): readonly CountersignError[] {
  if (text === null || !organisation) return [];
  return overruled(policies.starter, organisation, rules, readSettings(text, SETTINGS_FILE));
}

/**
 * The commit that `head` branched off `base`: what a merge would compare with. `base` itself if it is an ancestor, or if the
 * two have several such commits or none.
 */
export async function forkPoint(repository: Repository, base: string, head: string): Promise<string> {
  if (await repository.isAncestor(base, head)) return base;
  const own = new Set<string>();
  const parents = new Set<string>();
  for await (const { commit } of repository.history({ head, exclude: [base] })) {
    own.add(commit.id);
    for (const parent of commit.parents) parents.add(parent);
  }
  const forks = [...parents].filter((parent) => !own.has(parent));
  return own.size === 0 ? head : forks.length === 1 ? forks[0] : base;
}
