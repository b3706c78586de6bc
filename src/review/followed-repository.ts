import type { Inclusion, Ledger } from '../audit/ledger.js';
import type { Environment } from '../change/environment.js';
import type { Grant } from '../change/grant.js';
import type { ManifestCache } from '../change/manifest-cache.js';
import type { ManifestObject } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import type { Evaluator } from '../policy/evaluator.js';
import type { Mirror } from '../source/repository.js';
import type { Governance, GovernanceReader } from './governance.js';
import type { PastDecisions } from './impact.js';
import type { Below, OrganisationSource } from './organisation.js';
import type { DecisionRecord, Records, ReturnRecord, Trouble } from './records.js';
import type { LiveInventory } from './review.js';

/** A repository as the service's own configuration names it. */
export interface FollowedRepository {
  readonly name: string;
  readonly url: string;
  readonly refs: readonly string[];
  readonly governance: string;
  readonly trust: { readonly commit?: string; readonly key?: string };
  readonly pollMilliseconds: number;
  /** People who may let a change of governance in that policy does not allow. */
  readonly administrators?: readonly { readonly name: string; readonly key: string }[];
}

/** An environment's head as it was approved: what a reconciler may be given. */
export interface Approved {
  readonly repository: string;
  readonly environment: Environment;
  readonly head: string;
  /** Everything that the environment holds at head, unredacted. */
  readonly objects: readonly ManifestObject[];
  readonly decision: DecisionRecord;
  readonly inclusion: Inclusion;
  /** True when the bundle in force would no longer allow it: repair goes on under its original allow. */
  readonly noLongerCompliant: boolean;
}

/** What a follower tells the rest of the service. Each is called after the thing is in the log. */
export interface FollowerEvents {
  approved(approved: Approved): void;
  /** A decision of any outcome. */
  decided(decision: DecisionRecord): void;
  /** Removed from the governed configuration: its objects are left alone. */
  removed(repository: string, environment: string): void;
  /** What governs now defines these; how they are kept counts at once. */
  governed?(repository: string, environments: readonly Environment[]): void;
  /** Defined, but there is nothing to judge. */
  unserved(repository: string, environment: Environment, trouble: Trouble): void;
  fault(trouble: Trouble, repository: string): void;
  /** A rollout failed, and its environment goes back by itself, or cannot. */
  returned?(action: ReturnRecord): void;
  /** Why an environment whose rollout failed stays as it is; null: that is over. */
  stays?(repository: string, environment: string, trouble: Trouble | null): void;
  /** What governs from here on, or again after a start. */
  governs(governance: Governance, repository: string): void;
  /** Somebody approved an open request. */
  adviceApproved?(): void;
}

/** What it takes to review what a repository proposes, be it pushed or requested. */
export interface ReviewParts {
  readonly ledger: Ledger;
  readonly records: Records;
  readonly mirror: Mirror;
  readonly governance: GovernanceReader;
  readonly evaluator: Evaluator;
  readonly redactor: Redactor;
  readonly cache: ManifestCache;
  /** Grants by target; a target not in it is not configured. */
  readonly grants: ReadonlyMap<string, readonly Grant[]>;
  /** Commits of one change; see `proposeChange`. */
  readonly mostCommits?: number;
  /** What policy sees of the clusters. */
  readonly live?: LiveInventory;
  readonly now?: () => Date;
}

export interface FollowerParts extends ReviewParts {
  readonly events: FollowerEvents;
  /** What changes of policy are held against. */
  readonly past?: PastDecisions;
  /** Whose policy lies above this repository's; none for the organisation's own, or where there is no organisation. */
  readonly organisation?: OrganisationSource | undefined;
  /** Of the organisation's own: what a change of it comes to in the others. */
  readonly below?: Below | undefined;
}

/** With the clock that all parts of a follower go by. */
export interface ClockedParts extends FollowerParts {
  readonly now: () => Date;
}
