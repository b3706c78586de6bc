// The one seam to the platform's cryptography and text codings: a browser build takes web/verify/crypto.ts in its place, and all else in audit/
// that verification needs as it is.
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hash,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { CountersignError } from '../errors.js';

/** 32 bytes. */
export type Hash = Uint8Array;

/** Below, parts are joined: one call costs a third of four. */
const joinBelow = 65_536;

export function sha256(...parts: readonly Uint8Array[]): Hash {
  if (parts.length === 1) return hash('sha256', parts[0], 'buffer');
  let length = 0;
  for (const part of parts) length += part.length;
  if (length < joinBelow) return hash('sha256', Buffer.concat(parts, length), 'buffer');
  const streamed = createHash('sha256');
  for (const part of parts) streamed.update(part);
  return streamed.digest();
}

/** Of what comes in pieces. */
export async function sha256Of(pieces: AsyncIterable<Uint8Array>): Promise<Hash> {
  const streamed = createHash('sha256');
  for await (const piece of pieces) streamed.update(piece);
  return streamed.digest();
}

export function hmacSha256(key: Uint8Array, data: Uint8Array): Hash {
  return createHmac('sha256', key).update(data).digest();
}

export const randomSalt = (): Uint8Array => randomBytes(32);

// RFC 8410: the fixed DER before a raw Ed25519 seed and a raw public key.
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/** A private key that may live elsewhere: in a file, in the environment, in a key service. */
export interface Ed25519Signer {
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Deterministic (RFC 8032): the same message gives the same 64 bytes. Rejects with `keys-unavailable` where the key is out of reach. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** @param seed 32 secret bytes (RFC 8032). */
export function ed25519Signer(seed: Uint8Array): Ed25519Signer {
  const key = privateKey(seed);
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(spkiPrefix.length);
  // In a thread of the pool: a signature takes longer than everything else that an entry needs.
  const signLater = (message: Uint8Array): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      sign(null, message, key, (error, signature) => (error ? reject(error) : resolve(signature)));
    });
  return { publicKey, sign: signLater };
}

/** For a thread that does nothing else. @param seed 32 secret bytes (RFC 8032). */
export function ed25519SignerNow(seed: Uint8Array): (message: Uint8Array) => Uint8Array {
  const key = privateKey(seed);
  return (message) => sign(null, message, key);
}

function privateKey(seed: Uint8Array): KeyObject {
  if (seed.length !== 32) throw new CountersignError('keys-invalid', 'an Ed25519 seed has 32 bytes');
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' });
}

/** A function that tells whether a signature over a message is by `publicKey` (raw, 32 bytes). */
export function ed25519Verifier(publicKey: Uint8Array): (message: Uint8Array, signature: Uint8Array) => boolean {
  if (publicKey.length !== 32) throw new CountersignError('keys-invalid', 'an Ed25519 public key has 32 bytes');
  let key: KeyObject | undefined;
  return (message, signature) => {
    key ??= createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: 'der', type: 'spki' });
    return signature.length === 64 && verify(null, message, key, signature);
  };
}

export const toHex = (bytes: Uint8Array): string => view(bytes).toString('hex');
export const toBase64 = (bytes: Uint8Array): string => view(bytes).toString('base64');
export const utf8 = (text: string): Uint8Array => Buffer.from(text, 'utf8');

/** Text of valid UTF-8; undefined for anything else, so that no two byte strings read as the same text. */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  const text = view(bytes).toString('utf8');
  return equalBytes(utf8(text), bytes) ? text : undefined;
}

/** Lower-case hex of exactly `length` bytes; undefined for anything else. */
export function fromHex(text: string, length: number): Uint8Array | undefined {
  if (text.length !== 2 * length || !/^[0-9a-f]*$/.test(text)) return undefined;
  return Buffer.from(text, 'hex');
}

/** Canonical standard base64 only (padding present, unused bits zero): a second spelling of the same bytes is refused. */
export function fromBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return view(a).equals(b);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** The same memory with Node's conveniences; in a browser just the bytes, which is all that this folder asks of them. */
export function view(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
