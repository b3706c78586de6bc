import { CountersignError } from '../errors.js';

/**
 * The work that several instances of the service share: repositories to follow, environments to reconcile, and duties that are done
 * once for all of them.
 */
export type LeaseKind = 'repository' | 'environment' | 'duty';

/** The right to do one piece of work, which one instance has at a time. */
export interface Lease {
  readonly kind: LeaseKind;
  readonly name: string;
  /** Greater than that of every holder before. */
  readonly epoch: number;
  /**
   * False from the moment on at which it may be another's, by clocks that go on while a process sleeps. To be asked right before
   * whatever no transaction fences off, such as a write to a cluster.
   */
  readonly held: boolean;
  /**
   * Within a transaction (its `handle`): until that ends, nobody else gets this lease. Throws `lease-lost` (retry true) where it is
   * another's by now, and then nothing of the transaction may be committed.
   */
  fence(handle: unknown): Promise<void>;
}

/** Ends what was begun under a lease: nothing is written under it any more once this resolves. */
export type EndWork = () => Promise<void>;

/** An instance's candidacy for a piece of work. */
export interface Share {
  /** The lease, while it is this instance's. */
  readonly lease: Lease | null;
  /** Ends the work here, if it is done here, and leaves it to the others. */
  withdraw(): Promise<void>;
}

/**
 * Shares work among all live instances of one database. A piece of work is done by one of them at a time; when that one is stopped
 * it is handed over, when it is killed, or paused, or cut off from the database, another one takes it over within 15 seconds.
 */
export interface Leases {
  /**
   * Stands as a candidate. `begin` is called whenever the work is this instance's to do, and the function that it gives when it is
   * not any more (handed over, lost, withdrawn, or the service stops); the two never overlap for one piece of work. When `begin`
   * throws, the work is left to the others for a while.
   *
   * A duty that must not be done by every instance at the same time is shared like this:
   *
   *     leases.share('duty', 'notifications', async () => {
   *       const loop = new Repeating(() => tellOutbox(), every, onFault);
   *       loop.start();
   *       return () => loop.stop();
   *     });
   *
   * What it writes to the database under the lease it fences (`lease.fence(transaction.handle)`), so that a process that wakes up
   * late writes nothing; before it writes anywhere else it asks `lease.held`.
   */
  share(kind: LeaseKind, name: string, begin: (lease: Lease) => Promise<EndWork>): Share;
}

/** For whoever finds that it is. */
export function leaseLost({ kind, name, epoch }: Lease): CountersignError {
  const message = `${kind} ${name} is another instance's by now (this one had epoch ${epoch})`;
  return new CountersignError('lease-lost', message, { retry: true });
}
