import { createHash, createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { CountersignError } from '../errors.js';
import { malformed } from './asn1.js';
import type { Certificate } from './x509-certificate.js';

/** The unsigned attribute in which gitsign keeps Rekor's entry: an octet string with a protobuf TransparencyLogEntry. */
export const REKOR_ENTRY = '1.3.6.1.4.1.57264.3.1';

/** A transparency log whose word for when it took up an entry counts. */
export interface TimeLog {
  /** SHA-256 of its key in DER, hexadecimal. */
  readonly id: string;
  readonly key: KeyObject;
}

/** What a signature log entry is of; the entry leaves it out and it is made again from the signature. */
export interface LoggedSignature {
  readonly certificate: Certificate;
  /** Exactly what was signed. */
  readonly signed: Buffer;
  readonly signature: Buffer;
}

/**
 * When a trusted log says that it took up this signature, in seconds since the epoch: its signed entry timestamp (the inclusion
 * promise) over the entry's canonical JSON. That the log keeps its promise is for its witnesses and monitors to see. Throws
 * `signature-malformed` with what is wrong.
 */
export function loggedAt(entry: Buffer, logged: LoggedSignature, logs: readonly TimeLog[]): number {
  const fields = readMessage(entry);
  const logId = messageField(fields, 2, 1).toString('hex');
  const log = logs.find(({ id }) => id === logId);
  if (!log) throw malformed('its log entry is by none of the logs in .countersign/logs');
  const integratedTime = numberField(fields, 4);
  const payload =
    `{"body":"${Buffer.from(entryBody(logged)).toString('base64')}","integratedTime":${integratedTime},` +
    `"logID":"${logId}","logIndex":${numberField(fields, 1)}}`;
  const promise = messageField(fields, 5, 1);
  const algorithm = log.key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  if (!verify(algorithm, Buffer.from(payload), log.key, promise))
    throw malformed('its log entry is of another signature');
  return Number(integratedTime);
}

/** Rekor's `hashedrekord` 0.0.1, as RFC 8785 writes it: the keys stand in their order. */
function entryBody({ certificate, signed, signature }: LoggedSignature): string {
  const digest = createHash('sha256').update(signed).digest('hex');
  const pem = Buffer.from(certificate.certificate.toString()).toString('base64');
  return (
    `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"${digest}"}},` +
    `"signature":{"content":"${signature.toString('base64')}","publicKey":{"content":"${pem}"}}}}`
  );
}

/** Reads a log's public key. Throws `signers-malformed` with the file. */
export function readLogKeys(content: Buffer, file: string): readonly TimeLog[] {
  const blocks = content.toString('latin1').match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g) ?? [];
  try {
    const keys = blocks.map((block) => createPublicKey(block));
    if (keys.length > 0 && keys.every((key) => ['ec', 'ed25519'].includes(key.asymmetricKeyType ?? '')))
      return keys.map((key) => ({ id: hash('sha256', key.export({ type: 'spki', format: 'der' })), key }));
  } catch {
    // Said below.
  }
  throw new CountersignError('signers-malformed', 'there is no public key of a transparency log in it', {
    place: { file },
    remedy: 'Put its key there as PEM (BEGIN PUBLIC KEY), on a curve or Ed25519',
  });
}

type Fields = ReadonlyMap<number, bigint | Buffer>;

/** A protobuf message's fields; of one that is there twice, the last. Throws `signature-malformed`. */
function readMessage(bytes: Buffer): Fields {
  const fields = new Map<number, bigint | Buffer>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw malformed('its log entry is cut off');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw malformed('its log entry is damaged');
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = Number(tag & 7n);
    if (wire === 0) fields.set(Number(tag >> 3n), varint());
    else if (wire === 2) {
      const length = Number(varint());
      if (length > bytes.length - at) throw malformed('its log entry is cut off');
      fields.set(Number(tag >> 3n), bytes.subarray(at, (at += length)));
    } else throw malformed('its log entry is damaged');
  }
  return fields;
}

function numberField(fields: Fields, field: number): bigint {
  const value = fields.get(field) ?? 0n;
  if (typeof value !== 'bigint' || value >= 2n ** 53n) throw malformed('its log entry is damaged');
  return value;
}

/** A field of a message that is itself a field. */
function messageField(fields: Fields, field: number, inner: number): Buffer {
  const message = fields.get(field);
  const value = Buffer.isBuffer(message) ? readMessage(message).get(inner) : undefined;
  if (!Buffer.isBuffer(value)) throw malformed('its log entry holds no promise of the log');
  return value;
}
