import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CountersignError } from '../../errors.js';
import { wasi, type WasiOptions } from './wasi.js';

/**
 * A built file, which lies in dist/ under the same folder as the module that names it (`import.meta.url`). Tests run the
 * sources, which have no Wasm and whose workers Node could not load.
 */
export function builtFile(name: string, beside: string): URL {
  const here = new URL(`./${name}`, beside);
  return beside.endsWith('.ts') ? new URL(here.href.replace('/src/adapters/', '/dist/adapters/')) : here;
}

/** Bytes that are free before those of a built file, where `capMemory` needs them: a program of 40 MB is better not copied. */
const HEADROOM = 64;

/** Throws `internal` if it was never built. `what` is the program in words. */
export function readBuilt(name: string, beside: string, what: string): Uint8Array<ArrayBuffer> {
  const file = builtFile(name, beside);
  try {
    const descriptor = openSync(file, 'r');
    try {
      const { size } = fstatSync(descriptor);
      const bytes = new Uint8Array(HEADROOM + size);
      let at = HEADROOM;
      for (let read; at < bytes.length && (read = readSync(descriptor, bytes, at, bytes.length - at, null)) > 0;) at += read; // prettier-ignore
      return bytes.subarray(HEADROOM, at);
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    throw new CountersignError('internal', `${what} was not built`, {
      place: { file: fileURLToPath(file) },
      remedy: 'Run make build',
      cause,
    });
  }
}

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly _initialize: () => void;
  readonly reactor_alloc: (length: number) => number;
  readonly reactor_call: () => number;
  readonly reactor_out: () => number;
}

/**
 * One running instance of a Go program over src/adapters/wasi/reactor. Not for use after it threw: Go's runtime is then gone.
 * `Own` are exports that only this program has.
 */
export class Reactor<Own = unknown> {
  readonly guest: Exports & Own;

  constructor(module: WebAssembly.Module, options: WasiOptions) {
    const { imports, bind } = wasi(options);
    const instance = new WebAssembly.Instance(module, {
      wasi_snapshot_preview1: imports,
      countersign: this.asking(options),
    });
    this.guest = instance.exports as unknown as Exports & Own;
    bind(this.guest.memory);
    this.guest._initialize();
  }

  /** What a program may import to ask its host: the answer's length, then the answer. */
  private asking({ ask }: WasiOptions): WebAssembly.ModuleImports {
    let answer: Uint8Array = new Uint8Array();
    return {
      ask: (at: number, length: number) => {
        answer = ask?.(new Uint8Array(this.guest.memory.buffer.slice(at >>> 0, (at >>> 0) + length))) ?? answer;
        return answer.length;
      },
      take: (at: number) => {
        new Uint8Array(this.guest.memory.buffer).set(answer, at >>> 0);
        answer = new Uint8Array();
      },
    };
  }

  /** A copy of the answer to one request. */
  call(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
    this.write(parts);
    return this.read(this.guest.reactor_call());
  }

  write(parts: readonly Uint8Array[]): void {
    let at = this.guest.reactor_alloc(parts.reduce((sum, part) => sum + part.length, 0)) >>> 0;
    const memory = new Uint8Array(this.guest.memory.buffer);
    for (const part of parts) {
      memory.set(part, at);
      at += part.length;
    }
  }

  read(length: number): Uint8Array<ArrayBuffer> {
    const at = this.guest.reactor_out() >>> 0;
    return new Uint8Array(this.guest.memory.buffer.slice(at, at + length));
  }
}

/**
 * Go's linker leaves the memory without a maximum. This writes one into the memory section (WebAssembly core specification,
 * section 5.5.8), so that a hostile policy ends in an error and not in swapping. The bytes given are gone after it.
 */
export function capMemory(wasm: Uint8Array<ArrayBuffer>, maxPages: number): Uint8Array<ArrayBuffer> {
  let at = 8;
  while (at < wasm.length) {
    const id = wasm[at];
    const [size, body] = readVarint(wasm, at + 1);
    if (id !== 5) {
      at = body + size;
      continue;
    }
    const [count, flagsAt] = readVarint(wasm, body);
    const [initial] = readVarint(wasm, flagsAt + 1);
    if (count !== 1 || wasm[flagsAt] !== 0) return wasm; // capped already
    const section = [1, 1, ...varint(initial), ...varint(Math.max(initial, maxPages))];
    const head = Uint8Array.from([5, ...varint(section.length), ...section]);
    const growth = at + head.length - (body + size);
    if (growth > wasm.byteOffset) {
      const capped = new Uint8Array(wasm.length + growth);
      capped.set(wasm.subarray(0, at));
      capped.set(head, at);
      capped.set(wasm.subarray(body + size), at + head.length);
      return capped;
    }
    // What stands before it, which is little, moves: to the front, or back where Go's linker took more room for its numbers than they need.
    const start = wasm.byteOffset - growth;
    new Uint8Array(wasm.buffer).copyWithin(start, wasm.byteOffset, wasm.byteOffset + at);
    const capped = new Uint8Array(wasm.buffer, start, wasm.length + growth);
    capped.set(head, at);
    return capped;
  }
  return wasm;
}

/** The module of a capped program. V8 has a copy of its own then: these 40 MB are given back at once, not when garbage is collected. */
export function compileOnce(wasm: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  const module = new WebAssembly.Module(wasm);
  wasm.buffer.transfer(0);
  return module;
}

function readVarint(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}
