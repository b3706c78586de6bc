import { createHmac } from 'node:crypto';
import { CountersignError } from '../errors.js';
import { canonicalJson, parseStrictJson, setMember } from './canonical.js';
import { escapePointer } from './diff.js';
import { identityKey, identityOf, isJsonObject, type Json, type JsonObject, type KubernetesObject } from './object.js';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * Replaces what must not be read by digests under a key (invariant 10): change can be seen, equal values of one place look
 * equal, and nobody without the key can try out guesses. The identity and the path are part of what is digested, so a value
 * cannot be recognised in another object or under another name.
 */
export class Redactor {
  private readonly hmac: (data: Uint8Array) => Uint8Array;

  /**
   * `key` is the secret, or a function that computes HMAC-SHA-256 under one that stays elsewhere. `extra` are JSON pointers, `*`
   * standing for any one segment, redacted in every object besides the values of Secrets. Throws `keys-invalid` for a key of
   * less than 32 bytes.
   */
  constructor(
    key: Buffer | ((data: Uint8Array) => Uint8Array),
    private readonly keyId: string,
    private readonly extra: readonly string[] = [],
  ) {
    this.hmac = typeof key === 'function' ? key : (data) => createHmac('sha256', key).update(data).digest();
    if (typeof key !== 'function' && key.length < 32) {
      throw new CountersignError('keys-invalid', 'the redaction key is shorter than 32 bytes', {
        remedy: 'Let Countersign make a new one, or give 32 random bytes',
      });
    }
  }

  /** The same object if nothing in it is secret, so that callers can cache by identity. */
  redact(object: KubernetesObject): KubernetesObject {
    const identity = identityKey(identityOf(object));
    return this.inside(object, identity, false) as KubernetesObject;
  }

  private inside(object: JsonObject, identity: string, secretAround: boolean): JsonObject {
    // Any group's `Secret`: several operators have one of their own, and hiding too much does no harm.
    const secret = secretAround || object.kind === 'Secret';
    let result = object;
    if (secret) {
      for (const field of ['data', 'stringData']) {
        if (Object.hasOwn(object, field)) result = { ...result, [field]: this.values(object[field], field, identity) };
      }
    }
    for (const pointer of this.extra) {
      result = this.replace(result, pointer.split('/').slice(1), '', identity) as JsonObject;
    }
    return this.annotation(result, identity, secret);
  }

  private values(values: Json, field: string, identity: string): Json {
    if (!isJsonObject(values)) return values === null ? null : this.digest(identity, '/data', canonicalBytes(values));
    const result: Record<string, Json> = {};
    for (const [key, value] of Object.entries(values)) {
      // One path for both fields: stringData is only another way to write data.
      setMember(result, key, this.digest(identity, `/data/${escapePointer(key)}`, valueBytes(value, field === 'data')));
    }
    return result;
  }

  private annotation(object: JsonObject, identity: string, secret: boolean): JsonObject {
    const metadata = object.metadata;
    if (!isJsonObject(metadata) || !isJsonObject(metadata.annotations)) return object;
    const text = metadata.annotations[LAST_APPLIED];
    if (text === undefined) return object;
    const redacted = this.lastApplied(text, identity, secret);
    if (redacted === text) return object;
    return { ...object, metadata: { ...metadata, annotations: { ...metadata.annotations, [LAST_APPLIED]: redacted } } };
  }

  private lastApplied(text: Json, identity: string, secret: boolean): Json {
    const path = `/metadata/annotations/${escapePointer(LAST_APPLIED)}`;
    if (typeof text !== 'string') return this.digest(identity, path, canonicalBytes(text));
    let inner: Json;
    try {
      inner = parseStrictJson(text);
    } catch (error) {
      // What cannot be read may hold anything.
      if (error instanceof CountersignError) return this.digest(identity, path, tagged('b', Buffer.from(text)));
      throw error;
    }
    if (!isJsonObject(inner)) return this.digest(identity, path, tagged('b', Buffer.from(text)));
    const redacted = this.inside(inner, identity, secret);
    return redacted === inner ? text : canonicalJson(redacted);
  }

  private replace(value: Json, segments: readonly string[], path: string, identity: string): Json {
    const [segment, ...rest] = segments;
    if (segment === undefined) {
      return typeof value === 'string' && value.startsWith(`hmac-sha256:${this.keyId}:`)
        ? value
        : this.digest(identity, path, valueBytes(value, false));
    }
    if (typeof value !== 'object' || value === null) return value;
    const name = segment.replaceAll('~1', '/').replaceAll('~0', '~');
    const go = (key: string, member: Json) =>
      segment === '*' || key === name ? this.replace(member, rest, `${path}/${escapePointer(key)}`, identity) : member;
    if (Array.isArray(value)) {
      const items = value.map((item: Json, i) => go(String(i), item));
      return items.every((item, i) => item === value[i]) ? value : items;
    }
    const result: Record<string, Json> = {};
    let changed = false;
    for (const [key, member] of Object.entries(value as JsonObject)) {
      const next = go(key, member);
      changed ||= next !== member;
      setMember(result, key, next);
    }
    return changed ? result : value;
  }

  private digest(identity: string, path: string, value: Buffer): string {
    // Lengths first, so that no shift of bytes between the parts gives the same digest.
    const parts = [Buffer.from(identity), Buffer.from(path), value].flatMap((part) => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64BE(BigInt(part.length));
      return [length, part];
    });
    return `hmac-sha256:${this.keyId}:${Buffer.from(this.hmac(Buffer.concat(parts))).toString('hex')}`;
  }
}

/** A string stands for bytes (base64 in `data`); anything else, and what is no base64, for its own JSON text. */
function valueBytes(value: Json, base64: boolean): Buffer {
  if (typeof value !== 'string') return canonicalBytes(value);
  if (!base64) return tagged('b', Buffer.from(value));
  const packed = value.replace(/[\r\n]/g, '');
  const bytes = Buffer.from(packed, 'base64');
  return bytes.toString('base64') === packed ? tagged('b', bytes) : canonicalBytes(value);
}

function canonicalBytes(value: Json): Buffer {
  return tagged('j', Buffer.from(canonicalJson(value)));
}

function tagged(tag: 'b' | 'j', bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(tag), bytes]);
}
