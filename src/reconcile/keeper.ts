import type { ReconcileSettings } from '../change/reconcile-settings.js';
import type { ObjectIdentity } from '../cluster/object.js';
import type { ApprovedState } from './admission.js';
import type { ApprovedChange } from './gate.js';
import type { GovernedObject } from './loop.js';
import type { ReconcilerState } from './reconciler-state.js';

/** What keeps one environment as its approved change says: in a cluster itself, or by the ref that others follow. */
export interface Keeper {
  readonly state: ReconcilerState;
  readonly approved: ApprovedChange | null;
  /** Throws `not-approved`; `run-superseded` for an older one than it has. */
  approve(change: ApprovedChange): void;
  configure(settings: ReconcileSettings | undefined): void;
  /** What it holds in a cluster; nothing where others apply it. */
  objects(): readonly GovernedObject[];
  takeNews(): ReadonlySet<string>;
  approvedState(key: string): ApprovedState | undefined;
  governs(test: (identity: ObjectIdentity) => boolean): ObjectIdentity | undefined;
  stop(): Promise<void>;
}
