import { CountersignError } from '../errors.js';
import { decodeBase64 } from './ssh-wire.js';

const ARMOUR =
  /^-----BEGIN PGP SIGNATURE-----\n((?:[A-Za-z]+: [^\n]*\n)*)\n([A-Za-z0-9+/=\n]+?)\n(?:=([A-Za-z0-9+/]{4})\n)?-----END PGP SIGNATURE-----\n*$/;
const SIGNATURE_PACKET = 2;
const HASHES: Readonly<Record<number, string>> = { 8: 'sha256', 9: 'sha384', 10: 'sha512', 11: 'sha224' };
const WEAK_HASHES: Readonly<Record<number, string>> = { 1: 'MD5', 2: 'SHA-1', 3: 'RIPEMD-160' };
const SUBPACKET = { created: 2, expires: 3, issuer: 16, issuerFingerprint: 33 } as const;
/** Types that are read here, and those that say nothing about whether a signature of this type counts. */
const UNDERSTOOD: ReadonlySet<number> = new Set([...Object.values(SUBPACKET), 4, 26, 28, 35]);
const NOTATION = 20;

/** A detached OpenPGP signature taken apart (RFC 9580, section 5.2): what git stores, one version 4 packet over binary data. */
export interface OpenPgpSignature {
  readonly publicKeyAlgorithm: number;
  readonly hash: string;
  /** Of the key that made it, upper-case hexadecimal; whose it is says the key, not this. */
  readonly issuerKeyId: string;
  readonly issuerFingerprint?: string;
  /** Seconds since the epoch. A claim of the signer's, as every date in Git. */
  readonly created: number;
  /** Seconds since the epoch. */
  readonly expires?: number;
  /** What is hashed after the data. */
  readonly trailer: Buffer;
  /** The algorithm's numbers as written. */
  readonly numbers: Buffer;
}

/**
 * Reads one armoured signature. The two bytes that repeat the start of the hash are not looked at: they prove nothing, gpg
 * ignores them too, and GitHub wrote wrong ones until 2021. Throws `signature-malformed`.
 */
export function parseOpenPgpSignature(armoured: Buffer): OpenPgpSignature {
  const body = onlyPacket(dearmour(armoured));
  const reader = new Bytes(body);
  const version = reader.byte();
  if (version !== 4) throw malformed(`its version is ${version}, known is 4`);
  const type = reader.byte();
  if (type !== 0) throw malformed(type === 1 ? 'it is over text, not over bytes' : `its type is ${type}`);
  const publicKeyAlgorithm = reader.byte();
  const hashAlgorithm = reader.byte();
  const hash = HASHES[hashAlgorithm];
  if (hash === undefined) {
    const weak = WEAK_HASHES[hashAlgorithm];
    throw malformed(weak ? `it is over ${weak}, which can be forged` : `its hash is of kind ${hashAlgorithm}`);
  }
  const hashed = subpackets(reader.take(reader.uint16()));
  const hashedEnd = reader.offset;
  const unhashed = subpackets(reader.take(reader.uint16()));
  reader.take(2);
  const created = value(hashed, SUBPACKET.created, 4)?.readUInt32BE();
  if (created === undefined) throw malformed('it does not say when it was made');
  const lifetime = value(hashed, SUBPACKET.expires, 4)?.readUInt32BE() ?? 0;
  const fingerprint = issuerFingerprint(hashed) ?? issuerFingerprint(unhashed);
  const keyId = value(hashed, SUBPACKET.issuer, 8) ?? value(unhashed, SUBPACKET.issuer, 8);
  const issuer = fingerprint?.subarray(-8) ?? keyId;
  if (!issuer) throw malformed('it does not say which key made it');
  if (keyId && !keyId.equals(issuer)) throw malformed('it names two keys');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(hashedEnd);
  return {
    publicKeyAlgorithm,
    hash,
    issuerKeyId: issuer.toString('hex').toUpperCase(),
    ...(fingerprint ? { issuerFingerprint: fingerprint.toString('hex').toUpperCase() } : {}),
    created,
    ...(lifetime > 0 ? { expires: created + lifetime } : {}),
    trailer: Buffer.concat([body.subarray(0, hashedEnd), Buffer.from([4, 0xff]), length]),
    numbers: reader.rest(),
  };
}

/** A multiple-precision integer at the front, its leading zeros gone, and what follows it. */
export function takeInteger(bytes: Buffer): { integer: Buffer; rest: Buffer } {
  if (bytes.length < 2) throw malformed('it is cut off');
  const length = Math.ceil(bytes.readUInt16BE() / 8);
  if (bytes.length < 2 + length) throw malformed('it is cut off');
  return { integer: bytes.subarray(2, 2 + length), rest: bytes.subarray(2 + length) };
}

export function malformed(what: string): CountersignError {
  return new CountersignError('signature-malformed', `the OpenPGP signature cannot be read: ${what}`);
}

function dearmour(armoured: Buffer): Buffer {
  const text = armoured.toString('latin1').replaceAll('\r\n', '\n');
  const [, , encoded, checksum] = ARMOUR.exec(text) ?? [];
  const bytes = encoded === undefined ? undefined : decodeBase64(encoded.replaceAll('\n', ''));
  if (!bytes) throw malformed('its armour is damaged');
  if (checksum !== undefined && checksum !== crc24(bytes)) throw malformed('its checksum is wrong');
  return bytes;
}

/** RFC 9580, section 6.1.1. */
function crc24(bytes: Buffer): string {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let i = 0; i < 8; i++) {
      crc <<= 1;
      if (crc & 0x1000000) crc ^= 0x1864cfb;
    }
  }
  return Buffer.from([crc >> 16, crc >> 8, crc]).toString('base64');
}

/** Two packets would be two signatures: which one counts would depend on who reads. */
function onlyPacket(bytes: Buffer): Buffer {
  const reader = new Bytes(bytes);
  const header = reader.byte();
  if ((header & 0x80) === 0) throw malformed('it does not begin with a packet');
  const modern = (header & 0x40) !== 0;
  const tag = modern ? header & 0x3f : (header >> 2) & 0x0f;
  if (tag !== SIGNATURE_PACKET) throw malformed(`it holds a packet of kind ${tag}`);
  const length = modern ? packetLength(reader) : oldPacketLength(reader, header & 3);
  const body = reader.take(length);
  if (!reader.done) throw malformed('it has bytes after its end');
  return body;
}

function packetLength(reader: Bytes): number {
  const first = reader.byte();
  if (first < 192) return first;
  if (first < 224) return ((first - 192) << 8) + reader.byte() + 192;
  if (first === 255) return reader.uint32();
  throw malformed('its length is in parts');
}

function oldPacketLength(reader: Bytes, kind: number): number {
  if (kind === 0) return reader.byte();
  if (kind === 1) return reader.uint16();
  if (kind === 2) return reader.uint32();
  throw malformed('its length is not written');
}

type Subpackets = ReadonlyMap<number, Buffer>;

function subpackets(bytes: Buffer): Subpackets {
  const found = new Map<number, Buffer>();
  const reader = new Bytes(bytes);
  while (!reader.done) {
    const first = reader.byte();
    const length = first < 192 ? first : first < 255 ? ((first - 192) << 8) + reader.byte() + 192 : reader.uint32();
    if (length === 0) throw malformed('a part of it is empty');
    const kind = reader.byte();
    const type = kind & 0x7f;
    const content = reader.take(length - 1);
    // What is critical and not understood may restrict what the signature means.
    if ((kind & 0x80) !== 0 && !UNDERSTOOD.has(type)) {
      throw malformed(`a part of it, of kind ${type}, must be understood and is not`);
    }
    if (found.has(type) && type !== NOTATION) throw malformed(`a part of it, of kind ${type}, is there twice`);
    found.set(type, content);
  }
  return found;
}

function value(parts: Subpackets, type: number, length: number): Buffer | undefined {
  const content = parts.get(type);
  if (content && content.length !== length) throw malformed(`a part of it, of kind ${type}, has no right length`);
  return content;
}

function issuerFingerprint(parts: Subpackets): Buffer | undefined {
  const content = value(parts, SUBPACKET.issuerFingerprint, 21);
  if (content && content[0] !== 4) throw malformed('its key is of another version than 4');
  return content?.subarray(1);
}

class Bytes {
  #at = 0;

  constructor(private readonly bytes: Buffer) {}

  get done(): boolean {
    return this.#at === this.bytes.length;
  }

  get offset(): number {
    return this.#at;
  }

  byte(): number {
    return this.take(1)[0];
  }

  uint16(): number {
    return this.take(2).readUInt16BE();
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  rest(): Buffer {
    return this.take(this.bytes.length - this.#at);
  }

  take(length: number): Buffer {
    if (length > this.bytes.length - this.#at) throw malformed('it is cut off');
    const taken = this.bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }
}
