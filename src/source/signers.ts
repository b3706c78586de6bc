import { CountersignError } from '../errors.js';
import { matchesPatterns, parseAllowedSigners, type AllowedSigner } from './allowed-signers.js';
import { type Identities, NO_IDENTITIES, normalFingerprint, personOf } from './identities.js';
import { checkOpenPgp } from './openpgp.js';
import type { OpenPgpKey } from './openpgp-key.js';
import type { TimeLog } from './rekor.js';
import type { Commit, Tag } from './repository.js';
import type { Signature, SignatureKind, TagSignature } from './signature.js';
import { signatureKind, splitSignedPayload, type SignedPayload } from './signed-payload.js';
import { mergedTags, splitSignedTag, tagClaim } from './signed-tag.js';
import { refuse, type Signed, type Standing, time } from './standing.js';
import { fingerprint, verifySshBlob, type SshKey } from './ssh-key.js';
import { decodeBase64 } from './ssh-wire.js';
import { parseSshSignature, signerWasPresent, verifySshSignature } from './sshsig.js';
import type { Certificate } from './x509-certificate.js';
import { checkX509 } from './x509.js';

const NAMESPACE = 'git';

/** Whose keys count, and which no longer do. */
export interface Signers {
  readonly allowed: readonly AllowedSigner[];
  /** Fingerprints. A revocation counts whenever the commit was made (invariant 6). */
  readonly revoked: ReadonlySet<string>;
  readonly openpgp: readonly OpenPgpKey[];
  /** Authorities whose certificates count. */
  readonly x509: readonly Certificate[];
  /** Authorities for time-stamps (RFC 3161), and transparency logs, whose word counts for when a certificate signed. */
  readonly timestamps: readonly Certificate[];
  readonly logs: readonly TimeLog[];
  readonly identities: Identities;
}

export const NO_SIGNERS: Signers = {
  allowed: [],
  revoked: new Set(),
  openpgp: [],
  x509: [],
  timestamps: [],
  logs: [],
  identities: NO_IDENTITIES,
};

/** Where a repository keeps them. */
export const ALLOWED_SIGNERS_PATH = '.countersign/allowed_signers';
export const REVOKED_SIGNERS_PATH = '.countersign/revoked_signers';

/** Throws `signers-malformed` with file and line. */
export function parseSigners(
  allowed: { readonly text: string; readonly file: string },
  revoked?: { readonly text: string; readonly file: string },
): Signers {
  return {
    ...NO_SIGNERS,
    allowed: parseAllowedSigners(allowed.text, allowed.file),
    revoked: revoked ? parseRevoked(revoked.text, revoked.file) : new Set(),
  };
}

/** One key a line, as in a .pub file, or its fingerprint: `SHA256:…`, or hexadecimal for OpenPGP keys and certificates. */
function parseRevoked(text: string, file: string): ReadonlySet<string> {
  const revoked = new Set<string>();
  text.split('\n').forEach((raw, i) => {
    const [first = '', second = ''] = raw.trim().split(/\s+/);
    if (first === '' || first.startsWith('#')) return;
    const blob = decodeBase64(second);
    const written = normalFingerprint(raw.trim().split(' #', 1)[0]) ?? normalFingerprint(first);
    if (written !== undefined) revoked.add(written);
    else if (second !== '' && blob) revoked.add(fingerprint(blob));
    else {
      throw new CountersignError('signers-malformed', 'this is neither a public key nor a fingerprint', {
        place: { file, line: i + 1 },
        remedy: 'Write the line from the .pub file, or its fingerprint as ssh-keygen -l or gpg prints it',
      });
    }
  });
  return revoked;
}

/**
 * Checks a commit's signature. `at` is when the log first saw the commit: the commit's own date is a claim, and whoever holds
 * an expired key could write any (invariant 6). Never throws for what a commit contains: that would let one commit stop the
 * reading of all.
 */
export function checkSignature(commit: Commit, signers: Signers, at: Date): Signature {
  const signature = checkSigned(splitSignedPayload(commit.raw, objectFormat(commit.id)), 'commit', signers, at);
  const tags = commit.parents.length > 1 ? mergedTags(commit.raw) : [];
  if (tags.length === 0) return signature;
  return { ...signature, mergetags: tags.map((tag) => ({ ...tagClaim(tag), signature: checkTag(tag, signers, at) })) };
}

/** Checks an annotated tag's signature over the tag object's exact bytes, as `checkSignature` does a commit's. */
export function checkTag(raw: Buffer, signers: Signers, at: Date): Signature {
  return checkSigned(splitSignedTag(raw), 'tag', signers, at);
}

/**
 * A tag that a ref names, with its signature. A signed tag under another name than it was signed for would lend its signer's word
 * to what the signer never said.
 */
export function checkNamedTag({ ref, raw }: Tag, signers: Signers, at: Date): TagSignature {
  const claim = tagClaim(raw);
  const name = ref.replace(/^refs\/tags\//, '');
  const signature = checkTag(raw, signers, at);
  const { kind, key } = signature;
  return kind === 'none' || claim.tag === name
    ? { ...claim, tag: name, signature }
    : {
        ...claim,
        tag: name,
        signature: { kind, ...(key && { key }), ...refuse(`it was signed as the tag ${JSON.stringify(claim.tag)}`) },
      };
}

function objectFormat(id: string): 'sha1' | 'sha256' {
  return id.length === 64 ? 'sha256' : 'sha1';
}

function checkSigned({ payload, signatures }: SignedPayload, what: string, signers: Signers, at: Date): Signature {
  const [signature] = signatures;
  if (!signature) return { kind: 'none', status: 'none', reason: `the ${what} is not signed` };
  // git would join them; which one counts would depend on who reads.
  if (signatures.length > 1)
    return { kind: signatureKind(signature), ...refuse(`the ${what} has more than one signature`) };
  return verdict({ signature, payload, what, namespace: NAMESPACE }, signers, at);
}

/**
 * Checks a signature over something other than a commit, made for that namespace: an SSH signature for one purpose must not be
 * passed off as one for another; OpenPGP knows no purposes, so what is signed must say what it is. `at` is when the log first
 * saw it. Never throws for what the signature contains.
 */
export function checkStatement(
  message: Buffer,
  armoured: Buffer,
  namespace: string,
  signers: Signers,
  at: Date,
): Signature {
  return verdict({ signature: armoured, payload: message, what: 'statement', namespace }, signers, at);
}

/** Everybody whom the keys with this fingerprint name, lower case: one person may be listed under several addresses. */
export function namesOfKey(fingerprint: string, signers: Signers): readonly string[] {
  const lines = signers.allowed.filter(({ key, certAuthority }) => !certAuthority && key.fingerprint === fingerprint);
  const keys = signers.openpgp.filter(({ primary }) => primary === fingerprint);
  return [...lines.flatMap(({ principals }) => principals), ...keys.map(({ principal }) => principal)].map((name) =>
    name.toLowerCase(),
  );
}

function verdict(signed: Signed, signers: Signers, at: Date): Signature {
  const kind = signatureKind(signed.signature);
  try {
    const standing = checkKind(kind, signed, signers, at);
    const { status, principal, key } = standing;
    const person = status === 'verified' ? personOf(signers.identities, { principal, key }) : undefined;
    return { kind, ...standing, ...(person === undefined ? {} : { person }) };
  } catch (error) {
    if (error instanceof CountersignError && error.code === 'signature-malformed')
      return { kind, ...refuse(error.message) };
    throw error;
  }
}

function checkKind(kind: SignatureKind, signed: Signed, signers: Signers, at: Date): Standing {
  if (kind === 'ssh') return checkSsh(signed, signers, at);
  if (kind === 'openpgp') return checkOpenPgp(signed, signers, at);
  if (kind === 'x509') return checkX509(signed, signers, at);
  return refuse('the signature is of no known kind');
}

function checkSsh({ signature, payload, what, namespace }: Signed, signers: Signers, at: Date): Standing {
  const ssh = parseSshSignature(signature);
  const key = ssh.key.fingerprint;
  if (ssh.namespace !== namespace)
    return { key, ...refuse(`the signature is for ${JSON.stringify(ssh.namespace)}, not for ${namespace}`) };
  if (!verifySshSignature(ssh, payload)) return { key, ...refuse(`the signature is not of this ${what}`) };
  if (!signerWasPresent(ssh)) return { key, ...refuse('the security key was not touched') };
  return { key, ...standing(ssh.key, signers, at, namespace) };
}

/** Whether a key that made a good signature is somebody's, and was at that time. The first line that says yes wins. */
function standing(key: SshKey, signers: Signers, at: Date, namespace: string): Standing {
  const authority = key.certificate && fingerprint(key.certificate.authority);
  if (signers.revoked.has(key.fingerprint)) return { status: 'revoked', reason: 'the key is revoked' };
  if (authority && signers.revoked.has(authority))
    return { status: 'revoked', reason: 'the key of its authority is revoked' };
  let best: Standing = { status: 'unknown_key', reason: 'the key is none of the allowed signers’' };
  for (const signer of signers.allowed) {
    const found = signer.certAuthority ? byCertificate(key, signer, at, namespace) : byKey(key, signer, at, namespace);
    if (found?.status === 'verified') return found;
    if (found && best.status === 'unknown_key') best = found;
  }
  return best;
}

function byKey(key: SshKey, signer: AllowedSigner, at: Date, namespace: string): Standing | undefined {
  if (!key.blob.equals(signer.key.blob)) return undefined;
  return outOfBounds(signer, at, namespace) ?? { status: 'verified', principal: namedPrincipal(signer.principals) };
}

function byCertificate(key: SshKey, signer: AllowedSigner, at: Date, namespace: string): Standing | undefined {
  const { certificate } = key;
  if (!certificate?.authority.equals(signer.key.blob)) return undefined;
  const bounds = outOfBounds(signer, at, namespace);
  if (bounds) return bounds;
  if (certificate.type !== 1) return refuse('its certificate is for a host');
  if (certificate.criticalOptions.length > 0) return refuse('its certificate has options that are not known');
  if (!verifySshBlob(signer.key, certificate.signature, certificate.signed)) {
    return refuse('its certificate was not made by the authority it names');
  }
  const seconds = BigInt(Math.floor(at.getTime() / 1000));
  if (seconds < certificate.after) return refuse('its certificate was not valid yet');
  if (seconds >= certificate.before) return { status: 'expired', reason: 'its certificate had expired' };
  const principal = certificate.principals.find((name) => matchesPatterns(name, signer.principals));
  return principal === undefined
    ? refuse('its certificate names nobody whom the authority may certify')
    : { status: 'verified', principal };
}

function outOfBounds(signer: AllowedSigner, at: Date, namespace: string): Standing | undefined {
  const seconds = at.getTime() / 1000;
  if (signer.namespaces && !matchesPatterns(namespace, signer.namespaces)) {
    return { status: 'unverified', reason: `the key may not sign for ${namespace}` };
  }
  if (signer.validAfter !== undefined && seconds < signer.validAfter) {
    return { status: 'unverified', reason: `the key is valid only after ${time(signer.validAfter)}` };
  }
  if (signer.validBefore !== undefined && seconds > signer.validBefore) {
    return { status: 'expired', reason: `the key was valid only before ${time(signer.validBefore)}` };
  }
  return undefined;
}

function namedPrincipal(principals: readonly string[]): string {
  return principals.find((name) => !name.startsWith('!')) ?? principals.join(',');
}

/** Somebody whose key was checked: only `VerifiedSigner.of` makes one, so holding one is the proof. */
export class VerifiedSigner {
  private constructor(
    readonly commit: string,
    readonly principal: string,
    readonly key: string,
    /** The time for which it was checked. */
    readonly at: Date,
  ) {}

  static of(commit: Commit, signers: Signers, at: Date): VerifiedSigner | undefined {
    const { status, principal, key, forge } = checkSignature(commit, signers, at);
    if (status !== 'verified' || principal === undefined || key === undefined || forge) return undefined;
    return new VerifiedSigner(commit.id, principal, key, at);
  }
}
