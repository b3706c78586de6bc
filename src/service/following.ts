import { join } from 'node:path';
import { openForge } from '../adapters/forge/forges.js';
import { openMirror } from '../adapters/git/mirror.js';
import type { Lease, Leases } from '../audit/lease.js';
import type { Ledger } from '../audit/ledger.js';
import { ownRefs } from '../config/gate.js';
import { type Config, followedIn, type RepositoryConfig } from '../config.js';
import { CountersignError } from '../errors.js';
import type { PolicyBundle, PolicySources } from '../policy/bundle.js';
import type { Deployments } from '../reconcile/deployments.js';
import { APPROVALS_REF } from '../review/approval.js';
import { Approvals } from '../review/approvals.js';
import { CommitTags } from '../review/commit-tags.js';
import type { FollowerEvents, ReviewParts } from '../review/followed-repository.js';
import { RepositoryFollower } from '../review/follower.js';
import { GovernanceReader, type Standing } from '../review/governance.js';
import type { PastDecisions } from '../review/impact.js';
import { type Below, type OrganisationSource, readOrganisation } from '../review/organisation.js';
import type { DecisionRecord, Records, ReturnRecord, Trouble } from '../review/records.js';
import { RequestFollower } from '../review/requests.js';
import {
  type Following,
  SharedRepository,
  type TellFollower,
  type TellReconcilers,
} from '../review/shared-repository.js';
import { describeTrouble } from '../review/trouble.js';
import { OBJECT_ID } from '../source/object-id.js';
import type { Mirror } from '../source/repository.js';

export interface FollowingParts extends Omit<ReviewParts, 'mirror' | 'governance' | 'ledger' | 'records'> {
  readonly config: Config;
  readonly ledger: Ledger;
  readonly records: Records;
  readonly leases: Leases;
  /** What is written under a lease. */
  readonly under: (lease: Lease) => { readonly ledger: Ledger; readonly records: Records };
  readonly tell: TellFollower & TellReconcilers;
  readonly past: PastDecisions;
  readonly compile: (sources: PolicySources) => Promise<PolicyBundle>;
  readonly deployments: Deployments;
  /** After a decision that this instance made is in the log. */
  readonly onDecided: (decision: DecisionRecord) => void;
  /** After something else about a repository that this instance follows is recorded. */
  readonly onRecorded: (repository: string) => void;
  readonly onReturned: (action: ReturnRecord) => void;
  readonly onFault: (repository: string, trouble: Trouble, message: string) => void;
}

/** One repository with what reads it. */
export interface OpenRepository {
  readonly shared: SharedRepository;
  readonly mirror: Mirror;
  readonly tags: CommitTags;
  /** What it would be judged by at a commit. Throws `query-invalid`, `revision-unknown`, `rego-invalid` and its kin. */
  readonly bundleAt: (commit: string) => Promise<PolicyBundle>;
}

interface Reader {
  readonly mirror: Mirror;
  readonly governance: GovernanceReader;
}

/**
 * Opens all repositories of the configuration: their mirrors, and what follows each of them while this instance has its lease. Nothing
 * is looked at before `start`: each may ask for the others.
 */
export async function openFollowing(parts: FollowingParts): Promise<ReadonlyMap<string, OpenRepository>> {
  const { config } = parts;
  const leader = config.organisation?.name;
  const open = new Map<string, OpenRepository>();
  const readers = new Map<string, Reader>();
  const standing = (repository: string): Standing | null => open.get(repository)?.shared.standing ?? null;
  const organisation: OrganisationSource | undefined =
    leader === undefined
      ? undefined
      : {
          inForce: () => standing(leader)?.governance.above ?? null,
          at: (commit) => readOrganisation(readers.get(leader)!.mirror.repository, commit, leader),
        };
  const below = belowOf(parts, readers, standing);
  for (const repository of followedIn(config)) {
    const { name } = repository;
    const reader = await openReader(repository, parts, name === leader);
    readers.set(name, reader);
    const { mirror, governance } = reader;
    const above = name === leader ? {} : { organisation };
    const nudgeAll = (): void => {
      if (name === leader) for (const other of config.repositories) open.get(other.name)?.shared.nudge();
    };
    const approvals = new Approvals(name, {
      ledger: parts.ledger,
      records: parts.records,
      repository: mirror.repository,
      now: () => new Date(),
    });
    const shared: SharedRepository = new SharedRepository(repository, {
      ledger: parts.ledger,
      records: parts.records,
      mirror,
      governance,
      cache: parts.cache,
      ...above,
      // What another instance follows is told by it.
      events: eventsOf(repository, parts, { nudgeAll, adviceApproved: () => {}, recorded: () => {} }),
      leases: parts.leases,
      tell: parts.tell,
      approvals,
      follow: (lease) => {
        const own = parts.under(lease);
        const recorded = (): void => parts.onRecorded(name);
        const events = eventsOf(repository, { ...parts, ...own }, { nudgeAll, adviceApproved: () => shared.adviceApproved(), recorded }); // prettier-ignore
        return follow(
          repository,
          reader,
          { ...parts, ...own },
          {
            events,
            past: parts.past,
            ...(name === leader ? { below } : above),
          },
        );
      },
    });
    open.set(name, {
      shared,
      mirror,
      tags: new CommitTags(mirror, () => standing(name)?.governance ?? null),
      bundleAt: async (commit) => {
        if (!OBJECT_ID.test(commit)) {
          throw new CountersignError('query-invalid', `${commit.slice(0, 80)} is no full commit id`);
        }
        const lies = name === leader ? undefined : (organisation?.inForce() ?? undefined);
        return (await governance.read(mirror.repository, commit, lies)).bundle;
      },
    });
  }
  return open;
}

async function openReader(
  { name, url, refs, credentials, ssh }: RepositoryConfig,
  { config, records, compile }: FollowingParts,
  leads: boolean,
): Promise<Reader> {
  const mirror = await openMirror(join(config.data, 'mirrors', `${name}.git`), {
    url,
    refs: [...refs, APPROVALS_REF],
    except: ownRefs(config.gates),
    credentials,
    ssh,
  });
  const governance = new GovernanceReader(compile, {
    repository: name,
    leads,
    firstSeen: async (ids) => {
      const seen = await records.find('exception', { repository: name, id: ids });
      return new Map(seen.map(({ id: exception, firstSeen }) => [exception, new Date(firstSeen)]));
    },
  });
  return { mirror, governance };
}

/** What follows a repository, under its lease: all that it records is fenced by that. */
function follow(
  repository: RepositoryConfig,
  { mirror, governance }: Reader,
  parts: FollowingParts,
  rest: {
    readonly events: FollowerEvents;
    readonly past: PastDecisions;
    readonly organisation?: OrganisationSource | undefined;
    readonly below?: Below;
  },
): Following {
  const { ledger, records, evaluator, redactor, cache, grants, mostCommits, live } = parts;
  const reviewing = { ledger, records, mirror, governance, evaluator, redactor, cache, grants, mostCommits, live };
  const follower = new RepositoryFollower(repository, { ...reviewing, ...rest });
  const requests = repository.forge
    ? new RequestFollower(repository, {
        forge: openForge(repository.forge),
        standing: () => follower.standing,
        approvals: follower.approvals,
        counted: follower.counted,
        onApprovals: (approvals) => follower.approvalsCame(approvals),
        ...reviewing,
        onFault: (trouble) => parts.onFault(repository.name, trouble, trouble.message),
      })
    : null;
  return { follower, requests };
}

function eventsOf(
  { name }: RepositoryConfig,
  { deployments, onDecided, onReturned, onFault, tell, ledger, records }: FollowingParts,
  told: { readonly nudgeAll: () => void; readonly adviceApproved: () => void; readonly recorded: () => void },
): FollowerEvents {
  return {
    governs: () => {
      told.nudgeAll();
      told.recorded();
    },
    approved: (approved) => {
      deployments.approved(approved);
      told.recorded();
    },
    decided: (decision) => onDecided(decision),
    removed: (_, environment) => deployments.removed(name, environment),
    governed: (_, environments) => deployments.governed(name, environments),
    unserved: (_, environment, trouble) => deployments.unserved(name, environment.name, trouble, { ledger, records }),
    fault: (trouble) => onFault(name, trouble, trouble.message),
    returned: onReturned,
    stays: (_, environment, trouble) => {
      deployments.stays(name, environment, trouble);
      tell.stays(name, environment, trouble);
    },
    adviceApproved: told.adviceApproved,
  };
}

/** What a proposed policy of the organisation comes to in each of the others that it makes a difference to. */
function belowOf(
  { config, onFault }: FollowingParts,
  readers: ReadonlyMap<string, Reader>,
  standing: (repository: string) => Standing | null,
): Below {
  return async (proposed) => {
    const found: { readonly repository: string; readonly bundle: PolicyBundle }[] = [];
    for (const { name } of config.repositories) {
      const { mirror, governance } = readers.get(name)!;
      const now = standing(name)?.governance;
      if (!now) continue;
      const { governance: next, problems } = await governance.attempt(mirror.repository, now.commit, proposed);
      for (const problem of problems)
        onFault(name, describeTrouble(problem), `it would not go with the organisation’s new policy: ${problem.message}`); // prettier-ignore
      if (next && next.bundle.digest !== now.bundle.digest) found.push({ repository: name, bundle: next.bundle });
    }
    return found;
  };
}
