import type { Signature } from './signature.js';

/** What checking gave, but for the kind: whether a key made a good signature, whose it is, and whether it was valid then. */
export type Standing = Omit<Signature, 'kind' | 'person'>;

export interface Signed {
  readonly signature: Buffer;
  readonly payload: Buffer;
  /** What is signed, for people: `commit`, `tag`. */
  readonly what: string;
  /** What it must have been made for, where the kind of signature says so. */
  readonly namespace: string;
}

export function refuse(reason: string): Standing {
  return { status: 'unverified', reason };
}

/** Seconds since the epoch, as people read them. */
export function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000', '');
}
