import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CountersignError } from '../../errors.js';
import { wasi, type WasiOptions } from './wasi.js';

/**
 * Built files lie in dist/, beside this one when it runs from there. Tests run the sources, which have no Wasm and whose
 * workers Node could not load.
 */
export function builtFile(name: string): URL {
  const here = new URL(`./${name}`, import.meta.url);
  return import.meta.url.endsWith('.ts') ? new URL(here.href.replace('/src/adapters/', '/dist/adapters/')) : here;
}

/** OPA's version and the content of our own sources: `opa-1.22.0+0123456789abcdef`. Throws `internal` if it was never built. */
export function programVersion(): string {
  return Buffer.from(readBuilt('rego.version')).toString().trim();
}

/** Compiles the 41 MB Go program with its memory capped: 0.15 s. */
export function loadProgram(maxPages: number): WebAssembly.Module {
  return new WebAssembly.Module(capMemory(readBuilt('rego.wasm'), maxPages));
}

function readBuilt(name: string): Uint8Array<ArrayBuffer> {
  const file = builtFile(name);
  try {
    return new Uint8Array(readFileSync(file));
  } catch (cause) {
    throw new CountersignError('internal', 'the Rego compiler was not built', {
      place: { file: fileURLToPath(file) },
      remedy: 'Run make build',
      cause,
    });
  }
}

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly _initialize: () => void;
  readonly rego_alloc: (length: number) => number;
  readonly rego_call: () => number;
  readonly rego_out: () => number;
  readonly rego_builtin: (nameLength: number, isRego: number) => number;
  readonly rego_reset: (now: bigint) => void;
}

/** One running instance of the Go program in src/adapters/opa/compiler. Not for use after it threw: Go's runtime is then gone. */
export class RegoProgram {
  private readonly guest: Exports;

  constructor(module: WebAssembly.Module, options: WasiOptions = {}) {
    let said = '';
    const { imports, bind } = wasi({
      environment: { GOGC: '400' }, // a quarter faster, for memory that is given back soon
      onWrite: (text) => (said = (said + text).slice(-2000)),
      ...options,
    });
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: imports });
    this.guest = instance.exports as unknown as Exports;
    bind(this.guest.memory);
    this.guest._initialize();
  }

  /** The answer's JSON, and the Wasm that came with it if any. */
  call(request: object): { readonly json: unknown; readonly wasm: Uint8Array } {
    this.write([Buffer.from(JSON.stringify(request))]);
    const answer = this.read(this.guest.rego_call());
    const length = new DataView(answer.buffer).getUint32(0, true);
    return { json: JSON.parse(Buffer.from(answer.buffer, 4, length).toString()), wasm: answer.slice(4 + length) };
  }

  /** Starts a new evaluation for `builtin`. */
  reset(now: bigint): void {
    this.guest.rego_reset(now);
  }

  /** Arguments as the text of an array; the answer as builtin.go says. */
  builtin(name: string, args: string, isRego: boolean): string {
    const nameBytes = Buffer.from(name);
    this.write([nameBytes, Buffer.from(args)]);
    return Buffer.from(this.read(this.guest.rego_builtin(nameBytes.length, isRego ? 1 : 0))).toString();
  }

  private write(parts: readonly Buffer[]): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    let at = this.guest.rego_alloc(length) >>> 0;
    const memory = new Uint8Array(this.guest.memory.buffer);
    for (const part of parts) {
      memory.set(part, at);
      at += part.length;
    }
  }

  private read(length: number): Uint8Array<ArrayBuffer> {
    const at = this.guest.rego_out() >>> 0;
    return new Uint8Array(this.guest.memory.buffer.slice(at, at + length));
  }
}

/**
 * Go's linker leaves the memory without a maximum. This writes one into the memory section (WebAssembly core specification,
 * section 5.5.8), so that a hostile policy ends in an error and not in swapping.
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
    const capped = new Uint8Array(at + head.length + (wasm.length - body - size));
    capped.set(wasm.subarray(0, at));
    capped.set(head, at);
    capped.set(wasm.subarray(body + size), at + head.length);
    return capped;
  }
  return wasm;
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
