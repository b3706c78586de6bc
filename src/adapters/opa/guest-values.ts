import { checkCharacters, PolicyAbort } from './builtins/builtin.js';
import { RegoNumber, RegoObject, RegoSet, toText, type RegoValue } from './values.js';

/** What reading and writing values needs of the guest. */
export interface ValueExports {
  readonly opa_malloc: (size: number) => number;
  readonly opa_value_parse: (text: number, length: number) => number;
}

/** A string's type, and how long what describes it is. */
const STRING = 4;
const STRING_HEAD = 12;
const NULL = 1;
const ARRAY = 5;
const OBJECT = 6;

/**
 * Roughly the bytes that may be read out of guest memory at once, which holds 128 MiB: here a value takes more room, and V8 ends the whole
 * process where one allocation goes far past a thread's limit.
 */
const MAX_WEIGHT = 32 * 1024 * 1024;
const VALUE_WEIGHT = 24;

const decoder = new TextDecoder();

/** Values in guest memory, by address. The layout is that of OPA's value.h; they are not aligned, hence the DataView. */
export class GuestValues {
  /** Set once the instance is there. */
  guest!: ValueExports;
  private bytes: Buffer;
  private view: DataView;
  private weight = 0;

  constructor(private readonly memory: WebAssembly.Memory) {
    this.bytes = Buffer.from(memory.buffer);
    this.view = new DataView(memory.buffer);
  }

  /** A C string. */
  text(address: number): string {
    this.refresh();
    return decoder.decode(this.bytes.subarray(address, this.bytes.indexOf(0, address)));
  }

  decode(address: number): RegoValue {
    return this.decodeAll([address])[0];
  }

  /** Throws PolicyAbort for what is too large together. */
  decodeAll(addresses: readonly number[]): RegoValue[] {
    this.refresh();
    this.weight = 0;
    return addresses.map((address) => this.value(address));
  }

  encode(value: RegoValue): number {
    if (typeof value === 'string') return this.encodeString(value);
    const text = toText(value);
    checkCharacters(text.length);
    return this.parse(Buffer.from(text));
  }

  /** A value out of its text, which may come in parts so that nobody has to join them. */
  parse(...parts: readonly Uint8Array[]): number {
    let length = 0;
    for (const part of parts) length += part.length;
    const address = this.guest.opa_malloc(length || 1);
    this.refresh();
    let at = address;
    for (const part of parts) {
      this.bytes.set(part, at);
      at += part.length;
    }
    const value = this.guest.opa_value_parse(address, length);
    if (value === 0) throw new PolicyAbort('the guest could not read a value');
    this.refresh();
    return value;
  }

  /** Where an object keeps the addresses of the values of these keys; undefined for one it lacks, or if it is no object. */
  slots(object: number, keys: readonly string[]): (number | undefined)[] {
    const found: (number | undefined)[] = keys.map(() => undefined);
    if (this.bytes[object] !== OBJECT) return found;
    const buckets = this.view.getUint32(object + 4, true);
    const count = this.view.getUint32(object + 8, true);
    for (let i = 0; i < count; i++) {
      for (let at = this.view.getUint32(buckets + 4 * i, true); at; at = this.view.getUint32(at + 8, true)) {
        const key = keys.indexOf(this.value(this.view.getUint32(at, true)) as string);
        if (key >= 0) found[key] = at + 4;
      }
    }
    return found;
  }

  /** Where an array keeps the addresses of its elements; undefined if it is none. */
  elements(array: number): number[] | undefined {
    if (this.bytes[array] !== ARRAY) return undefined;
    const element = this.view.getUint32(array + 4, true);
    return Array.from({ length: this.view.getUint32(array + 8, true) }, (_, i) => element + 8 * i + 4);
  }

  isNull(address: number): boolean {
    return address === 0 || this.bytes[address] === NULL;
  }

  /** The address in a slot. */
  addressIn(slot: number): number {
    this.refresh();
    return this.view.getUint32(slot, true);
  }

  point(slot: number, address: number): void {
    this.refresh();
    this.view.setUint32(slot, address, true);
  }

  private refresh(): void {
    if (this.bytes.buffer === this.memory.buffer) return;
    this.bytes = Buffer.from(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
  }

  /** An opa_string_t that owns no memory but its own, its bytes behind it: what most builtins give needs no parser. */
  private encodeString(text: string): number {
    checkCharacters(text.length);
    const length = Buffer.byteLength(text);
    const at = this.guest.opa_malloc(STRING_HEAD + length + 1);
    this.refresh();
    this.bytes[at] = STRING;
    this.bytes[at + 1] = 0;
    this.view.setUint32(at + 4, length, true);
    this.view.setUint32(at + 8, at + STRING_HEAD, true);
    this.bytes.write(text, at + STRING_HEAD);
    this.bytes[at + STRING_HEAD + length] = 0;
    return at;
  }

  private value(at: number): RegoValue {
    this.weigh(VALUE_WEIGHT);
    const view = this.view;
    switch (this.bytes[at]) {
      case NULL:
        return null;
      case 2:
      case 9: // an interned boolean
        return this.bytes[at + 1] !== 0;
      case 3:
        return this.number(at);
      case STRING:
      case 8: // an interned string
        return this.string(view.getUint32(at + 8, true), view.getUint32(at + 4, true));
      case ARRAY:
        return this.array(view.getUint32(at + 4, true), view.getUint32(at + 8, true));
      case OBJECT:
        return this.object(view.getUint32(at + 4, true), view.getUint32(at + 8, true));
      case 7:
        return this.set(view.getUint32(at + 4, true), view.getUint32(at + 8, true));
    }
    throw new PolicyAbort(`a value of unknown type ${this.bytes[at]}`);
  }

  private number(at: number): RegoValue {
    if (this.bytes[at + 1] === 1) {
      const exact = this.view.getBigInt64(at + 8, true);
      const double = Number(exact);
      return Number.isSafeInteger(double) ? double : exact;
    }
    const text = this.string(this.view.getUint32(at + 8, true), this.view.getUint32(at + 12, true)).replace(
      /^(-?)\./,
      '$10.',
    );
    if (!/^-?\d+$/.test(text)) return new RegoNumber(text);
    const double = Number(text);
    return Number.isSafeInteger(double) ? double : BigInt(text);
  }

  private string(at: number, length: number): string {
    if (length < 24) {
      let text = '';
      let i = 0;
      for (; i < length; i++) {
        const code = this.bytes[at + i];
        if (code > 127) break;
        text += String.fromCharCode(code);
      }
      if (i === length) return text;
    }
    this.weigh(length);
    return decoder.decode(this.bytes.subarray(at, at + length));
  }

  private weigh(more: number): void {
    this.weight += more;
    if (this.weight > MAX_WEIGHT) throw new PolicyAbort('out of memory: a value is too large to leave the guest');
  }

  private array(element: number, length: number): RegoValue[] {
    const items: RegoValue[] = [];
    for (let i = 0; i < length; i++) items.push(this.value(this.view.getUint32(element + 8 * i + 4, true)));
    return items;
  }

  private object(buckets: number, count: number): RegoValue {
    const entries: (readonly [RegoValue, RegoValue])[] = [];
    let plain = true;
    for (let i = 0; i < count; i++) {
      for (let at = this.view.getUint32(buckets + 4 * i, true); at; at = this.view.getUint32(at + 8, true)) {
        const key = this.value(this.view.getUint32(at, true));
        plain &&= typeof key === 'string';
        entries.push([key, this.value(this.view.getUint32(at + 4, true))]);
      }
    }
    return plain ? Object.fromEntries(entries as (readonly [string, RegoValue])[]) : new RegoObject(entries);
  }

  private set(buckets: number, count: number): RegoSet {
    const items: RegoValue[] = [];
    for (let i = 0; i < count; i++) {
      for (let at = this.view.getUint32(buckets + 4 * i, true); at; at = this.view.getUint32(at + 4, true)) {
        items.push(this.value(this.view.getUint32(at, true)));
      }
    }
    return new RegoSet(items);
  }
}
