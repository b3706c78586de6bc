import { CountersignError, toCountersignError } from '../errors.js';
import { GOVERNANCE, type Environment } from '../change/environment.js';
import { SETTINGS_FILE } from '../change/environments.js';
import type { PolicyBundle, PolicySources } from '../policy/bundle.js';
import { type OrganisationPolicy, withheldBy } from '../policy/organisation.js';
import { readSigners } from '../source/governed-signers.js';
import type { Repository } from '../source/repository.js';
import { fingerprint } from '../source/ssh-key.js';
import { checkSignature } from '../source/signers.js';
import { readAttesters } from './attesters.js';
import type { DecisionFacts } from './entries.js';
import { type ExceptionStanding, newFaults, readExceptions, standingOf } from './exceptions.js';
import { readSources, readText, settingsAt } from './governed-files.js';
import { readBelonging } from './governed-owners.js';
import { type Law, overruledIn } from './law.js';
import { readOrganisation } from './organisation.js';

/** What one governance commit of a repository says: who may sign, what deploys where, what policy judges it. */
export interface Governance extends Law {
  readonly commit: string;
  /** Of the organisation's own repository: what this lays above the others. */
  readonly above: OrganisationPolicy | null;
  /** Why the organisation's policy in force cannot be taken up: what is proposed meanwhile is denied. */
  readonly misfits: readonly CountersignError[];
}

/** What a repository is judged by right now. */
export interface Standing {
  readonly governance: Governance;
  /** Tips of the followed refs, as the log has them. */
  readonly tips: ReadonlyMap<string, string>;
}

/** Governance read from a commit that is only proposed: null with its problems, if it could not govern. */
export interface ProposedGovernance {
  readonly governance: Governance | null;
  readonly problems: readonly CountersignError[];
}

/** What is known of exceptions beside what lies in the repository. */
export interface ExceptionFacts {
  /** As the service calls it; null where nobody knows. */
  readonly repository: string | null;
  /** When each was first seen at a commit that governed; now for the others (invariant 6). */
  readonly firstSeen: (ids: readonly string[]) => Promise<ReadonlyMap<string, Date>>;
  readonly now?: () => Date;
  /** Whether it is the organisation's own. */
  readonly leads?: boolean;
}

const NO_FACTS: ExceptionFacts = { repository: null, firstSeen: () => Promise.resolve(new Map<string, Date>()) };

/** What stands in the way of taking up governance in place of the one before it. */
export function problemsOf(
  { governance, problems }: ProposedGovernance,
  before: Pick<Law, 'exceptions' | 'overruled'>,
): readonly CountersignError[] {
  // What the organisation came to overrule later has no effect, and must not keep other changes from being let in.
  const known = new Set(before.overruled.map(({ message }) => message));
  const overruled = (governance?.overruled ?? []).filter(({ message }) => !known.has(message));
  return [...problems, ...overruled, ...newFaults(governance?.exceptions ?? [], before.exceptions)];
}

/** A repository's governance at a commit, its policy compiled. */
export class GovernanceReader {
  constructor(
    private readonly compile: (sources: PolicySources) => Promise<PolicyBundle>,
    private readonly facts: ExceptionFacts = NO_FACTS,
  ) {}

  /** Throws the first of what `attempt` finds. */
  async read(repository: Repository, commit: string, organisation?: OrganisationPolicy): Promise<Governance> {
    const { governance, problems } = await this.attempt(repository, commit, organisation);
    if (!governance) throw problems[0];
    return governance;
  }

  /** Under the organisation's policy where there is one. */
  async attempt(
    repository: Repository,
    commit: string,
    organisation?: OrganisationPolicy,
  ): Promise<ProposedGovernance> {
    const problems: CountersignError[] = [];
    const guarded = async <T>(work: () => T | Promise<T>): Promise<T | null> => {
      try {
        return await work();
      } catch (thrown) {
        problems.push(toCountersignError(thrown));
        return null;
      }
    };
    let text: string | null = null;
    const settings = await guarded(async () => {
      text = await readText(repository, commit, SETTINGS_FILE);
      if (text !== null) return settingsAt(repository, commit, text);
      throw new CountersignError('environment-invalid', `there is no ${SETTINGS_FILE} at ${commit.slice(0, 7)}`, {
        place: { file: SETTINGS_FILE },
        remedy: 'Add one that names the environments',
      });
    });
    const signers = await guarded(() => readSigners(repository, commit));
    const belonging = await guarded(() => readBelonging(repository, commit));
    const attesters = await guarded(async () => ({ read: await readAttesters(repository, commit) }));
    const bundle =
      settings &&
      (await guarded(async () => this.compile(await readSources(repository, commit, settings, organisation))));
    if (!settings || !signers || !belonging || !attesters || !bundle) return { governance: null, problems };
    const { environments } = settings;
    const withheld = withheldBy(organisation);
    const exceptions = await this.#exceptions(repository, commit, { environments, signers, bundle, withheld });
    const overruled = overruledIn(text, settings, organisation, bundle);
    const { repository: name, leads } = this.facts;
    const above = leads && name !== null ? await readOrganisation(repository, commit, name) : null;
    const rest = { attesters: attesters.read, bundle, exceptions, withheld };
    const read = { commit, settings, environments, signers, belonging, ...rest };
    return { governance: { ...read, organisation, overruled, above, misfits: [] }, problems };
  }

  async #exceptions(
    repository: Repository,
    commit: string,
    { environments, signers, bundle, withheld }: Pick<Law, 'environments' | 'signers' | 'bundle' | 'withheld'>,
  ): Promise<readonly ExceptionStanding[]> {
    const { repository: name, firstSeen, now = () => new Date() } = this.facts;
    const files = await readExceptions(repository, commit, name ?? '');
    const seen = files.length === 0 ? new Map<string, Date>() : await firstSeen(files.map(({ id }) => id));
    const at = now();
    const context = {
      repository: name,
      rules: bundle.rules,
      environments: environments.map((environment) => environment.name),
      withheld,
      signers,
      now: at,
    };
    return files.map((file) => standingOf(file, { ...context, firstSeen: seen.get(file.id) ?? at }));
  }
}

/** What a log entry says of the policy that judged. */
export function judgedBy({ bundle, organisation }: Governance): Pick<DecisionFacts, 'bundle' | 'organisation'> {
  if (!organisation) return { bundle };
  const { repository, commit } = organisation;
  return { bundle, organisation: { repository, commit } };
}

/** The environment that stands for a repository's own governance: judged like any other, deployed nowhere. */
export function governanceEnvironment(ref: string): Environment {
  return { name: GOVERNANCE, path: '', ref, target: null, namespace: null, labels: {}, ignore: ['**'] };
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
