import type { Json, ObjectIdentity } from '../cluster/object.js';
import type { CountersignError } from '../errors.js';
import type { Attribution } from './attribution.js';
import type { Inventory } from './inventory.js';

/**
 * `adopt`: it exists, but no run of ours made it. `replace`: deleted and made again, as its manifest allows where a field cannot
 * change. `hook`: made anew and waited for.
 */
export type WriteOperation = 'create' | 'update' | 'adopt' | 'replace' | 'hook' | 'prune';

/** A field that was another manager's until this write took it. */
export interface TakenField {
  /** `spec.template.spec.containers[name=cart].image` */
  readonly path: string;
  readonly manager: string;
  readonly operation: string;
}

export interface PlannedWrite {
  readonly op: WriteOperation;
  readonly identity: ObjectIdentity;
  /** Digest of the redacted manifest object, or a ref's commit; null for a prune. */
  readonly digest: string | null;
}

export interface WriteResult extends PlannedWrite {
  readonly outcome: 'written' | 'failed' | 'skipped';
  /** Of the object after the write; before it, for a prune. */
  readonly uid: string | null;
  readonly resourceVersion: string | null;
  readonly trouble: CountersignError | null;
  /** The conflicts that server-side apply decided for us. */
  readonly taken?: readonly TakenField[];
}

export interface RunStart {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly target: string;
  /** Log index and id of the decision that allows it. */
  readonly decision: number;
  readonly decisionId: string;
  readonly head: string;
  readonly reason: 'deploy' | 'repair';
  /** The lease under which it runs: a later holder has a greater one. */
  readonly epoch: number;
  readonly planned: readonly PlannedWrite[];
  /** Of a ref that others follow: the one write that such a run has. */
  readonly move?: RefWrite;
  /** RFC 3339, UTC. */
  readonly time: string;
}

export interface RefWrite {
  readonly ref: string;
  /** null: it is not there yet. */
  readonly from: string | null;
  readonly to: string;
  /** True where `to` does not descend from `from`. */
  readonly forced: boolean;
}

export type RunOutcome = 'succeeded' | 'failed' | 'superseded';

export interface RunEnd {
  readonly id: string;
  readonly outcome: RunOutcome;
  readonly results: readonly WriteResult[];
  /** What the environment's runs have in the target now. */
  readonly inventory: Inventory;
  readonly trouble: CountersignError | null;
  readonly time: string;
}

/** One field of a drift, redacted (invariant 10). `desired` is absent for what was added, `live` for what was removed. */
export interface DriftedField {
  readonly type: 'changed' | 'removed' | 'added';
  /** `spec.template.spec.containers[name=cart].image` */
  readonly path: string;
  readonly desired?: Json;
  readonly live?: Json;
}

/** A change to a governed object that no run of ours made. */
export interface Drift {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly target: string;
  /** Of what is approved. */
  readonly decision: number;
  readonly identity: ObjectIdentity;
  /** `replaced`: deleted and made again by somebody else. */
  readonly type: 'modified' | 'deleted' | 'replaced';
  readonly fields: readonly DriftedField[];
  readonly attribution: Attribution;
  /** Of the live object that was seen; null for a deleted one. */
  readonly uid: string | null;
  readonly resourceVersion: string | null;
  readonly time: string;
}

/**
 * The port to the record of runs. `started` resolves only when the start, and before it the drifts that are its reason, are in
 * the log under a signed, durable checkpoint: nothing is written before that (invariants 1 and 12). `finished` likewise.
 * Both reject when it cannot be made durable (retry true); then nothing is written (invariant 7).
 */
export interface RunLog {
  started(run: RunStart, drifts: readonly Drift[]): Promise<void>;
  finished(run: RunStart, end: RunEnd): Promise<void>;
}
