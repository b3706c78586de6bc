import { createHash } from 'node:crypto';
import { CountersignError } from '../errors.js';
import { malformed, whatIsMalformed } from './asn1.js';
import { chainsOf, type Cms, DATA, isMadeBy, parseCms, valuesOf } from './cms.js';
import { loggedAt, REKOR_ENTRY, type TimeLog } from './rekor.js';
import { TIME_STAMP_TOKEN, timeStamped } from './time-stamp.js';
import { decodeBase64 } from './ssh-wire.js';
import { refuse, type Signed, type Standing, time } from './standing.js';
import type { Certificate } from './x509-certificate.js';

const ARMOUR = /^-----BEGIN SIGNED MESSAGE-----\n([A-Za-z0-9+/=\n]+)-----END SIGNED MESSAGE-----\n*$/;
const LIMIT = 256 * 1024;
/** Seconds. */
const SHORT_LIVED = 86_400;
/** Seconds by which the clocks of those who vouch for times may differ from ours. */
const CLOCKS = 300;
/** More proofs of one signature than this are not looked at. */
const PROOFS = 4;
const WEAK_ALGORITHM = /sha-?1(?!\d)|md[245]|dsa-with-sha(?!\d)/i;

interface Authorities {
  readonly x509: readonly Certificate[];
  /** Authorities for time-stamps, and logs, whose word for the time counts. */
  readonly timestamps: readonly Certificate[];
  readonly logs: readonly TimeLog[];
  readonly revoked: ReadonlySet<string>;
}

/**
 * Checks a CMS signature: that it is over exactly this, and that its certificate comes from a governed authority and was valid
 * when the log first saw it. Revocation lists are not fetched: `revoked_signers` names what no longer counts. Throws
 * `signature-malformed`.
 */
export function checkX509(signed: Signed, authorities: Authorities, seen: Date): Standing {
  try {
    return check(signed, authorities, seen);
  } catch (cause) {
    // What OpenSSL and the ASN.1 reader make of damaged bytes is not all foreseen; it must stop no reading.
    throw cause instanceof CountersignError ? cause : malformed((cause as Error).message);
  }
}

function check({ signature, payload, what }: Signed, authorities: Authorities, seen: Date): Standing {
  const { x509, revoked } = authorities;
  const cms = parseArmoured(signature);
  const { signer } = cms;
  const key = signer.fingerprint;
  if (!createHash(cms.hash).update(payload).digest().equals(cms.messageDigest) || !isMadeBy(cms))
    return { key, ...refuse(`the signature is not of this ${what}`) };
  const chains = chainsOf([signer], [...x509, ...cms.certificates], x509);
  if (chains.length === 0)
    return {
      key,
      status: 'unknown_key',
      reason: 'the certificate comes from none of the authorities in .countersign/x509',
    };
  const seconds = seen.getTime() / 1000;
  // Only for a certificate that is past its time does it matter whether somebody saw the signature before.
  const proof = seconds > signer.until ? provenTime(cms, authorities, seconds) : {};
  const standings = chains.map((chain) => standing(chain, revoked, seconds, proof));
  // A revoked authority must not be got round by another way up to the same key.
  const best =
    standings.find(({ status }) => status === 'revoked') ?? standings.find(({ status }) => status === 'verified');
  return { key, ...(best ?? standings[0]) };
}

interface Proof {
  /** Seconds since the epoch at which the signature was there. */
  readonly time?: number;
  /** What is wrong with what it says of the time. */
  readonly fault?: string;
}

/** The earliest time at which a trusted authority or log saw this very signature. */
function provenTime({ unsigned, signer, signature, attributes }: Cms, authorities: Authorities, seen: number): Proof {
  const { timestamps, logs, revoked } = authorities;
  const times: number[] = [];
  let fault: string | undefined;
  const attempt = (read: () => number): void => {
    try {
      const time = read();
      if (time <= seen + CLOCKS) times.push(time);
      else fault ??= 'its time lies after the commit was first seen';
    } catch (thrown) {
      fault ??= whatIsMalformed(thrown);
    }
  };
  for (const { raw } of valuesOf(unsigned, TIME_STAMP_TOKEN).slice(0, PROOFS))
    attempt(() => timeStamped(raw, signature, timestamps, revoked));
  for (const entry of valuesOf(unsigned, REKOR_ENTRY).slice(0, PROOFS))
    attempt(() => loggedAt(entry.octets, { certificate: signer, signed: attributes, signature }, logs));
  if (times.length > 0) return { time: Math.min(...times) };
  return fault === undefined ? {} : { fault };
}

function standing(
  chain: readonly Certificate[],
  revoked: ReadonlySet<string>,
  seen: number,
  { time: proven, fault }: Proof,
): Standing {
  const [signer] = chain;
  if (chain.some(({ fingerprint }) => revoked.has(fingerprint)))
    return { status: 'revoked', reason: 'the certificate or its authority is revoked' };
  const unusable = chain.find((one) => one.unusable !== undefined)?.unusable ?? signer.notForSigning;
  if (unusable !== undefined) return refuse(unusable);
  if (chain.slice(0, -1).some(({ certificate }) => WEAK_ALGORITHM.test(certificate.signatureAlgorithm ?? '')))
    return refuse('a certificate is signed with SHA-1 or MD5, which can be forged');
  // The signer is no authority, so the first authority stands above none.
  if (chain.some(({ pathLength }, i) => i > 0 && pathLength < i - 1))
    return refuse('the chain of authorities is too long');
  // A commit's own date is a claim; so is the signing time that the signer writes into a signature (invariant 6).
  const seconds = proven ?? seen;
  const early = chain.find(({ from }) => seconds < from);
  if (early) return refuse(`the certificate is valid only after ${time(early.from)}`);
  const late = chain.find(({ until }) => seconds > until);
  if (late && proven !== undefined)
    return { status: 'expired', reason: `the certificate was valid only before ${time(late.until)}, and signed later` };
  if (late === signer && signer.until - signer.from <= SHORT_LIVED) {
    const why = fault ?? 'it has neither a time-stamp nor a log’s time, so nothing says that it signed before';
    return refuse(`the certificate was valid only until ${time(late.until)}: ${why}`);
  }
  if (late) return { status: 'expired', reason: `the certificate was valid only before ${time(late.until)}` };
  const [principal] = signer.names;
  return principal === undefined ? refuse('the certificate names no address') : { status: 'verified', principal };
}

function parseArmoured(armoured: Buffer): Cms {
  if (armoured.length > LIMIT) throw malformed('it is too large');
  const body = ARMOUR.exec(armoured.toString('latin1').replaceAll('\r\n', '\n'))?.[1].replaceAll('\n', '');
  const bytes = body === undefined ? undefined : decodeBase64(body);
  if (!bytes) throw malformed('its armour is damaged');
  const cms = parseCms(bytes, DATA);
  if (cms.content) throw malformed('it is not detached');
  return cms;
}
