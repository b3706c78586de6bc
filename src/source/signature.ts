export type SignatureKind = 'ssh' | 'openpgp' | 'x509' | 'none';
export type SignatureStatus = 'verified' | 'unverified' | 'none' | 'expired' | 'revoked' | 'unknown_key';

/** What checking a commit's signature gave, as the policy input shows it. */
export interface Signature {
  readonly kind: SignatureKind;
  readonly status: SignatureStatus;
  /** Who the verified key belongs to, from `.countersign/allowed_signers`; only with status `verified`. */
  readonly principal?: string;
  /** Key fingerprint, `SHA256:…` as ssh-keygen prints it. */
  readonly key?: string;
  /** Why the status is not `verified`, for people. */
  readonly reason?: string;
}
