import type { LeaseKind } from '../audit/lease.js';

/** One live process of the service, and the work that is its own right now. Times are RFC 3339, by the database's clock. */
export interface InstanceState {
  /** As it is configured: `eu-1`. */
  readonly name: string;
  readonly version: string;
  readonly startedAt: string;
  /** Its last sign of life. */
  readonly seenAt: string;
  readonly leases: readonly {
    readonly kind: LeaseKind;
    /** `shop`, `shop shop/production` for an environment of it, or what the duty is called. */
    readonly name: string;
    readonly epoch: number;
    readonly since: string;
  }[];
}
