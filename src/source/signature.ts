export type SignatureKind = 'ssh' | 'openpgp' | 'x509' | 'none';
export type SignatureStatus = 'verified' | 'unverified' | 'none' | 'expired' | 'revoked' | 'unknown_key';

/** What checking a commit's signature gave, as the policy input shows it. */
export interface Signature {
  readonly kind: SignatureKind;
  readonly status: SignatureStatus;
  /** Who the verified key belongs to, from `.countersign/allowed_signers`, a key's user id or a certificate; only with status `verified`. */
  readonly principal?: string;
  /** Key fingerprint: `SHA256:…` as ssh-keygen prints it; upper-case hexadecimal of an OpenPGP primary key or a certificate. */
  readonly key?: string;
  /** Who that is by the governed identity map; only with status `verified`. */
  readonly person?: string;
  /** A forge's own key made it: the forge vouches for what was done there, not for the person. */
  readonly forge?: true;
  /** Why the status is not `verified`, for people. */
  readonly reason?: string;
  /** Signed tags that a merge commit says it merged. They vouch for the merged commit, not for the merge. */
  readonly mergetags?: readonly TagSignature[];
}

/** A tag, what it is of, and what checking its own signature gave. */
export interface TagSignature {
  readonly tag: string;
  readonly object: string;
  readonly signature: Signature;
}
