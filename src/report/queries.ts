import type { EntryType } from '../audit/entry.js';
import type { Outcome } from '../policy/decision.js';
import type { Reach } from '../audit/reach.js';
import type {
  ApprovalRecord,
  ChangeRecord,
  EnvironmentStatus,
  ExceptionRecord,
  PushRecord,
  RunRecord,
  Tables,
} from '../review/records.js';
import type { SignatureStatus } from '../source/signature.js';

/** From (inclusive) and to (exclusive), RFC 3339, over the time that orders the list. */
export interface Period {
  readonly from?: string;
  readonly to?: string;
}

export interface InEnvironment {
  readonly repository?: string;
  readonly environment?: string;
}

export interface ObjectMatch {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** What each list can be narrowed by. Everything given must hold; of a list of values, any. */
export interface Filters {
  readonly environment: { repository?: string; status?: readonly EnvironmentStatus[]; target?: string };
  readonly push: Period & { repository?: string; ref?: string; kind?: readonly PushRecord['kind'][] };
  readonly commit: Period & { repository?: string; signature?: readonly SignatureStatus[]; signer?: string };
  readonly change: Period & InEnvironment & { object?: ObjectMatch };
  readonly decision: Period &
    InEnvironment & {
      outcome?: readonly Outcome[];
      operation?: readonly ChangeRecord['operation'][];
      rule?: string;
      control?: string;
      team?: string;
      ticket?: string;
      signer?: string;
      approver?: string;
      approved?: boolean;
      selfApproved?: boolean;
      object?: ObjectMatch;
    };
  readonly liveObject: InEnvironment & ObjectMatch & { health?: readonly string[] };
  readonly run: Period & InEnvironment & { outcome?: readonly RunRecord['outcome'][] };
  readonly drift: Period & InEnvironment & ObjectMatch & { corrected?: boolean };
  readonly fault: Period & InEnvironment & { code?: string };
  readonly approval: Period & InEnvironment & { head?: string; status?: readonly ApprovalRecord['status'][] };
  readonly exception: Period & {
    repository?: string;
    rule?: string;
    environment?: string;
    owner?: string;
    principal?: string;
    status?: readonly ExceptionRecord['status'][];
    expired?: boolean;
    /** RFC 3339. */
    inForceAt?: string;
  };
  readonly advice: Period &
    InEnvironment & { number?: number; head?: string; outcome?: readonly Outcome[]; open?: boolean };
  readonly reviewDuty: Period & InEnvironment & { open?: boolean; expired?: boolean };
}
export type ListName = keyof Filters;

interface Order<K extends ListName> {
  readonly column: keyof Tables[K] & string;
  readonly newestFirst?: true;
}

/**
 * How each list is ordered: total orders, because the last columns are unique, and never by anything that changes after the
 * row is written, so that a cursor keeps its place while rows arrive.
 */
export const listOrder: { readonly [K in ListName]: readonly Order<K>[] } = {
  environment: [{ column: 'repository' }, { column: 'name' }],
  push: [{ column: 'time', newestFirst: true }, { column: 'id' }],
  commit: [{ column: 'firstSeen', newestFirst: true }, { column: 'id' }, { column: 'repository' }],
  change: [{ column: 'time', newestFirst: true }, { column: 'id' }],
  decision: [{ column: 'time', newestFirst: true }, { column: 'id' }],
  liveObject: [
    { column: 'repository' },
    { column: 'environment' },
    { column: 'kind' },
    { column: 'namespace' },
    { column: 'name' },
    { column: 'group' },
  ],
  run: [{ column: 'startedAt', newestFirst: true }, { column: 'id' }],
  drift: [{ column: 'detectedAt', newestFirst: true }, { column: 'id' }],
  fault: [{ column: 'time', newestFirst: true }, { column: 'id' }],
  approval: [{ column: 'firstSeen', newestFirst: true }, { column: 'id' }],
  exception: [{ column: 'firstSeen', newestFirst: true }, { column: 'id' }],
  advice: [{ column: 'time', newestFirst: true }, { column: 'id' }],
  reviewDuty: [{ column: 'openedAt', newestFirst: true }, { column: 'id' }],
};

/** A place in a list: the values of its order columns in the last row seen. */
export type Position = readonly string[];

export interface PageRequest {
  readonly first: number;
  readonly after?: Position;
}

export interface Page<T> {
  readonly rows: readonly T[];
  readonly hasNext: boolean;
}

/** Entries of some types from one index (inclusive) to another (exclusive). */
export interface EntryRange {
  readonly types: readonly EntryType[];
  readonly from: number;
  readonly to: number;
}

/** Any of these values in each of these columns; null stands for an absent value. */
export type AnyOf<T> = { readonly [C in keyof T]?: readonly T[C][] };

/** Counted from the rows at the moment of asking. */
export interface Totals {
  readonly decisions: readonly { repository: string; environment: string; outcome: Outcome; count: number }[];
  readonly runs: readonly { repository: string; environment: string; outcome: RunRecord['outcome']; count: number }[];
  readonly drift: readonly { repository: string; environment: string; corrected: boolean; count: number }[];
  readonly faults: readonly { code: string; count: number }[];
  /** Environments whose ref has a tip that was not judged yet, and how long the oldest of them waits, in seconds. */
  readonly waiting: readonly { repository: string; environments: number; seconds: number }[];
}

/** What an exception was used for. */
export interface ExceptionUses {
  /** How many decisions used it, and how many violations did not count in them because of it. */
  readonly decisions: number;
  readonly excused: number;
}

/** Reads records for people and reports. Throws `database-unavailable`. */
export interface Queries {
  /**
   * The same for somebody who may not see everything: rows out of reach are in no list, no total and no look-up. `entryIndexes`,
   * `countEntries` and `totals` are of the whole service all the same; who may ask for those is said in src/api/permissions.ts.
   */
  within(reach: Reach): Queries;
  list<K extends ListName>(list: K, filter: Filters[K], page: PageRequest): Promise<Page<Tables[K]>>;
  count<K extends ListName>(list: K, filter: Filters[K]): Promise<number>;
  /** Every row that matches, in the order of its primary key: for looking up what other rows name. */
  anyOf<K extends keyof Tables>(table: K, columns: AnyOf<Tables[K]>): Promise<readonly Tables[K][]>;
  /** Indexes of log entries, in the log's order or from the end. */
  entryIndexes(range: EntryRange, limit: number, newestFirst: boolean): Promise<readonly number[]>;
  countEntries(range: EntryRange): Promise<number>;
  exceptionUses(ids: readonly string[]): Promise<readonly ExceptionUses[]>;
  totals(): Promise<Totals>;
  /** Of live objects. */
  kinds(): Promise<readonly string[]>;
  /** Resolves if the database answers. */
  ping(): Promise<void>;
}
