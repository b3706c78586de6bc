import type { JsonPatchOperation } from '../cluster/diff.js';
import type { Json, KubernetesObject } from '../cluster/object.js';
import type { LedgerTransaction } from '../audit/ledger.js';
import type { Environment } from '../change/environment.js';
import type { Place } from '../errors.js';
import type { Outcome, Violation } from '../policy/decision.js';
import type { DecisionTerms } from './decision-terms.js';
import type { BranchProtection } from './forge.js';
import type { ImpactTally } from './impact-tally.js';
import type { ExceptionScope } from '../policy/exception.js';
import type { FileChange, PersonClaim, RefMove } from '../source/repository.js';
import type { Signature } from '../source/signature.js';

/**
 * What the service remembers beside its log, one readonly type a thing: TypeORM maps it, the SDL exposes it. Every row that
 * tells of a decision, a run or a drift is written in the transaction that stages its entry, so neither exists without the other.
 * Times are RFC 3339, UTC. `index` is the entry's index in the log; null only between the transaction and its checkpoint.
 */

/** What is wrong with something right now, in words for people. */
export interface Trouble {
  readonly code: string;
  readonly message: string;
  readonly place?: Place;
  readonly remedy?: string;
}

export interface RepositoryRecord {
  readonly name: string;
  readonly url: string;
  /** `ungoverned`: no commit of its governance ref is trusted yet. */
  readonly state: 'new' | 'ok' | 'ungoverned' | 'unavailable';
  readonly trouble: Trouble | null;
  readonly governanceRef: string;
  /** The last approved governance commit, and the digest of the bundle in force from it. */
  readonly governanceCommit: string | null;
  /** The organisation's commit whose policy lies above it. */
  readonly organisationCommit: string | null;
  readonly bundleDigest: string | null;
  readonly updatedAt: string;
}

export interface TipRecord {
  readonly repository: string;
  readonly ref: string;
  readonly commit: string;
  /** The push that put it there. */
  readonly push: string;
}

export interface PushRecord {
  readonly id: string;
  readonly repository: string;
  readonly ref: string;
  readonly kind: RefMove['kind'];
  readonly old: string | null;
  readonly new: string | null;
  /** Who pushed, by the forge's word; null where it said nothing of exactly this move. */
  readonly pusher: Account | null;
  readonly time: string;
  readonly index: number | null;
}

export interface CommitRecord {
  readonly repository: string;
  readonly id: string;
  readonly tree: string;
  readonly parents: readonly string[];
  readonly author: PersonClaim;
  readonly committer: PersonClaim;
  readonly message: string;
  readonly signature: Signature;
  readonly files: readonly Pick<FileChange, 'path' | 'op' | 'mode'>[];
  readonly firstSeen: string;
}

export type EnvironmentStatus =
  /** Nothing was judged yet. */
  | 'new'
  /** The approved commit is live and nothing differs. */
  | 'synced'
  /** Being applied, or applied and not yet healthy. */
  | 'progressing'
  | 'degraded'
  /** The cluster refused, or is away; the approved commit is not (wholly) live. */
  | 'failed'
  /** Outside its grants, or its definition can't be served. */
  | 'refused'
  /** Nothing is written: it is suspended, or a change waits for a window. */
  | 'suspended'
  /** Removed from the governed configuration; its objects were left alone. */
  | 'removed';

export interface EnvironmentRecord {
  readonly repository: string;
  readonly name: string;
  readonly path: string;
  readonly ref: string;
  readonly target: string | null;
  readonly namespace: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly ignore: readonly string[];
  /** Newest commit on the ref that was judged, and that decision's id. */
  readonly head: string | null;
  readonly headDecision: string | null;
  readonly headOutcome: Outcome | null;
  /** The last approved commit and the decision that allowed it. */
  readonly approved: string | null;
  readonly approvedDecision: string | null;
  /** How the environment was defined when that was allowed: what it is held to while another definition is not allowed. */
  readonly approvedDefinition: Environment | null;
  /** True while the bundle in force would no longer allow the approved commit. */
  readonly noLongerCompliant: boolean;
  /** Then: the commit from which on what is approved is judged to find out whether it complies again; null: from nothing. */
  readonly nonCompliantFrom: string | null;
  /** The last approved commit whose rollout was healthy, and the decision that it was. */
  readonly healthy: string | null;
  readonly healthyDecision: string | null;
  /** These, and the two before, are the reconciler's to write; everything above is the follower's. */
  readonly status: EnvironmentStatus;
  readonly trouble: Trouble | null;
  /** Where others apply it: the ref that they follow, and what they say. The reconciler's to write, too. */
  readonly gate: GateState | null;
  readonly updatedAt: string;
}

/** A rollout failed, and its environment goes back by itself to what was healthy before, or cannot. */
export interface ReturnRecord {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  /** The commit whose rollout failed, and the decision that had allowed it. */
  readonly from: string;
  readonly fromDecision: string;
  /** Null: there is nothing to go back to. */
  readonly to: string | null;
  /** The decision on going back; null until there is one. */
  readonly decision: string | null;
  /** What was unhealthy. */
  readonly reason: string;
  /** Why it stays where it is. */
  readonly refusal: string | null;
  readonly time: string;
  /** When its branch moved on, or what had failed got healthy after all. */
  readonly endedAt: string | null;
  readonly index: number | null;
}

/** An approved ref as it was seen last, and the word of those who follow it. */
export interface GateState {
  readonly ref: string;
  readonly where: string;
  /** Where it is; null while it is not there. */
  readonly commit: string | null;
  readonly peers: readonly {
    readonly tool: string;
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    /** The commit that it says is live. */
    readonly revision: string | null;
    readonly sync: string;
    readonly health: string;
    readonly message: string;
  }[];
  /** Why nothing, or nothing new, is heard of them; null where it is. */
  readonly unheard: string | null;
}

export interface ChangeRecord {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly operation: 'push' | 'break_glass' | 'rollback' | 'roll_forward';
  readonly ref: string;
  readonly push: string;
  readonly base: string | null;
  readonly head: string;
  readonly tree: string;
  readonly commits: readonly string[];
  readonly objectChanges: number;
  readonly renderedDigest: string;
  /** Where the environment's objects go; null: nowhere. */
  readonly target: string | null;
  readonly otherDocuments: number;
  readonly notRendered: readonly string[];
  readonly time: string;
}

/** Redacted (invariant 10). */
export interface ObjectChangeRecord {
  readonly change: string;
  readonly position: number;
  readonly op: 'create' | 'update' | 'delete';
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly before: KubernetesObject | null;
  readonly after: KubernetesObject | null;
  readonly patch: readonly JsonPatchOperation[];
  readonly path: string;
  readonly line: number;
}

export interface DecisionRecord extends DecisionTerms {
  readonly id: string;
  readonly change: string;
  readonly repository: string;
  readonly environment: string;
  readonly outcome: Outcome;
  readonly violations: readonly Violation[];
  readonly warnings: readonly Violation[];
  readonly required: readonly Violation[];
  /** What does not count, each naming its exception. */
  readonly excepted: readonly Violation[];
  /** Ids of the exceptions that covered something. */
  readonly exceptions: readonly string[];
  /** For a change of policy: what it would have done to the newest decisions before it. */
  readonly impact: ImpactTally | null;
  readonly rulesRun: number;
  readonly rulesPassed: number;
  readonly error: Trouble | null;
  readonly bundleDigest: string;
  readonly wasmDigest: string;
  readonly inputDigest: string;
  readonly resultDigest: string;
  /** Ids of the approvals that counted. */
  readonly approvals: readonly string[];
  /** Those that were given for what this change merges, and why they do not count for it. */
  readonly uncounted: readonly Uncounted[];
  readonly time: string;
  /** How long reading and judging took, in milliseconds. */
  readonly milliseconds: number;
  readonly index: number | null;
}

export interface Uncounted {
  readonly approval: string;
  readonly reason: string;
}

export interface RunRecord {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly decision: string;
  readonly reason: string;
  readonly startedAt: string;
  readonly startedIndex: number | null;
  readonly finishedAt: string | null;
  readonly finishedIndex: number | null;
  /** `interrupted`: the process died in it; closed at the next start. */
  readonly outcome: 'running' | 'succeeded' | 'failed' | 'superseded' | 'interrupted';
  readonly planned: Json;
  readonly results: Json;
  readonly trouble: Trouble | null;
}

export interface DriftRecord {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** What differs: `modified`, `deleted`. */
  readonly type: string;
  /** Redacted. */
  readonly fields: Json;
  readonly attribution: Json;
  /** Evidence that came after it was recorded, each in an entry of its own. */
  readonly supplements: Json;
  readonly detectedAt: string;
  readonly index: number | null;
  readonly correctedAt: string | null;
  readonly run: string | null;
}

/** One object of an environment as our runs left it: the inventory, with where it came from. */
export interface LiveObjectRecord {
  readonly repository: string;
  readonly environment: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Where it is: an environment that moves to another target leaves what it had in the old one. */
  readonly target: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** The last commit that changed this object, and the log index of the decision under which that was applied. */
  readonly commit: string;
  readonly decision: number;
  readonly path: string;
  readonly line: number;
  /** Digest of the redacted manifest object that was applied. */
  readonly digest: string;
  /** What its manifest said about the day when Git no longer has it. */
  readonly removal: { readonly prune: 'yes' | 'no' | 'confirm'; readonly last: boolean; readonly wave: number };
  /** For a hook: the state that it last ran for, and how that ended. */
  readonly hook: { readonly ranFor: string; readonly outcome: 'succeeded' | 'failed' } | null;
  readonly health: string;
  readonly healthReason: string;
  readonly updatedAt: string;
}

/** A verdict on the head of an open request. Advice to whoever merges; nothing is deployed by it. */
export interface AdviceRecord {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  /** Where that environment's objects go; null: nowhere. */
  readonly environmentTarget: string | null;
  /** `refs/pull/7/head`. */
  readonly request: string;
  /** The ref that it would be merged into. */
  readonly target: string;
  readonly base: string | null;
  readonly head: string;
  readonly outcome: Outcome;
  /** In one line, as the forge was told. */
  readonly description: string;
  readonly bundleDigest: string;
  readonly time: string;
  /** The forge's own number of the request. */
  readonly number: number;
  readonly violations: readonly Violation[];
  readonly required: readonly Violation[];
  /** When the forge last took this verdict as a status of the head; null until then. */
  readonly reportedAt: string | null;
  /** When the request was closed, or what it proposes was judged anew; null while this is what holds. */
  readonly endedAt: string | null;
  /** What an approval of it is bound to beside base and head; null for what was judged before approvals of requests were known. */
  readonly tree: string | null;
  readonly renderedDigest: string | null;
  readonly commits: readonly string[];
  /** The oldest of them, as an approver is shown them: no followed ref may ever hold them. */
  readonly proposed: readonly ProposedCommit[];
  /** How many objects it would change; they are object changes of this advice's id. */
  readonly objectChanges: number;
  /** Ids of the approvals that counted. */
  readonly approvals: readonly string[];
  /** Who opened the request, by the forge's word. */
  readonly author: string | null;
}

export type ProposedCommit = Pick<CommitRecord, 'id' | 'message' | 'author' | 'signature'>;

export interface FaultRecord {
  readonly id: string;
  readonly repository: string | null;
  readonly environment: string | null;
  readonly trouble: Trouble;
  readonly time: string;
  readonly index: number | null;
}

/** How somebody is known who signed nothing. */
export type Account = { readonly forge: string; readonly name: string } | { readonly login: string };

/** A statement that somebody gave as an approval. What cannot be read of it is null. */
export interface ApprovalRecord {
  /** SHA-256, hex, of repository, statement and signature or account. */
  readonly id: string;
  readonly repository: string;
  readonly environment: string | null;
  readonly ref: string | null;
  readonly base: string | null;
  readonly head: string | null;
  readonly tree: string | null;
  readonly renderedDigest: string | null;
  /** Whom the key belongs to; only with status `accepted` or where that much could be verified. */
  readonly principal: string | null;
  /** Who that is, where an identity map joins several principals. */
  readonly person: string | null;
  readonly key: string | null;
  readonly comment: string | null;
  /** `git`: signed and pushed; `forge`: a review there; `login`: by somebody who has a token of this service. */
  readonly via: 'git' | 'forge' | 'login';
  /** By what it is somebody's where nobody signed: the account, or the login. */
  readonly account: Account | null;
  /** What the forge calls the review. */
  readonly review: string | null;
  /**
   * `lapsed`: it was accepted and no longer counts, for its key was revoked or its signer removed. `withdrawn`: by whoever gave it,
   * or by the forge.
   */
  readonly status: 'accepted' | 'rejected' | 'lapsed' | 'withdrawn';
  readonly reason: string | null;
  /** The change that it names to the byte. */
  readonly change: string | null;
  /** The advice on a request that it names to the byte. */
  readonly advice: string | null;
  /** Where the objects go that it is for; null: nowhere. It counts for no other place. */
  readonly target: string | null;
  /** The head of the first change that was allowed by it. It is carried to no other. */
  readonly usedFor: string | null;
  readonly claimedTime: string | null;
  readonly firstSeen: string;
  readonly index: number | null;
}

/** A file that stands as an exception at a governance commit that was taken up, and what was made of it. */
export interface ExceptionRecord {
  /** SHA-256, hex, of repository, statement and signature. */
  readonly id: string;
  readonly repository: string;
  readonly path: string;
  /** What cannot be read of it is null. */
  readonly rule: string | null;
  readonly scope: ExceptionScope | null;
  readonly owner: string | null;
  readonly reason: string | null;
  readonly ticket: string | null;
  readonly expires: string | null;
  /** Whom the key belongs to that signed it; only where that could be verified. */
  readonly principal: string | null;
  readonly key: string | null;
  /** `lapsed`: it counted, and its signer or its rule no longer does. `withdrawn`: it is no longer there. */
  readonly status: 'accepted' | 'rejected' | 'lapsed' | 'withdrawn';
  /** Why it does not count; null where it does. */
  readonly refusal: string | null;
  /** The governance commit at which it was first seen, or at which its status last changed. */
  readonly commit: string;
  readonly firstSeen: string;
  /** The spans in which it counted by what governed, the newest last; it counts in none of them after it expired. */
  readonly counted: readonly CountedSpan[];
  readonly index: number | null;
}

/** RFC 3339; `to` is null for one that has not ended. */
export interface CountedSpan {
  readonly from: string;
  readonly to: string | null;
}

/** How the forge guards a branch, as its API said it; written when that changed. */
export interface ProtectionRecord {
  readonly id: string;
  readonly repository: string;
  readonly ref: string;
  readonly forge: string;
  readonly state: BranchProtection['state'];
  readonly settings: BranchProtection['settings'];
  readonly time: string;
  readonly index: number | null;
}

/** An emergency change that was allowed without its approvals is looked at afterwards. Named by the decision that allowed it. */
export interface ReviewDutyRecord {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly change: string;
  readonly head: string;
  readonly principal: string | null;
  readonly reason: string;
  readonly ticket: string | null;
  readonly openedAt: string;
  readonly dueAt: string;
  readonly closedAt: string | null;
  /** The approval that closed it. */
  readonly approval: string | null;
}

export interface Tables {
  readonly repository: RepositoryRecord;
  readonly tip: TipRecord;
  readonly push: PushRecord;
  readonly commit: CommitRecord;
  readonly environment: EnvironmentRecord;
  readonly return: ReturnRecord;
  readonly change: ChangeRecord;
  readonly objectChange: ObjectChangeRecord;
  readonly decision: DecisionRecord;
  readonly run: RunRecord;
  readonly drift: DriftRecord;
  readonly liveObject: LiveObjectRecord;
  readonly fault: FaultRecord;
  readonly advice: AdviceRecord;
  readonly approval: ApprovalRecord;
  readonly exception: ExceptionRecord;
  readonly reviewDuty: ReviewDutyRecord;
  readonly protection: ProtectionRecord;
}

/** Columns and the value, or the list of values, that each must have. */
export type Where<T> = { readonly [C in keyof T]?: T[C] | readonly T[C][] };

/** The records' port. Rows come back in the order of their primary key. */
export interface Records {
  find<K extends keyof Tables>(table: K, where?: Where<Tables[K]>): Promise<Tables[K][]>;
  /** Only these columns: rows may be large, and many. */
  select<K extends keyof Tables, C extends keyof Tables[K] & string>(
    table: K,
    columns: readonly C[],
    where: Where<Tables[K]>,
  ): Promise<Pick<Tables[K], C>[]>;
  /** At most `limit` rows, those with the greatest value in `by` first. */
  newest<K extends keyof Tables>(
    table: K,
    where: Where<Tables[K]>,
    by: keyof Tables[K] & string,
    limit: number,
  ): Promise<Tables[K][]>;
  /** Inserts, or replaces rows of the same primary key, in that transaction. */
  save<K extends keyof Tables>(transaction: LedgerTransaction, table: K, rows: readonly Tables[K][]): Promise<void>;
  remove<K extends keyof Tables>(transaction: LedgerTransaction, table: K, where: Partial<Tables[K]>): Promise<void>;
  /** Changes columns of rows; outside any transaction of the ledger only for states that can be derived again. */
  update<K extends keyof Tables>(
    table: K,
    where: Where<Tables[K]>,
    values: Partial<Tables[K]>,
    transaction?: LedgerTransaction,
  ): Promise<void>;
}
