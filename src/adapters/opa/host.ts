import type { Builtin, BuiltinContext } from './builtins/builtin.js';
import { BuiltinError, PolicyAbort } from './builtins/builtin.js';
import { GuestValues, type ValueExports } from './guest-values.js';
import { RegoSet, type RegoValue } from './values.js';

/** OPA's Wasm ABI 1.x, the part that is used: https://www.openpolicyagent.org/docs/wasm */
interface Exports extends ValueExports {
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

const TEXT_OF_ONE = Buffer.from('[0]');
const TEXT_OF_NONE = Buffer.from('[]');

/** What an evaluation sees as its input. */
export type View =
  /** JSON text in parts, so that nobody has to join them. */
  | { readonly parts: readonly Uint8Array[] }
  /** All of the opened input, only one of its changes and no commits, that change itself, or the object after it. */
  | { readonly of: 'all' }
  | { readonly of: 'change' | 'only' | 'after'; readonly index: number };

export interface OpenedInput {
  readonly time: RegoValue;
  /** How many. */
  readonly changes: number;
  /** By index: whether there is an object after that change. */
  readonly after: readonly boolean[];
}

/** A policy input in guest memory, and where to write so that it shows one change instead of all. */
interface Opened extends OpenedInput {
  readonly value: number;
  readonly changesSlot: number;
  readonly commitsSlot: number;
  readonly allChanges: number;
  readonly allCommits: number;
  /** Slots of the changes. */
  readonly elements: readonly number[];
  /** An array of one element and that one's slot, and an array of none. */
  readonly one: number;
  readonly oneSlot: number;
  readonly none: number;
}

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
  private readonly values: GuestValues;
  private input: Uint8Array | undefined;
  private opened: Opened | undefined;
  private readonly data: number;
  private readonly base: number;
  private context: BuiltinContext = { now: 0n };
  private used = 0;

  constructor(
    module: WebAssembly.Module,
    private readonly options: HostOptions,
  ) {
    this.memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: options.maxPages });
    this.values = new GuestValues(this.memory);
    const call = (id: number, _context: number, ...args: number[]) => this.call(id, args);
    const env = {
      memory: this.memory,
      opa_abort: (address: number) => {
        throw abort(this.values.text(address));
      },
      opa_println: () => undefined,
      opa_builtin0: call,
      opa_builtin1: call,
      opa_builtin2: call,
      opa_builtin3: call,
      opa_builtin4: call,
    };
    this.guest = new WebAssembly.Instance(module, { env }).exports as unknown as Exports;
    this.values.guest = this.guest;
    for (const [name, id] of Object.entries(this.dump(this.guest.builtins()))) {
      this.names[id] = name;
      const builtin = options.builtin(name);
      if (builtin) this.builtins[id] = builtin;
    }
    this.entrypoints = this.dump(this.guest.entrypoints());
    this.data = this.values.parse(Buffer.from(options.data));
    this.base = this.guest.opa_heap_ptr_get();
  }

  /** Bytes this instance holds for good. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }

  /**
   * Parses a policy input and keeps it for the views of it, until the next one: parsing costs a third of evaluating an object.
   * Undefined if it has no lists of changes and commits to show in part.
   */
  open(input: Uint8Array): OpenedInput | undefined {
    this.input = input;
    this.opened = undefined;
    return this.attempt(() => {
      this.opened = this.parseInput();
      return this.opened;
    });
  }

  /** The entry point's value, or undefined. */
  evaluate(entrypoint: number, view: View, context: BuiltinContext): RegoValue | undefined {
    this.context = context;
    return this.attempt(() => this.run(entrypoint, this.valueOf(view)));
  }

  private attempt<T>(work: () => T): T {
    if (
      this.used >= EVALUATIONS_PER_HEAP ||
      this.guest.opa_heap_ptr_get() - this.base > (this.options.maxPages * 65_536) / HEAP_SHARE
    ) {
      this.reset();
    }
    const fresh = this.used++ === 0;
    try {
      return work();
    } catch (error) {
      this.reset();
      // The limit must not depend on what ran before: the second try has the whole memory.
      if (fresh || !isMemory(error)) throw error;
      this.used++;
      try {
        return work();
      } catch (again) {
        this.reset();
        throw again;
      }
    }
  }

  private run(entrypoint: number, input: number): RegoValue | undefined {
    const context = this.guest.opa_eval_ctx_new();
    this.guest.opa_eval_ctx_set_input(context, input);
    this.guest.opa_eval_ctx_set_data(context, this.data);
    this.guest.opa_eval_ctx_set_entrypoint(context, entrypoint);
    const code = this.guest.eval(context);
    if (code !== 0) throw new PolicyAbort(`evaluation ended with code ${code}`);
    const set = this.values.decode(this.guest.opa_eval_ctx_get_result(context));
    const first = (set instanceof RegoSet ? set.items : (set as RegoValue[]))[0] as { result?: RegoValue } | undefined;
    return first?.result;
  }

  private parseInput(): Opened | undefined {
    const { values } = this;
    const value = values.parse(this.input!);
    const [timeSlot, changesSlot, commitsSlot] = values.slots(value, ['time', 'changes', 'commits']);
    if (timeSlot === undefined || changesSlot === undefined || commitsSlot === undefined) return undefined;
    const [allChanges, allCommits] = [values.addressIn(changesSlot), values.addressIn(commitsSlot)];
    const elements = values.elements(allChanges);
    if (!elements) return undefined;
    const [one, none] = [values.parse(TEXT_OF_ONE), values.parse(TEXT_OF_NONE)];
    const [oneSlot] = values.elements(one)!;
    return {
      value,
      time: values.decode(values.addressIn(timeSlot)),
      changes: elements.length,
      after: elements.map((element) => !values.isNull(this.afterOf(values.addressIn(element)))),
      changesSlot,
      commitsSlot,
      allChanges,
      allCommits,
      elements,
      one,
      oneSlot,
      none,
    };
  }

  /** The object after a change, 0 if the change says nothing of it. */
  private afterOf(change: number): number {
    const [slot] = this.values.slots(change, ['after']);
    return slot === undefined ? 0 : this.values.addressIn(slot);
  }

  /**
   * The address of what a view shows. Of an opened input that is always the same object: the lists of changes and commits in it
   * are others. Nothing in the guest keeps them from one evaluation to the next.
   */
  private valueOf(view: View): number {
    const { values } = this;
    if ('parts' in view) return values.parse(...view.parts);
    const opened = (this.opened ??= this.parseInput()!); // it was there before the heap was reset
    if (view.of === 'all') {
      values.point(opened.changesSlot, opened.allChanges);
      values.point(opened.commitsSlot, opened.allCommits);
      return opened.value;
    }
    const change = values.addressIn(opened.elements[view.index]);
    if (view.of === 'only') return change;
    if (view.of === 'after') return this.afterOf(change);
    values.point(opened.oneSlot, change);
    values.point(opened.changesSlot, opened.one);
    values.point(opened.commitsSlot, opened.none);
    return opened.value;
  }

  /** All bindings of the entry point's result set: what OPA's own conformance cases compare. */
  bindings(input: string | undefined, context: BuiltinContext): readonly RegoValue[] {
    this.reset();
    this.context = context;
    const evaluation = this.guest.opa_eval_ctx_new();
    if (input !== undefined) this.guest.opa_eval_ctx_set_input(evaluation, this.values.parse(Buffer.from(input)));
    this.guest.opa_eval_ctx_set_data(evaluation, this.data);
    this.guest.opa_eval_ctx_set_entrypoint(evaluation, 0);
    this.guest.eval(evaluation);
    const set = this.values.decode(this.guest.opa_eval_ctx_get_result(evaluation));
    return set instanceof RegoSet ? set.items : (set as readonly RegoValue[]);
  }

  private reset(): void {
    this.guest.opa_heap_ptr_set(this.base);
    this.opened = undefined;
    this.used = 0;
  }

  private call(id: number, args: readonly number[]): number {
    const builtin = this.builtins[id];
    if (!builtin) throw new PolicyAbort(`the builtin ${this.names[id]} is not available`);
    let result: RegoValue | undefined;
    try {
      result = builtin(this.context, ...this.values.decodeAll(args));
    } catch (error) {
      if (error instanceof BuiltinError) return 0; // as in OPA: the expression is undefined
      throw error;
    }
    return result === undefined ? 0 : this.values.encode(result);
  }

  private dump(value: number): Record<string, number> {
    return JSON.parse(this.values.text(this.guest.opa_json_dump(value))) as Record<string, number>;
  }
}

/** Its stack says which rules were being evaluated, however deep inside of OPA's own functions it ended. */
function abort(message: string): PolicyAbort {
  const usual = Error.stackTraceLimit;
  Error.stackTraceLimit = 200;
  try {
    return new PolicyAbort(message);
  } finally {
    Error.stackTraceLimit = usual;
  }
}

/** What the guest says when it may not grow, and what V8 says when its stack ends. */
export function isMemory(error: unknown): boolean {
  return (error instanceof PolicyAbort && /malloc|memory/i.test(error.message)) || error instanceof RangeError;
}
