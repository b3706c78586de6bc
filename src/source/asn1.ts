import { type AsnType, fromBER } from 'asn1js';
import { CountersignError } from '../errors.js';

/** One element of an ASN.1 structure. Every method throws `signature-malformed` if it is not what is asked for. */
export class Asn1 {
  private constructor(private readonly node: AsnType) {}

  /** BER, as gpgsm writes it; nothing may follow. */
  static parse(bytes: Buffer): Asn1 {
    // A copy: the library keeps views of what it is given.
    const own = Uint8Array.from(bytes);
    const { offset, result } = fromBER(own);
    if (offset < 0 || result.error) throw malformed('it is not ASN.1');
    if (offset !== own.length) throw malformed('it has bytes after its end');
    return new Asn1(result);
  }

  /** As written, its tag and length included. */
  get raw(): Buffer {
    return Buffer.from(this.node.valueBeforeDecodeView);
  }

  /** Number of the context-specific tag, or undefined. */
  get context(): number | undefined {
    const { tagClass, tagNumber } = this.node.idBlock;
    return tagClass === 3 ? tagNumber : undefined;
  }

  private get universal(): number | undefined {
    const { tagClass, tagNumber } = this.node.idBlock;
    return tagClass === 1 ? tagNumber : undefined;
  }

  /** What a sequence, a set or an explicit tag holds. */
  get children(): readonly Asn1[] {
    const { value } = this.node.valueBlock as { value?: unknown };
    if (!this.node.idBlock.isConstructed || !Array.isArray(value)) throw malformed('a part of it is not a list');
    return (value as AsnType[]).map((node) => new Asn1(node));
  }

  get sequence(): readonly Asn1[] {
    if (this.universal !== 16) throw malformed('a part of it is not a sequence');
    return this.children;
  }

  get set(): readonly Asn1[] {
    if (this.universal !== 17) throw malformed('a part of it is not a set');
    return this.children;
  }

  get objectId(): string {
    if (this.universal !== 6) throw malformed('a part of it is not an object identifier');
    return (this.node.valueBlock as unknown as { toString(): string }).toString();
  }

  get isBoolean(): boolean {
    return this.universal === 1;
  }

  get octets(): Buffer {
    if (this.universal !== 4) throw malformed('a part of it is not a string of octets');
    return this.content;
  }

  /** The content of a primitive element, whatever its tag. */
  get content(): Buffer {
    const { valueHexView } = this.node.valueBlock as { valueHexView?: Uint8Array };
    if (this.node.idBlock.isConstructed || !valueHexView) throw malformed('a part of it is in parts');
    return Buffer.from(valueHexView);
  }

  /** Seconds since the epoch, of a GeneralizedTime in UTC as DER writes it; fractions are dropped. */
  get generalizedTime(): number {
    if (this.universal !== 24) throw malformed('a part of it is not a time');
    const [, year, month, day, hour, minute, second] =
      /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?Z$/.exec(this.written.toString('latin1')) ?? [];
    const seconds = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`) / 1000;
    if (!Number.isFinite(seconds)) throw malformed('a time in it is damaged');
    return seconds;
  }

  /** The content's bytes as written, whatever the library made of them. */
  private get written(): Buffer {
    const { raw } = this;
    const length = raw[1] ?? 0;
    return raw.subarray(length < 0x80 ? 2 : 2 + (length & 0x7f));
  }

  /** The bits, and nothing of how many there are. */
  get bits(): Buffer {
    if (this.universal !== 3) throw malformed('a part of it is not a string of bits');
    return this.content;
  }
}

const UNREADABLE = 'the X.509 signature cannot be read: ';

export function malformed(what: string): CountersignError {
  return new CountersignError('signature-malformed', `${UNREADABLE}${what}`);
}

/** What is wrong, for where another sentence already says with what. */
export function whatIsMalformed(thrown: unknown): string {
  return (thrown as Error).message.replace(UNREADABLE, '');
}

/** The element at a place of a list. */
export function at(list: readonly Asn1[], index: number): Asn1 {
  const found = list[index];
  if (!found) throw malformed('it is cut off');
  return found;
}
