import type { SignatureKind } from './signature.js';

const LF = 0x0a;
const SPACE = 0x20;
const LETTER_G = 0x67;

export interface SignedPayload {
  /** What the signature is over: the object without any `gpgsig…` header. */
  readonly payload: Buffer;
  /** One per header of this repository's object format; more than one is nobody's honest work. */
  readonly signatures: readonly Buffer[];
}

/**
 * Takes a commit apart exactly as git does before it verifies (commit.c, parse_buffer_signed_by_header): signature headers
 * of the other object format are in neither part, `mergetag` stays in the payload.
 */
export function splitSignedPayload(raw: Buffer, format: 'sha1' | 'sha256'): SignedPayload {
  const ours = format === 'sha256' ? 'gpgsig-sha256 ' : 'gpgsig ';
  const payload: Buffer[] = [];
  const signatures: Buffer[][] = [];
  let current: Buffer[] | undefined;
  let inOther = false;
  for (let at = 0; at < raw.length;) {
    if (raw[at] === LF) {
      payload.push(raw.subarray(at));
      break;
    }
    const newline = raw.indexOf(LF, at);
    const next = newline < 0 ? raw.length : newline + 1;
    const continued = raw[at] === SPACE;
    if (current && continued) current.push(raw.subarray(at + 1, next));
    else if (raw[at] === LETTER_G && raw.toString('latin1', at, at + ours.length) === ours) {
      current = [raw.subarray(at + ours.length, next)];
      signatures.push(current);
      inOther = false;
    } else {
      current = undefined;
      if (raw[at] === LETTER_G && raw.toString('latin1', at, at + 6) === 'gpgsig') inOther = true;
      else if (!continued) inOther = false;
      if (!inOther) payload.push(raw.subarray(at, next));
    }
    at = next;
  }
  return { payload: Buffer.concat(payload), signatures: signatures.map((lines) => Buffer.concat(lines)) };
}

/** By its armour; 'none' for what no program of git's makes. */
export function signatureKind(signature: Buffer): SignatureKind {
  const armour = signature.toString('latin1', 0, 40);
  if (armour.startsWith('-----BEGIN SSH SIGNATURE-----')) return 'ssh';
  if (/^-----BEGIN PGP (?:SIGNATURE|MESSAGE)-----/.test(armour)) return 'openpgp';
  if (armour.startsWith('-----BEGIN SIGNED MESSAGE-----')) return 'x509';
  return 'none';
}
