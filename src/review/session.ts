import { createHash, randomBytes } from 'node:crypto';

/** Somebody who is signed in with a browser. What the browser holds is in no record: its digest is. */
export interface Session {
  /** What it is called, which is no secret. */
  readonly id: string;
  readonly login: string;
  /** As the issuer said at the sign-in; what they are given is asked anew for each request. */
  readonly groups: readonly string[];
  /** By whose word and which claims: a session of another configuration is none. */
  readonly basis: string;
  /** RFC 3339, as the others: when it began, was last used (give or take a minute), and ends at the latest. */
  readonly startedAt: string;
  readonly seenAt: string;
  readonly endsAt: string;
}

/** The port to where sessions are kept, for all instances of the service. Throws `database-unavailable`. */
export interface Sessions {
  /** Keeps it under the digest of its secret; ends the one that the same browser had. */
  start(digest: string, session: Session, replaced: string | null): Promise<void>;
  /** Null for none, for one that is over, and for one that nobody used since `idleSince`. Notes that it is used. */
  find(digest: string, now: string, idleSince: string): Promise<Session | null>;
  /** Null where there is none. */
  end(digest: string): Promise<Session | null>;
  /** All that have not ended, newest first. */
  list(now: string, idleSince: string): Promise<readonly Session[]>;
  /** How many of them there were. */
  endOf(login: string): Promise<number>;
}

/** 256 random bits: what the browser holds. */
export function newSessionSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** SHA-256, hex: what is kept of it. */
export function sessionDigest(secret: string): string {
  return createHash('sha256').update(`countersign session\n${secret}`).digest('hex');
}

/** What the service's own pages send beside the cookie. A page elsewhere can have the cookie sent, and cannot read this. */
export function csrfToken(secret: string): string {
  return createHash('sha256').update(`countersign csrf\n${secret}`).digest('base64url');
}
