import type { Builtin, BuiltinContext } from './builtins/builtin.js';
import { BuiltinError, PolicyAbort } from './builtins/builtin.js';
import { RegoNumber, RegoObject, RegoSet, toText, type RegoValue } from './values.js';

/** OPA's Wasm ABI 1.x, the part that is used: https://www.openpolicyagent.org/docs/wasm */
interface Exports {
  readonly builtins: () => number;
  readonly entrypoints: () => number;
  readonly eval: (context: number) => number;
  readonly opa_eval_ctx_get_result: (context: number) => number;
  readonly opa_eval_ctx_new: () => number;
  readonly opa_eval_ctx_set_data: (context: number, value: number) => void;
  readonly opa_eval_ctx_set_entrypoint: (context: number, id: number) => void;
  readonly opa_eval_ctx_set_input: (context: number, value: number) => void;
  readonly opa_heap_ptr_get: () => number;
  readonly opa_heap_ptr_set: (address: number) => void;
  readonly opa_json_dump: (value: number) => number;
  readonly opa_malloc: (size: number) => number;
  readonly opa_value_parse: (text: number, length: number) => number;
}

export interface HostOptions {
  /** The builtin of a name, or undefined if there is none. */
  readonly builtin: (name: string) => Builtin | undefined;
  /** 64 KiB each. Rego's Wasm frees nothing while it evaluates, so this is fuel as well as a cap. */
  readonly maxPages: number;
  /** JSON text of the data document. */
  readonly data: string;
}

const INITIAL_PAGES = 16;
/** Resetting the heap also empties the cache of compiled patterns, so it is not done each time … */
const EVALUATIONS_PER_HEAP = 64;
/** … unless a good part of the memory is used. */
const HEAP_SHARE = 4;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/**
 * One instance of a compiled policy. Input goes in as text and is parsed by the guest; results are read out of guest memory with
 * their sets as sets. Throws PolicyAbort; the instance is fit for the next evaluation after any throw.
 */
export class PolicyHost {
  readonly entrypoints: Readonly<Record<string, number>>;
  private readonly memory: WebAssembly.Memory;
  private readonly guest: Exports;
  private readonly builtins: Builtin[] = [];
  private readonly names: string[] = [];
  private bytes: Uint8Array;
  private view: DataView;
  private readonly data: number;
  private readonly base: number;
  private context: BuiltinContext = { now: 0n };
  private used = 0;

  constructor(
    module: WebAssembly.Module,
    private readonly options: HostOptions,
  ) {
    this.memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: options.maxPages });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    const call = (id: number, _context: number, ...args: number[]) => this.call(id, args);
    const env = {
      memory: this.memory,
      opa_abort: (address: number) => {
        throw new PolicyAbort(this.text(address));
      },
      opa_println: () => undefined,
      opa_builtin0: call,
      opa_builtin1: call,
      opa_builtin2: call,
      opa_builtin3: call,
      opa_builtin4: call,
    };
    this.guest = new WebAssembly.Instance(module, { env }).exports as unknown as Exports;
    for (const [name, id] of Object.entries(this.dump(this.guest.builtins()))) {
      this.names[id] = name;
      const builtin = options.builtin(name);
      if (builtin) this.builtins[id] = builtin;
    }
    this.entrypoints = this.dump(this.guest.entrypoints());
    this.data = this.parse(options.data);
    this.base = this.guest.opa_heap_ptr_get();
  }

  /** Bytes this instance holds for good. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }

  /** The entry point's value, or undefined. `input` is JSON text. */
  evaluate(entrypoint: number, input: string, context: BuiltinContext): RegoValue | undefined {
    if (
      this.used >= EVALUATIONS_PER_HEAP ||
      this.guest.opa_heap_ptr_get() - this.base > (this.options.maxPages * 65_536) / HEAP_SHARE
    ) {
      this.reset();
    }
    this.context = context;
    const fresh = this.used++ === 0;
    try {
      return this.run(entrypoint, input);
    } catch (error) {
      this.reset();
      // The limit must not depend on what ran before: the second try has the whole memory.
      if (fresh || !isMemory(error)) throw error;
      this.used++;
      try {
        return this.run(entrypoint, input);
      } catch (again) {
        this.reset();
        throw again;
      }
    }
  }

  private run(entrypoint: number, input: string): RegoValue | undefined {
    const value = this.parse(input);
    const context = this.guest.opa_eval_ctx_new();
    this.guest.opa_eval_ctx_set_input(context, value);
    this.guest.opa_eval_ctx_set_data(context, this.data);
    this.guest.opa_eval_ctx_set_entrypoint(context, entrypoint);
    const code = this.guest.eval(context);
    if (code !== 0) throw new PolicyAbort(`evaluation ended with code ${code}`);
    const set = this.decode(this.guest.opa_eval_ctx_get_result(context));
    const first = (set instanceof RegoSet ? set.items : (set as RegoValue[]))[0] as { result?: RegoValue } | undefined;
    return first?.result;
  }

  /** All bindings of the entry point's result set: what OPA's own conformance cases compare. */
  bindings(input: string | undefined, context: BuiltinContext): readonly RegoValue[] {
    this.reset();
    this.context = context;
    const evaluation = this.guest.opa_eval_ctx_new();
    if (input !== undefined) this.guest.opa_eval_ctx_set_input(evaluation, this.parse(input));
    this.guest.opa_eval_ctx_set_data(evaluation, this.data);
    this.guest.opa_eval_ctx_set_entrypoint(evaluation, 0);
    this.guest.eval(evaluation);
    const set = this.decode(this.guest.opa_eval_ctx_get_result(evaluation));
    return set instanceof RegoSet ? set.items : (set as readonly RegoValue[]);
  }

  private reset(): void {
    this.guest.opa_heap_ptr_set(this.base);
    this.used = 0;
  }

  private call(id: number, args: readonly number[]): number {
    const builtin = this.builtins[id];
    if (!builtin) throw new PolicyAbort(`the builtin ${this.names[id]} is not available`);
    let result: RegoValue | undefined;
    try {
      result = builtin(this.context, ...args.map((address) => this.decode(address)));
    } catch (error) {
      if (error instanceof BuiltinError) return 0; // as in OPA: the expression is undefined
      throw error;
    }
    return result === undefined ? 0 : this.encode(result);
  }

  private refresh(): void {
    if (this.bytes.buffer === this.memory.buffer) return;
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
  }

  private write(text: string): { address: number; length: number } {
    const bytes = encoder.encode(text);
    const address = this.guest.opa_malloc(bytes.length || 1);
    this.refresh();
    this.bytes.set(bytes, address);
    return { address, length: bytes.length };
  }

  private parse(text: string): number {
    const { address, length } = this.write(text);
    const value = this.guest.opa_value_parse(address, length);
    if (value === 0) throw new PolicyAbort('the guest could not read a value');
    return value;
  }

  private encode(value: RegoValue): number {
    return this.parse(toText(value));
  }

  private dump(value: number): Record<string, number> {
    return JSON.parse(this.text(this.guest.opa_json_dump(value))) as Record<string, number>;
  }

  /** A C string. */
  private text(address: number): string {
    this.refresh();
    return decoder.decode(this.bytes.subarray(address, this.bytes.indexOf(0, address)));
  }

  private decode(address: number): RegoValue {
    this.refresh();
    return this.value(address);
  }

  /** Layout of opa_value in OPA's value.h. Values are not aligned, hence the DataView. */
  private value(at: number): RegoValue {
    const view = this.view;
    switch (this.bytes[at]) {
      case 1:
        return null;
      case 2:
      case 9: // an interned boolean
        return this.bytes[at + 1] !== 0;
      case 3:
        return this.number(at);
      case 4:
      case 8: // an interned string
        return this.string(view.getUint32(at + 8, true), view.getUint32(at + 4, true));
      case 5:
        return this.array(view.getUint32(at + 4, true), view.getUint32(at + 8, true));
      case 6:
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
    return decoder.decode(this.bytes.subarray(at, at + length));
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

/** What the guest says when it may not grow, and what V8 says when its stack ends. */
export function isMemory(error: unknown): boolean {
  return (error instanceof PolicyAbort && /malloc|memory/i.test(error.message)) || error instanceof RangeError;
}
