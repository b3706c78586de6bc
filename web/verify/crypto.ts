// In a browser, this takes the place of src/audit/crypto.ts: what verification needs of it, with the same results. Browsers compute digests and
// signatures only asynchronously themselves, which would make every hash of a tree a promise.
import { ed25519 } from '@noble/curves/ed25519.js';
import { sha256 as digest } from '@noble/hashes/sha2.js';
import type * as platform from '../../src/audit/crypto.js';
import { CountersignError } from '../../src/errors.js';

export type Hash = platform.Hash;
export type Ed25519Signer = platform.Ed25519Signer;

export const sha256: typeof platform.sha256 = (...parts) =>
  digest(parts.length === 1 ? parts[0] : concatBytes(...parts));

export const sha256Of: typeof platform.sha256Of = async (pieces) => {
  const streamed = digest.create();
  for await (const piece of pieces) streamed.update(piece);
  return streamed.digest();
};

export const randomSalt: typeof platform.randomSalt = () => crypto.getRandomValues(new Uint8Array(32));

export const ed25519Verifier: typeof platform.ed25519Verifier = (publicKey) => {
  if (publicKey.length !== 32) throw new CountersignError('keys-invalid', 'an Ed25519 public key has 32 bytes');
  return (message, signature) => {
    try {
      return signature.length === 64 && ed25519.verify(signature, message, publicKey, { zip215: false });
    } catch {
      return false; // a point that is none
    }
  };
};

const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export const toHex: typeof platform.toHex = (bytes) => Array.from(bytes, (byte) => digits[byte]).join('');
export const toBase64: typeof platform.toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')); // prettier-ignore
export const utf8: typeof platform.utf8 = (text) => encoder.encode(text);

export const fromUtf8: typeof platform.fromUtf8 = (bytes) => {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
};

export const fromHex: typeof platform.fromHex = (text, length) => {
  if (text.length !== 2 * length || !/^[0-9a-f]*$/.test(text)) return undefined;
  return Uint8Array.from({ length }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
};

export const fromBase64: typeof platform.fromBase64 = (text) => {
  try {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return toBase64(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
};

export const equalBytes: typeof platform.equalBytes = (a, b) =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

export const concatBytes: typeof platform.concatBytes = (...parts) => {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
};

export const view = (bytes: Uint8Array): Uint8Array => bytes;
