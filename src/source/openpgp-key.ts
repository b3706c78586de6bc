import { createHash, createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto';
import type { Config, Key, PublicKey, SignaturePacket, Subkey } from 'openpgp';
import { CountersignError } from '../errors.js';
import { malformed, takeInteger, type OpenPgpSignature } from './openpgp-signature.js';

const RSA_MINIMUM_BITS = 2048;
const ECDSA_CURVES: Readonly<Record<string, { crv: string; size: number }>> = {
  nistP256: { crv: 'P-256', size: 32 },
  nistP384: { crv: 'P-384', size: 48 },
  nistP521: { crv: 'P-521', size: 66 },
};
const RSA: ReadonlySet<number> = new Set([1, 3]);
const ECDSA = 19;
const EDDSA_LEGACY = 22;
const ED25519 = 27;
const ED448 = 28;
// eslint-disable-next-line no-control-regex
const TREACHEROUS = /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;

/** One key that may have signed something: a primary key or a subkey of it, judged once when its file was read. */
export interface OpenPgpKey {
  readonly keyId: string;
  /** Of this key, upper-case hexadecimal; `primary` is what people know a key by. */
  readonly fingerprint: string;
  readonly primary: string;
  /** The address of its primary user id, or all of that where there is none. */
  readonly principal: string;
  /** True for a key that a forge signs with: it vouches for what its users did there, not for who they are. */
  readonly forge: boolean;
  /** Seconds since the epoch: from when, and until when if ever. */
  readonly from: number;
  readonly until: number;
  readonly revoked: boolean;
  /** Why nothing that it signed counts. */
  readonly unusable?: string;
  readonly algorithm: number;
  readonly size: number;
  readonly key?: KeyObject;
}

/**
 * Reads the public keys of one file. Whether each may sign, from when until when, and whether it was revoked is settled here,
 * as of the newest that the keys say of themselves: what was revoked, was for ever (invariant 6). Throws `signers-malformed`.
 */
export async function readOpenPgpKeys(content: Buffer, file: string, forge: boolean): Promise<readonly OpenPgpKey[]> {
  const openpgp = await import('openpgp');
  const config: Config = { ...openpgp.config, minRSABits: RSA_MINIMUM_BITS };
  const fail = (what: string, remedy = 'Export it with gpg --armor --export'): CountersignError =>
    new CountersignError('signers-malformed', what, { place: { file }, remedy });
  const armoured = content.toString('latin1').includes('-----BEGIN PGP ');
  if (/-----BEGIN PGP PRIVATE KEY/.test(content.toString('latin1'))) {
    throw fail(
      'this is a private key',
      'Revoke it: everybody who can read the repository has it. Commit only public keys',
    );
  }
  let keys: Key[];
  try {
    keys = armoured
      ? (await Promise.all(blocks(content).map((armoredKeys) => openpgp.readKeys({ armoredKeys, config })))).flat()
      : await openpgp.readKeys({ binaryKeys: content, config });
  } catch (cause) {
    throw fail(`these keys cannot be read: ${(cause as Error).message}`);
  }
  if (keys.some((key) => key.isPrivate())) throw fail('this is a private key', 'Revoke it and commit only public keys');
  const read: OpenPgpKey[] = [];
  for (const key of keys) {
    await forgetPrefixes(key);
    read.push(...(await withSubkeys(key, forge, config, fail)));
  }
  return read;
}

function blocks(content: Buffer): string[] {
  const text = content.toString('utf8');
  return text.match(/-----BEGIN PGP PUBLIC KEY BLOCK-----[^]*?-----END PGP PUBLIC KEY BLOCK-----/g) ?? [text];
}

type Fail = (what: string, remedy?: string) => CountersignError;

/** The library takes null for "whenever", its types do not. */
const ALWAYS = null as unknown as Date;

async function withSubkeys(key: PublicKey, forge: boolean, config: Config, fail: Fail): Promise<OpenPgpKey[]> {
  const primary = key.getFingerprint().toUpperCase();
  const principal = await principalOf(key, config);
  if (TREACHEROUS.test(principal)) throw fail(`the user id of ${primary} holds characters that cannot be seen`);
  const revoked = await key.isRevoked(undefined, undefined, ALWAYS, config);
  const primaryUntil = seconds(await key.getExpirationTime(undefined, config));
  const found: OpenPgpKey[] = [];
  for (const one of key.getKeys()) {
    const subkey = one === key ? undefined : (one as Subkey);
    const gone = revoked || (subkey !== undefined && (await subkeyRevoked(subkey, config)));
    const reason = gone ? undefined : await unusable(key, one, config);
    const until = subkey ? seconds(await subkey.getExpirationTime(ALWAYS, config)) : primaryUntil;
    const { algorithm, publicParams } = one.keyPacket;
    const numbers = reason === undefined ? numbersOf(algorithm, publicParams) : undefined;
    const refused = reason ?? (typeof numbers === 'string' ? numbers : undefined);
    found.push({
      keyId: one.getKeyID().toHex().toUpperCase(),
      fingerprint: one.getFingerprint().toUpperCase(),
      primary,
      principal,
      forge,
      from: one.getCreationTime().getTime() / 1000,
      until: Math.min(until, primaryUntil),
      revoked: gone,
      ...(refused === undefined ? {} : { unusable: refused }),
      algorithm,
      size: typeof numbers === 'object' ? numbers.size : 0,
      ...(typeof numbers === 'object' ? { key: numbers.key } : {}),
    });
  }
  return found;
}

async function subkeyRevoked(subkey: Subkey, config: Config): Promise<boolean> {
  const none = undefined as unknown as SignaturePacket;
  return subkey.isRevoked(none, undefined as unknown as Subkey['keyPacket'], ALWAYS, config);
}

/** Why a key can't sign for its owner: no valid self-signature, not bound to its primary key, not for signing, too weak. */
async function unusable(key: PublicKey, one: PublicKey | Subkey, config: Config): Promise<string | undefined> {
  try {
    const signing = await key.getSigningKey(one.getKeyID(), null, undefined, config);
    return signing.getFingerprint() === one.getFingerprint() ? undefined : 'another key has the same id';
  } catch (cause) {
    return (cause as Error).message.replace(/^Could not find valid signing key packet in key [0-9a-f]+(: )?/, '');
  }
}

async function principalOf(key: PublicKey, config: Config): Promise<string> {
  try {
    const { userID } = (await key.getPrimaryUser(ALWAYS, undefined, config)).user;
    return userID?.email || userID?.userID || '';
  } catch {
    // No user id that the key itself vouches for: then getSigningKey refuses it, and says so.
    return '';
  }
}

function seconds(time: Date | number | null): number {
  // null: nothing valid says so, and such a key is refused as unusable.
  return time === null ? 0 : typeof time === 'number' ? Number.POSITIVE_INFINITY : time.getTime() / 1000;
}

interface Numbers {
  readonly n?: Uint8Array;
  readonly e?: Uint8Array;
  readonly oid?: { getName(): string };
  readonly Q?: Uint8Array;
  readonly A?: Uint8Array;
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function made(jwk: JsonWebKey, size: number): { key: KeyObject; size: number } | string {
  try {
    return { key: createPublicKey({ key: jwk, format: 'jwk' }), size };
  } catch (cause) {
    return `its key is not valid (${(cause as Error).message})`;
  }
}

function numbersOf(algorithm: number, { n, e, oid, Q, A }: Numbers): { key: KeyObject; size: number } | string {
  if (RSA.has(algorithm) && n && e) {
    return n.length * 8 - Math.clz32(n[0] ?? 0) + 24 < RSA_MINIMUM_BITS
      ? `RSA keys under ${RSA_MINIMUM_BITS} bits are not accepted`
      : made({ kty: 'RSA', n: base64url(n), e: base64url(e) }, n.length);
  }
  if (algorithm === ECDSA && oid && Q) {
    const curve = ECDSA_CURVES[oid.getName()];
    if (!curve) return `keys on the curve ${oid.getName()} are not accepted`;
    const [x, y] = [Q.subarray(1, 1 + curve.size), Q.subarray(1 + curve.size)];
    return made({ kty: 'EC', crv: curve.crv, x: base64url(x), y: base64url(y) }, curve.size);
  }
  if (algorithm === EDDSA_LEGACY && Q) return made({ kty: 'OKP', crv: 'Ed25519', x: base64url(Q.subarray(1)) }, 32);
  if (algorithm === ED25519 && A) return made({ kty: 'OKP', crv: 'Ed25519', x: base64url(A) }, 64);
  if (algorithm === ED448 && A) return made({ kty: 'OKP', crv: 'Ed448', x: base64url(A) }, 114);
  return `keys of algorithm ${algorithm} are not accepted`;
}

/** Whether `key` made the signature over `message`. Throws `signature-malformed`. */
export function verifyOpenPgp(key: OpenPgpKey, signature: OpenPgpSignature, message: Buffer): boolean {
  const { hash, trailer, numbers, publicKeyAlgorithm } = signature;
  if (!key.key || publicKeyAlgorithm !== key.algorithm) return false;
  const signed = Buffer.concat([message, trailer]);
  if (RSA.has(key.algorithm)) {
    const value = fixed(takeInteger(numbers), key.size, true);
    return value !== undefined && verify(hash, signed, key.key, value);
  }
  if (key.algorithm === ECDSA || key.algorithm === EDDSA_LEGACY) {
    const first = takeInteger(numbers);
    const r = fixed(first, key.size, false);
    const s = fixed(takeInteger(first.rest), key.size, true);
    if (!r || !s) return false;
    const value = Buffer.concat([r, s]);
    return key.algorithm === ECDSA
      ? verify(hash, signed, { key: key.key, dsaEncoding: 'ieee-p1363' }, value)
      : verify(null, digest(hash, signed), key.key, value);
  }
  if (numbers.length !== key.size) throw malformed('its numbers have no right length');
  return verify(null, digest(hash, signed), key.key, numbers);
}

function digest(hash: string, bytes: Buffer): Buffer {
  return createHash(hash).update(bytes).digest();
}

/** Padded to what the key's arithmetic wants; undefined if it cannot be a number of this key. */
function fixed({ integer, rest }: { integer: Buffer; rest: Buffer }, size: number, last: boolean): Buffer | undefined {
  if (last && rest.length > 0) throw malformed('it has bytes after its end');
  return integer.length > size ? undefined : Buffer.concat([Buffer.alloc(size - integer.length), integer]);
}

type Hashing = SignaturePacket & { hash(type: number, data: object): Promise<Uint8Array> };

/**
 * The library refuses a signature whose copy of its hash's first two bytes is wrong; GitHub's old key certified itself with
 * such. They prove nothing and gpg ignores them: put right, the signature itself still has to verify.
 */
async function forgetPrefixes(key: PublicKey): Promise<void> {
  const { keyPacket } = key;
  await mend(key.revocationSignatures, { key: keyPacket });
  for (const { userID, userAttribute, selfCertifications } of key.users)
    await mend(selfCertifications, { userID, userAttribute, key: keyPacket });
  for (const subkey of key.subkeys) {
    const data = { key: keyPacket, bind: subkey.keyPacket };
    await mend([...subkey.bindingSignatures, ...subkey.revocationSignatures], data);
    const embedded = subkey.bindingSignatures.flatMap(({ embeddedSignature }) => embeddedSignature ?? []);
    await mend(embedded, data);
  }
}

async function mend(packets: readonly SignaturePacket[], data: object): Promise<void> {
  for (const packet of packets as readonly Hashing[]) {
    if (packet.signatureType === null) continue;
    try {
      packet.signedHashValue = (await packet.hash(packet.signatureType, data)).slice(0, 2);
    } catch {
      // A hash that the library does not know: it refuses that signature itself.
    }
  }
}
