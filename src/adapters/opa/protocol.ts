import type { ErrorCode, Place } from '../../errors.js';
import type { RuleResult } from '../../policy/evaluator.js';
import type { LoadedBundle } from './evaluation.js';

/** Between the pool and its threads. */
export interface ThreadData {
  readonly maxPages: number;
  /** Int32 by SLOT: what the thread is doing, readable while it does it. */
  readonly shared: SharedArrayBuffer;
}

export const SLOT = { phase: 0, item: 1, step: 2 } as const;
export const LOADING = 1;
export const RUNNING = 2;

/** One message for many evaluations: a message costs as much as a small evaluation. */
export interface Job {
  readonly digest: string;
  /** Only the first time a thread sees the bundle. */
  readonly bundle?: LoadedBundle;
  readonly inputs: readonly string[];
}

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly place: Place | undefined;
  readonly remedy: string | undefined;
}

/** In the order of the job's inputs. */
export interface FromWorker {
  readonly results: (readonly RuleResult[] | Failure)[];
  /** That they took together. */
  readonly milliseconds: number;
}
