import { parseStrictJson } from '../cluster/canonical.js';
import { CountersignError } from '../errors.js';
import type { Ed25519Signer } from './crypto.js';
import { concatBytes, ed25519Verifier, fromBase64, fromUtf8, sha256, toBase64, toHex, utf8 } from './crypto.js';

/** A DSSE envelope (secure-systems-lab, v1.0.2), its payload decoded once: verify and use the same bytes. */
export interface Envelope {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signatures: readonly { readonly keyid?: string; readonly sig: Uint8Array }[];
}

/** Who may sign entries. `keyid` is a hint for finding it, never evidence. */
export interface EnvelopeKey {
  readonly keyid: string;
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

export const envelopeKey = (publicKey: Uint8Array): EnvelopeKey => ({
  keyid: envelopeKeyId(publicKey),
  verify: ed25519Verifier(publicKey),
});

/** SHA-256 of the raw public key, hex. */
export const envelopeKeyId = (publicKey: Uint8Array): string => toHex(sha256(publicKey));

/** A signer signs many. */
const keyIds = new WeakMap<Ed25519Signer, string>();

function keyIdOf(signer: Ed25519Signer): string {
  let keyid = keyIds.get(signer);
  if (keyid === undefined) keyIds.set(signer, (keyid = envelopeKeyId(signer.publicKey)));
  return keyid;
}

/** Pre-authentication encoding: what is signed. */
function preAuthentication(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType);
  return concatBytes(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload);
}

/** The envelope as JSON bytes. `hinted`: with the key's id as we make it; programs that make theirs otherwise would not try the key. */
export async function sealEnvelope(
  payloadType: string,
  payload: Uint8Array,
  signer: Ed25519Signer,
  hinted = true,
): Promise<Uint8Array> {
  const sig = toBase64(await signer.sign(preAuthentication(payloadType, payload)));
  const signatures = [hinted ? { keyid: keyIdOf(signer), sig } : { sig }];
  return utf8(JSON.stringify({ payload: toBase64(payload), payloadType, signatures }));
}

/** Throws `log-invalid`, which calls it `what`; signatures are not judged here. */
export function parseEnvelope(bytes: Uint8Array, what = 'an envelope'): Envelope {
  const value = parseObject(bytes, what);
  const payload = decode(value['payload']);
  const { payloadType, signatures } = value;
  if (!payload || typeof payloadType !== 'string' || !Array.isArray(signatures))
    refuse(what, 'its members are not those of DSSE');
  return {
    payloadType,
    payload,
    signatures: signatures.map((entry: unknown) => {
      const { keyid, sig } = (entry ?? {}) as { keyid?: unknown; sig?: unknown };
      const decoded = decode(sig);
      if (!decoded || (keyid !== undefined && typeof keyid !== 'string')) refuse(what, 'a signature is malformed');
      return keyid === undefined ? { sig: decoded } : { keyid, sig: decoded };
    }),
  };
}

/** The distinct keys of those given that signed this envelope. */
export function envelopeSigners(envelope: Envelope, keys: Iterable<EnvelopeKey>): readonly EnvelopeKey[] {
  const message = preAuthentication(envelope.payloadType, envelope.payload);
  return [...keys].filter((key) => envelope.signatures.some(({ sig }) => key.verify(message, sig)));
}

/** Whether any of the keys, found by their ids, signed this envelope. The key that the hint names is tried first. */
export function signedByAny(envelope: Envelope, keys: ReadonlyMap<string, EnvelopeKey>): boolean {
  const message = preAuthentication(envelope.payloadType, envelope.payload);
  return envelope.signatures.some(({ keyid, sig }) => {
    const hinted = keyid === undefined ? undefined : keys.get(keyid);
    return hinted?.verify(message, sig) || [...keys.values()].some((key) => key !== hinted && key.verify(message, sig));
  });
}

function parseObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseStrictJson(fromUtf8(bytes) ?? '');
  } catch {
    refuse(what, 'it is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(what, 'it is no JSON object');
  return value as Record<string, unknown>;
}

/** DSSE allows either base64 alphabet; each only in its one spelling. */
function decode(value: unknown): Uint8Array | undefined {
  if (typeof value !== 'string') return undefined;
  return fromBase64(value) ?? fromBase64(value.replaceAll('-', '+').replaceAll('_', '/'));
}

function refuse(what: string, why: string): never {
  throw new CountersignError('log-invalid', `${what} cannot be read: ${why}`);
}
