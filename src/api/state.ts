import type { ScheduleState } from '../report/scheduled-exports.js';
import type { Ledger } from '../audit/ledger.js';
import type { Explanation } from '../policy/explain.js';
import type { OrphanReport } from '../reconcile/orphans.js';
import type { BlameAnswer, BlameQuestion } from '../report/blame-question.js';
import type { AccessList } from '../report/access-list.js';
import type { ReportsState } from '../report/cluster-reports.js';
import type { GovernedControls } from '../report/controls.js';
import type { InstanceState } from '../report/instances.js';
import type { Queries } from '../report/queries.js';
import type { ImpactReport } from '../review/impact-jobs.js';
import type { Holding, PromotionAnswer, PromotionQuestion } from '../review/promotions.js';
import type { DecisionRecord } from '../review/records.js';
import type { TagSignature } from '../source/signature.js';

export interface TargetState {
  readonly name: string;
  readonly reports: ReportsState;
  /** What is heard of its audit; null where nothing is configured to be. */
  readonly audit: {
    readonly lastEventAt: string | null;
    readonly lastLoss: { readonly time: string; readonly reason: string } | null;
  } | null;
}

export interface NotificationState {
  readonly destination: string;
  /** Entries that it was not told of. */
  readonly waiting: number;
  /** RFC 3339; null while it takes what it is told. */
  readonly failingSince: string | null;
}

/** Where `countersign login` goes. */
export interface LoginPlace {
  readonly issuer: string;
  readonly client: string;
  readonly scope: string;
}

/** What the API shows of the running service beside its records. */
export interface ServiceState {
  readonly version: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** C2SP vkey of the log's key; its name is the log's origin. */
  readonly vkey: string;
  readonly ledger: Ledger;
  /** Why a recorded decision came out as it did. Throws `content-missing`, `policy-result`. */
  explain(decision: DecisionRecord, trace: boolean): Promise<readonly Explanation[]>;
  /** What the policy at a commit would have done to what was decided since, as far as that is known by now. */
  impact(repository: string, commit: string, since: string): Promise<ImpactReport>;
  /** Who set each field of a live object. Throws `not-found`, `query-invalid`, `cluster-unavailable`. */
  blame(question: BlameQuestion, queries: Queries): Promise<BlameAnswer>;
  /** What promoting one environment to another would change. Throws `not-found`, `environment-invalid`, `revision-unknown`, `query-limit`. */
  promotion(question: PromotionQuestion): Promise<PromotionAnswer>;
  /** Of each environment that governance in force defines; null where nothing governs. */
  holdings(repository: string): readonly Holding[] | null;
  /** What is asked of a repository and the rules that answer it; null where nothing governs. Throws `config-invalid`. */
  controls(repository: string): Promise<GovernedControls | null>;
  /** Annotated tags of a commit. Throws `repository-missing` with `retry` while the remote is away. */
  tags(repository: string, commit: string): Promise<readonly TagSignature[]>;
  /** What is in governed namespaces that no commit explains. Throws `not-found`, `cluster-unavailable`. */
  orphans(question: {
    readonly target?: string | undefined;
    readonly namespace?: string | undefined;
  }): Promise<readonly (OrphanReport & { readonly target: string })[]>;
  /** Those that are alive. Throws `database-unavailable`. */
  instances(): Promise<readonly InstanceState[]>;
  /** The clusters that it is configured to write to, by name. */
  targets(): readonly TargetState[];
  /** How far each destination of notifications was told. */
  notifications(): Promise<readonly NotificationState[]>;
  /** How the exports are that are taken by themselves. */
  exports(): Promise<readonly ScheduleState[]>;
  readonly login?: LoginPlace;
  /** Who had what at an instant. */
  accessList(at: string): Promise<AccessList>;
  /** Resolves if the database answers. */
  ping(): Promise<void>;
  /** Whether it can do all of its work right now, and why not, one sentence each. */
  ready(): Promise<{ readonly ok: boolean; readonly reasons: readonly string[] }>;
}

/** The log as C2SP tlog-tiles serves it. */
export interface LogFiles {
  /** Whether strangers may read it. */
  readonly public: boolean;
  /** The newest signed note. */
  checkpoint(): Promise<string>;
  /** `tile/0/000`, `tile/entries/000.p/5`, …; undefined for a path that names no tile of the released tree. */
  tile(path: string): Promise<Uint8Array | undefined>;
}

/** Nest's tokens of what resolvers and controllers are given. */
export const STATE = Symbol('state');
export const QUERIES = Symbol('queries');
export const REPORTS = Symbol('reports');
export const STATISTICS = Symbol('statistics');
export const METRICS = Symbol('metrics');
export const LOG_FILES = Symbol('log files');
export const SIGN_IN = Symbol('sign-in');
export const APPROVING = Symbol('approving');
