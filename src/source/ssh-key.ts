import { createHash, createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto';
import { malformed, WireReader, wireString } from './ssh-wire.js';

const CERTIFICATE = '-cert-v01@openssh.com';
const RSA_MINIMUM_BITS = 2048;
const CURVES: Readonly<Record<string, { crv: string; size: number; hash: string }>> = {
  nistp256: { crv: 'P-256', size: 32, hash: 'sha256' },
  nistp384: { crv: 'P-384', size: 48, hash: 'sha384' },
  nistp521: { crv: 'P-521', size: 66, hash: 'sha512' },
};

export interface SshCertificate {
  /** 1: of a user, 2: of a host. */
  readonly type: number;
  readonly principals: readonly string[];
  /** Seconds since the epoch; valid from `after` up to, not including, `before`. */
  readonly after: bigint;
  readonly before: bigint;
  readonly criticalOptions: Buffer;
  readonly authority: Buffer;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

/** A public key as SSH carries it (RFC 4253, 5656, 8709; PROTOCOL.u2f and PROTOCOL.certkeys of OpenSSH). */
export interface SshKey {
  readonly blob: Buffer;
  /** Without the certificate's suffix: `ssh-ed25519`, `sk-ssh-ed25519@openssh.com` … */
  readonly algorithm: string;
  readonly jwk: JsonWebKey;
  readonly curve?: { readonly size: number; readonly hash: string };
  readonly bits?: number;
  /** Of a security key: what it signs for, usually `ssh:`. */
  readonly application?: Buffer;
  readonly certificate?: SshCertificate;
  /** `SHA256:…` of the key itself, also for a certificate: what ssh-keygen -l prints. */
  readonly fingerprint: string;
}

/** Throws `signature-malformed` for what is no key, and for types and sizes that are not accepted. */
export function parseSshKey(blob: Buffer): SshKey {
  const reader = new WireReader(blob);
  const type = reader.text();
  const certified = type.endsWith(CERTIFICATE);
  const algorithm = certified ? plainAlgorithm(type) : type;
  if (certified) reader.string(); // its nonce
  const start = reader.offset;
  const numbers = readNumbers(algorithm, reader);
  const plain = Buffer.concat([wireString(algorithm), blob.subarray(start, reader.offset)]);
  const certificate = certified ? readCertificate(blob, reader) : undefined;
  reader.end('the key');
  return { blob, algorithm, ...numbers, certificate, fingerprint: fingerprint(plain) };
}

export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

function plainAlgorithm(type: string): string {
  const base = type.slice(0, -CERTIFICATE.length);
  return base.startsWith('sk-') ? `${base}@openssh.com` : base;
}

function readNumbers(algorithm: string, reader: WireReader): Pick<SshKey, 'jwk' | 'curve' | 'bits' | 'application'> {
  switch (algorithm) {
    case 'ssh-ed25519':
      return { jwk: ed25519(reader.string()) };
    case 'sk-ssh-ed25519@openssh.com':
      return { jwk: ed25519(reader.string()), application: reader.string() };
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return ellipticCurve(algorithm.slice('ecdsa-sha2-'.length), reader);
    case 'sk-ecdsa-sha2-nistp256@openssh.com':
      return { ...ellipticCurve('nistp256', reader), application: reader.string() };
    case 'ssh-rsa':
      return rsa(reader);
    default:
      throw malformed(`keys of type ${JSON.stringify(algorithm)} are not accepted`);
  }
}

function ed25519(key: Buffer): JsonWebKey {
  if (key.length !== 32) throw malformed('an Ed25519 key has 32 bytes');
  return { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') };
}

function ellipticCurve(name: string, reader: WireReader): Pick<SshKey, 'jwk' | 'curve'> {
  const curve = CURVES[name];
  const point = (reader.text(), reader.string());
  if (point[0] !== 4 || point.length !== 1 + 2 * curve.size) throw malformed('its curve point is not uncompressed');
  const x = point.subarray(1, 1 + curve.size);
  const y = point.subarray(1 + curve.size);
  return { jwk: { kty: 'EC', crv: curve.crv, x: x.toString('base64url'), y: y.toString('base64url') }, curve };
}

function rsa(reader: WireReader): Pick<SshKey, 'jwk' | 'bits'> {
  const exponent = reader.positiveInteger();
  const modulus = reader.positiveInteger();
  const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  if (bits < RSA_MINIMUM_BITS) throw malformed(`RSA keys under ${RSA_MINIMUM_BITS} bits are not accepted`);
  return { jwk: { kty: 'RSA', n: modulus.toString('base64url'), e: exponent.toString('base64url') }, bits };
}

function readCertificate(blob: Buffer, reader: WireReader): SshCertificate {
  reader.uint64(); // serial
  const type = reader.uint32();
  reader.string(); // key id, for logs
  const names = new WireReader(reader.string());
  const principals: string[] = [];
  while (!names.done) principals.push(names.text());
  const after = reader.uint64();
  const before = reader.uint64();
  const criticalOptions = reader.string();
  reader.string(); // extensions: permissions to log in
  reader.string(); // reserved
  const authority = reader.string();
  const signed = blob.subarray(0, reader.offset);
  return { type, principals, after, before, criticalOptions, authority, signed, signature: reader.string() };
}

/** Whether `signature` (RFC 4253, section 6.6) was made by this key over `data`. SHA-1 signatures are never valid. */
export function verifySshBlob(key: SshKey, signature: Buffer, data: Buffer): boolean {
  const reader = new WireReader(signature);
  const algorithm = reader.text();
  const value = reader.string();
  if (key.application) {
    const flags = reader.byte();
    const counter = reader.uint32();
    reader.end('the signature');
    return (
      algorithm === key.algorithm &&
      verifyNumbers(key, value, securityKeyMessage(key.application, flags, counter, data))
    );
  }
  reader.end('the signature');
  if (key.jwk.kty === 'RSA') {
    const hash = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' }[algorithm];
    return hash !== undefined && verifyRsa(key, hash, value, data);
  }
  return algorithm === key.algorithm && verifyNumbers(key, value, data);
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** What a security key signs (PROTOCOL.u2f): hashes, and its own word on whether it was touched. */
function securityKeyMessage(application: Buffer, flags: number, counter: number, data: Buffer): Buffer {
  const middle = Buffer.alloc(5);
  middle.writeUInt8(flags, 0);
  middle.writeUInt32BE(counter, 1);
  return Buffer.concat([sha256(application), middle, sha256(data)]);
}

/** True if the security key says that somebody touched it; always true for other keys. */
export function wasTouched(key: SshKey, signature: Buffer): boolean {
  if (!key.application) return true;
  const reader = new WireReader(signature);
  reader.string();
  reader.string();
  return (reader.byte() & 1) === 1;
}

function verifyNumbers(key: SshKey, value: Buffer, data: Buffer): boolean {
  if (!key.curve) return value.length === 64 && verify(null, data, keyObject(key), value);
  const { size, hash } = key.curve;
  const reader = new WireReader(value);
  const r = reader.positiveInteger();
  const s = reader.positiveInteger();
  reader.end('the signature');
  if (r.length > size || s.length > size) return false;
  const pad = (bytes: Buffer): Buffer => Buffer.concat([Buffer.alloc(size - bytes.length), bytes]);
  return verify(hash, data, { key: keyObject(key), dsaEncoding: 'ieee-p1363' }, Buffer.concat([pad(r), pad(s)]));
}

/** OpenSSH cuts leading zeros off; OpenSSL wants them. */
function verifyRsa(key: SshKey, hash: string, value: Buffer, data: Buffer): boolean {
  const size = Math.ceil(key.bits! / 8);
  if (value.length > size) return false;
  return verify(hash, data, keyObject(key), Buffer.concat([Buffer.alloc(size - value.length), value]));
}

const keyObjects = new WeakMap<SshKey, KeyObject>();

function keyObject(key: SshKey): KeyObject {
  const known = keyObjects.get(key);
  if (known) return known;
  try {
    const made = createPublicKey({ key: key.jwk, format: 'jwk' });
    keyObjects.set(key, made);
    return made;
  } catch (cause) {
    throw malformed(`its key is not valid (${(cause as Error).message})`);
  }
}
