import type { OpenPgpKey } from './openpgp-key.js';
import { verifyOpenPgp } from './openpgp-key.js';
import { type OpenPgpSignature, parseOpenPgpSignature } from './openpgp-signature.js';
import { refuse, type Signed, type Standing, time } from './standing.js';

/** Whose keys count, and which no longer do. */
interface Keys {
  readonly openpgp: readonly OpenPgpKey[];
  readonly revoked: ReadonlySet<string>;
}

/**
 * Checks an OpenPGP signature against governed keys. `at` is when the log first saw what is signed: the date in the signature
 * is the signer's claim, as the commit's is (invariant 6). Throws `signature-malformed`.
 */
export function checkOpenPgp({ signature, payload, what }: Signed, { openpgp, revoked }: Keys, at: Date): Standing {
  const parsed = parseOpenPgpSignature(signature);
  const candidates = openpgp.filter((key) => isIssuer(key, parsed));
  if (candidates.length === 0) return { key: parsed.issuerFingerprint ?? parsed.issuerKeyId, ...unknown() };
  const made = candidates.filter((key) => key.key && verifyOpenPgp(key, parsed, payload));
  if (made.length === 0) {
    const [{ primary, unusable, revoked: gone }] = candidates;
    if (gone) return { key: primary, status: 'revoked', reason: 'the key is revoked' };
    return { key: primary, ...refuse(unusable ?? `the signature is not of this ${what}`) };
  }
  const standings = made.map((key) => ({ key: key.primary, ...standing(key, parsed, revoked, at) }));
  return standings.find(({ status }) => status === 'verified') ?? standings[0];
}

function isIssuer(key: OpenPgpKey, { issuerFingerprint, issuerKeyId }: OpenPgpSignature): boolean {
  return issuerFingerprint === undefined ? key.keyId === issuerKeyId : key.fingerprint === issuerFingerprint;
}

function unknown(): Standing {
  return { status: 'unknown_key', reason: 'the key is none of those in .countersign/keys' };
}

function standing(key: OpenPgpKey, signature: OpenPgpSignature, revoked: ReadonlySet<string>, at: Date): Standing {
  const seconds = at.getTime() / 1000;
  if (key.revoked || revoked.has(key.primary) || revoked.has(key.fingerprint))
    return { status: 'revoked', reason: 'the key is revoked' };
  if (key.unusable !== undefined) return refuse(key.unusable);
  if (seconds < key.from) return refuse(`the key is valid only after ${time(key.from)}`);
  if (seconds >= key.until) return { status: 'expired', reason: `the key was valid only before ${time(key.until)}` };
  if (signature.created < key.from) return refuse('the signature claims to be older than its key');
  if (signature.expires !== undefined && seconds >= signature.expires)
    return { status: 'expired', reason: `the signature was valid only before ${time(signature.expires)}` };
  return { status: 'verified', principal: key.principal, ...(key.forge ? { forge: true as const } : {}) };
}
