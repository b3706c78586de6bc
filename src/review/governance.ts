import { CountersignError, toCountersignError } from '../errors.js';
import { GOVERNANCE, type Environment } from '../change/environment.js';
import { type GovernanceSettings, parseSettings, SETTINGS_FILE } from '../change/environments.js';
import type { PolicyBundle, PolicySources } from '../policy/bundle.js';
import { policySources } from '../policy/sources.js';
import type { Repository, TreeReader } from '../source/repository.js';
import { fingerprint } from '../source/ssh-key.js';
import {
  ALLOWED_SIGNERS_PATH,
  checkSignature,
  NO_SIGNERS,
  parseSigners,
  REVOKED_SIGNERS_PATH,
  type Signers,
} from '../source/signers.js';

/** What one governance commit of a repository says: who may sign, what deploys where, what policy judges it. */
export interface Governance {
  readonly commit: string;
  readonly settings: GovernanceSettings;
  readonly environments: readonly Environment[];
  readonly signers: Signers;
  readonly bundle: PolicyBundle;
}

/** Governance read from a commit that is only proposed: null with its problems, if it could not govern. */
export interface ProposedGovernance {
  readonly governance: Governance | null;
  readonly problems: readonly CountersignError[];
}

/** A repository's governance at a commit, its policy compiled. */
export class GovernanceReader {
  constructor(private readonly compile: (sources: PolicySources) => Promise<PolicyBundle>) {}

  /** Throws the first of what `attempt` finds. */
  async read(repository: Repository, commit: string): Promise<Governance> {
    const { governance, problems } = await this.attempt(repository, commit);
    if (!governance) throw problems[0];
    return governance;
  }

  async attempt(repository: Repository, commit: string): Promise<ProposedGovernance> {
    const problems: CountersignError[] = [];
    const guarded = async <T>(work: () => T | Promise<T>): Promise<T | null> => {
      try {
        return await work();
      } catch (thrown) {
        problems.push(toCountersignError(thrown));
        return null;
      }
    };
    const settings = await guarded(async () => {
      const text = await readText(repository, commit, SETTINGS_FILE);
      if (text !== null) return parseSettings(text, SETTINGS_FILE);
      throw new CountersignError('environment-invalid', `there is no ${SETTINGS_FILE} at ${commit.slice(0, 7)}`, {
        place: { file: SETTINGS_FILE },
        remedy: 'Add one that names the environments',
      });
    });
    const signers = await guarded(() => readSigners(repository, commit));
    const bundle =
      settings && (await guarded(async () => this.compile(await readSources(repository, commit, settings))));
    if (!settings || !signers || !bundle) return { governance: null, problems };
    return { governance: { commit, settings, environments: settings.environments, signers, bundle }, problems };
  }
}

/** The environment that stands for a repository's own governance: judged like any other, deployed nowhere. */
export function governanceEnvironment(ref: string): Environment {
  return { name: GOVERNANCE, path: '', ref, target: null, namespace: null, labels: {}, ignore: ['**'] };
}

/** Whether a change to this file is a change of governance. */
export function isGoverned(path: string, { policies }: GovernanceSettings): boolean {
  if (path === SETTINGS_FILE || path.startsWith('.countersign/')) return true;
  return policies.path === '' ? isPolicySource(path) : path.startsWith(`${policies.path}/`);
}

function isPolicySource(path: string): boolean {
  return path.endsWith('.rego') || /(^|\/)data\.(ya?ml|json)$/.test(path);
}

/**
 * Where trust in a repository begins (invariant 2): the commit that the service's own configuration names, or the tip if it is
 * signed by the key that the configuration names.
 */
export async function initialTrust(
  repository: Repository,
  trust: { readonly commit?: string; readonly key?: string },
  tip: string,
  ref: string,
): Promise<string> {
  if (trust.commit !== undefined) {
    const known = await repository.isAncestor(trust.commit, tip).catch((thrown: unknown) => {
      if (toCountersignError(thrown).code === 'revision-unknown') return false;
      throw thrown;
    });
    if (known) return trust.commit;
    throw new CountersignError('revision-unknown', `trust.commit ${trust.commit.slice(0, 12)} is not part of ${ref}`, {
      remedy: 'Name a commit of that branch under trust: in the service’s configuration',
    });
  }
  const [first = '', second = ''] = (trust.key ?? '').split(' ');
  const wanted = first.startsWith('SHA256:') ? first : fingerprint(Buffer.from(second, 'base64'));
  const { status, key, reason } = checkSignature(
    await repository.commit(tip),
    await readSigners(repository, tip),
    new Date(),
  );
  if (status === 'verified' && key === wanted) return tip;
  throw new CountersignError(
    'signature-malformed',
    `the tip of ${ref}, ${tip.slice(0, 7)}, is not signed by the key under trust:${reason ? ` (${reason})` : ''}`,
    { remedy: 'Push a commit signed by that key, or name a commit under trust: instead' },
  );
}

async function readSigners(repository: Repository, commit: string): Promise<Signers> {
  const allowed = await readText(repository, commit, ALLOWED_SIGNERS_PATH);
  const revoked = await readText(repository, commit, REVOKED_SIGNERS_PATH);
  if (allowed === null) return NO_SIGNERS;
  return parseSigners(
    { text: allowed, file: ALLOWED_SIGNERS_PATH },
    revoked === null ? undefined : { text: revoked, file: REVOKED_SIGNERS_PATH },
  );
}

/** The policy folder of a repository at a commit, with the starter rules its settings choose. */
export async function readSources(
  repository: TreeReader,
  commit: string,
  settings: GovernanceSettings,
): Promise<PolicySources> {
  const files = new Map<string, string>();
  for (const entry of await repository.tree(commit, settings.policies.path)) {
    // A link would read what is outside the folder; a submodule is another repository (invariant 8).
    if (entry.type !== 'blob' || entry.mode === '120000') continue;
    if (/\.(rego|ya?ml|json)$/.test(entry.path))
      files.set(entry.path, (await repository.blob(entry.id)).toString('utf8'));
  }
  return policySources(files, settings.policies.starter, settings.policies.path);
}

/** An ordinary file at a commit as text; null where there is none. */
export async function readText(repository: TreeReader, commit: string, path: string): Promise<string | null> {
  const entry = (await repository.tree(commit, path)).find((candidate) => candidate.path === path);
  return entry?.type === 'blob' ? (await repository.blob(entry.id)).toString('utf8') : null;
}
