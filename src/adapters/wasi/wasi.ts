import { CountersignError } from '../../errors.js';

/** WASI errno values. */
const EBADF = 8;
const ENOSYS = 52;

export interface WasiOptions {
  /** Wall clock in nanoseconds; the machine's if not given. Builtins get the input's time (invariant 4). */
  readonly now?: () => bigint;
  readonly environment?: Readonly<Record<string, string>>;
  /** The program's name, for those that look. */
  readonly name?: string;
  /** Answers what the program asks while it answers a request; without it every answer is empty. */
  readonly ask?: (question: Uint8Array) => Uint8Array;
  /** What the program writes to its standard output and error: only when it crashes. */
  readonly onWrite?: (text: string) => void;
}

/**
 * WASI preview 1 with no files, no network, no arguments but its name: a program in it can compute and tell the time. Random numbers are
 * a fixed sequence, for hash seeds only.
 */
export function wasi(options: WasiOptions = {}): {
  readonly imports: WebAssembly.ModuleImports;
  bind: (memory: WebAssembly.Memory) => void;
} {
  let memory: WebAssembly.Memory;
  let seed = 0x2545f491;
  const view = () => new DataView(memory.buffer);
  const started = process.hrtime.bigint();
  const elapsed = () => process.hrtime.bigint() - started + 1n;
  const environment = Object.entries(options.environment ?? {}).map(([key, value]) => Buffer.from(`${key}=${value}\0`));

  const name = Buffer.from(options.name === undefined ? '' : `${options.name}\0`);

  const known: Record<string, (...args: never[]) => number> = {
    args_get: (pointers: number, text: number) => {
      if (name.length === 0) return 0;
      view().setUint32(pointers, text, true);
      new Uint8Array(memory.buffer).set(name, text);
      return 0;
    },
    args_sizes_get: (count: number, size: number) => {
      view().setUint32(count, name.length > 0 ? 1 : 0, true);
      view().setUint32(size, name.length, true);
      return 0;
    },
    environ_sizes_get: (count: number, size: number) => {
      view().setUint32(count, environment.length, true);
      view().setUint32(size, environment.reduce((sum, entry) => sum + entry.length, 0), true); // prettier-ignore
      return 0;
    },
    environ_get: (pointers: number, text: number) => {
      for (const entry of environment) {
        view().setUint32(pointers, text, true);
        new Uint8Array(memory.buffer).set(entry, text);
        pointers += 4;
        text += entry.length;
      }
      return 0;
    },
    clock_res_get: (_clock: number, out: number) => {
      view().setBigUint64(out, 1n, true);
      return 0;
    },
    clock_time_get: (clock: number, _precision: bigint, out: number) => {
      const wall = options.now?.() ?? BigInt(Date.now()) * 1_000_000n;
      view().setBigUint64(out, clock === 0 ? wall : elapsed(), true);
      return 0;
    },
    random_get: (out: number, length: number) => {
      const bytes = new Uint8Array(memory.buffer, out, length);
      for (let i = 0; i < length; i++) {
        seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
        bytes[i] = seed >>> 24;
      }
      return 0;
    },
    fd_write: (_fd: number, vectors: number, count: number, out: number) => {
      let total = 0;
      for (let i = 0; i < count; i++) {
        const at = view().getUint32(vectors + 8 * i, true);
        const length = view().getUint32(vectors + 8 * i + 4, true);
        options.onWrite?.(Buffer.from(memory.buffer, at, length).toString());
        total += length;
      }
      view().setUint32(out, total, true);
      return 0;
    },
    fd_fdstat_get: (fd: number, out: number) => {
      if (fd > 2) return EBADF;
      new Uint8Array(memory.buffer, out, 24).fill(0);
      view().setUint8(out, 2); // a character device
      return 0;
    },
    fd_prestat_get: () => EBADF, // Go asks for preopened folders until it hears this
    fd_prestat_dir_name: () => EBADF,
    sched_yield: () => 0,
    proc_exit: (code: number) => {
      throw new CountersignError('internal', `${options.name ?? 'the Rego compiler'} ended with code ${code}`);
    },
    poll_oneoff: (subscriptions: number, events: number, count: number, out: number) => {
      const clock = earliest(view(), subscriptions, count, elapsed());
      if (clock && clock.wait > 0n) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(clock.wait) / 1e6);
      }
      new Uint8Array(memory.buffer, events, 32).fill(0);
      if (clock) view().setBigUint64(events, clock.userdata, true);
      view().setUint32(out, clock ? 1 : 0, true);
      return 0;
    },
  };
  const imports = new Proxy(known, { get: (target, name) => target[name as string] ?? (() => ENOSYS) });
  return { imports: imports, bind: (bound) => (memory = bound) };
}

/** The clock subscription that fires first, and how long it is until then (nanoseconds). */
function earliest(
  view: DataView,
  at: number,
  count: number,
  now: bigint,
): { wait: bigint; userdata: bigint } | undefined {
  let first: { wait: bigint; userdata: bigint } | undefined;
  for (let i = 0; i < count; i++, at += 48) {
    if (view.getUint8(at + 8) !== 0) continue;
    const timeout = view.getBigUint64(at + 24, true);
    const absolute = (view.getUint16(at + 40, true) & 1) === 1;
    const wait = absolute ? timeout - now : timeout;
    if (!first || wait < first.wait) first = { wait, userdata: view.getBigUint64(at, true) };
  }
  return first;
}
