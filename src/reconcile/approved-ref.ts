import type { ObjectIdentity } from '../cluster/object.js';
import type { Account } from '../review/records.js';
import type { RefMove } from '../source/repository.js';
import type { ApprovedChange } from './gate.js';
import type { PeerWatch } from './peer-watch.js';
import type { RefWatch } from './ref-watch.js';

/** The refs that we move in one remote repository, each to the approved commit of one environment. */
export interface RefRemote {
  /** For people: never holds credentials. */
  readonly where: string;
  /** The commit of each of them that is there. Throws `repository-missing` with `retry` when the remote is away. */
  read(): Promise<ReadonlyMap<string, string>>;
  /** False also for a commit that nobody here has. */
  isForward(from: string, to: string): Promise<boolean>;
  /**
   * Moves the ref to the approved commit if it still is at `from` (null: is not there), and to nothing else. Throws `not-approved` for a
   * value that did not pass the gate, `ref-moved` where somebody else was faster, `git-failed` where the remote refuses.
   */
  move(ref: string, from: string | null, approved: ApprovedChange): Promise<void>;
}

/** Where our own runs left a ref. */
export interface Left {
  /** The commit of the last one that succeeded; null where none did. */
  readonly at: string | null;
  /** Of those after it, whose end nobody knows for sure. */
  readonly perhaps: ReadonlySet<string>;
}

/** What our runs did to a ref, by the records. */
export interface RefHistory {
  left(repository: string, environment: string, ref: string): Promise<Left>;
  /** Somebody else moved it: in the log before anything is done about it (invariant 12). */
  foreign(move: ForeignMove): Promise<void>;
  /** Who did, by the forge's word, where it was told of exactly this move. */
  pusher(repository: string, move: Omit<RefMove, 'kind'>): Account | null;
}

export interface ForeignMove extends RefMove {
  readonly repository: string;
  readonly by: Account | null;
  readonly time: string;
}

/** Where the environments of one repository have their refs, and who follows them. */
export interface Gate {
  /** As environments name it. */
  readonly target: string;
  readonly remote: RefRemote;
  readonly watch: RefWatch;
  readonly peers: PeerWatch | null;
  readonly refOf: (environment: string) => string;
}

/** A ref as one thing in a target: what runs and drifts are recorded about. */
export function refIdentity(ref: string): ObjectIdentity {
  return { group: 'countersign.dev', version: 'v1', kind: 'ApprovedRef', namespace: '', name: ref };
}
