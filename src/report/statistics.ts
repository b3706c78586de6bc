import type { KubernetesObject } from '../cluster/object.js';
import type { Reach } from '../audit/reach.js';
import type { ChangeRecord, RunRecord } from '../review/records.js';
import type { Filters, InEnvironment, Period } from './queries.js';

/** By what decisions are counted. One that belongs to several groups of a kind counts in each of them. */
export type DecisionGroup =
  'rule' | 'control' | 'team' | 'signer' | 'approver' | 'ticket' | 'repository' | 'environment' | 'outcome' | 'month';

/** By what drift is counted. `person`: who the best evidence names, in the words of that evidence. */
export type DriftGroup = 'person' | 'repository' | 'environment' | 'kind' | 'object' | 'month';

export interface Counts {
  /** How many rows were counted; a row in no group is one of them, too. */
  readonly total: number;
  /** The largest first. */
  readonly groups: readonly { readonly key: string; readonly count: number }[];
  /** Groups that are not among these. */
  readonly more: number;
}

/** In seconds; null where nothing was measured. */
export interface Durations {
  readonly count: number;
  readonly median: number | null;
  readonly p90: number | null;
  readonly mean: number | null;
}

/**
 * The four measures of DORA ("Accelerate", 2018; dora.dev), from recorded runs. A deployment is the first run of an allowed decision that
 * came to an end. It failed if that run failed, or if the next deployment of the environment was a rollback or an emergency change.
 */
export interface Delivery {
  readonly deployments: number;
  /** Deployments a day, over the period that was asked for; null without both of its ends. */
  readonly perDay: number | null;
  /** From when the service first saw the oldest commit of a change until it was live. */
  readonly leadTime: Durations;
  readonly failures: number;
  /** Failures among deployments, from 0 to 1; null without any. */
  readonly failureRate: number | null;
  /** From a failed deployment's end until the next one that succeeded. */
  readonly recovery: Durations;
}

/** What an environment was made to be at a past instant. */
export interface PastState {
  readonly run: RunRecord;
  readonly change: ChangeRecord | null;
  /** When the next run that succeeded took its place; null while it has none. */
  readonly until: string | null;
  /** Redacted. */
  readonly objects: readonly KubernetesObject[];
}

/** Answers that many rows make up. All are counted from the rows at the moment of asking. Throws `database-unavailable`. */
export interface Statistics {
  /** The same for somebody who may not see everything: what is counted is what they may see. Of one environment or repository it is asked as it is. */
  within(reach: Reach): Statistics;
  decisions(by: DecisionGroup, filter: Filters['decision'], first: number): Promise<Counts>;
  drift(by: DriftGroup, filter: Filters['drift'], first: number): Promise<Counts>;
  delivery(filter: Period & InEnvironment): Promise<Delivery>;
  /** null: nothing had been deployed. Throws `content-missing` where its objects were erased. */
  at(repository: string, environment: string, instant: string): Promise<PastState | null>;
}
