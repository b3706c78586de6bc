import { CountersignError } from '../errors.js';

/** Reads the SSH wire encoding (RFC 4251, section 5). Throws `signature-malformed` at the first byte that is not there. */
export class WireReader {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  get offset(): number {
    return this.at;
  }

  byte(): number {
    return this.take(1)[0];
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  uint64(): bigint {
    return this.take(8).readBigUInt64BE();
  }

  string(): Buffer {
    return this.take(this.uint32());
  }

  text(): string {
    return this.string().toString('utf8');
  }

  /** A positive multiple-precision integer, without the leading zero that keeps it positive. */
  positiveInteger(): Buffer {
    const bytes = this.string();
    if (bytes.length === 0 || bytes[0] >= 0x80) throw malformed('a number in it is not positive');
    return bytes[0] === 0 ? bytes.subarray(1) : bytes;
  }

  /** Anything left over would be bytes that nobody looked at. */
  end(what: string): void {
    if (!this.done) throw malformed(`${what} has bytes after its end`);
  }

  private take(length: number): Buffer {
    if (length > this.bytes.length - this.at) throw malformed('it is cut off');
    const bytes = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return bytes;
  }
}

export function wireString(value: Buffer | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Strict: base64 of exactly one spelling, or undefined. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '') ? bytes : undefined;
}

export function malformed(what: string): CountersignError {
  return new CountersignError('signature-malformed', `the SSH signature or key cannot be read: ${what}`);
}
