import { checkCharacters } from './builtins/builtin.js';
import { builtFile as besideModule, capMemory, compileOnce, Reactor, readBuilt as readFile } from '../wasi/reactor.js';
import { withoutValidating } from './tiers.js';
import type { WasiOptions } from '../wasi/wasi.js';

export const builtFile = (name: string): URL => besideModule(name, import.meta.url);

/** OPA's version and the content of our own sources: `opa-1.22.0+0123456789abcdef`. Throws `internal` if it was never built. */
export function programVersion(): string {
  return Buffer.from(readBuilt('rego.version')).toString().trim();
}

/** Compiles the 41 MB Go program with its memory capped: 0.05 s. */
export function loadProgram(maxPages: number): WebAssembly.Module {
  return withoutValidating(() => compileOnce(capMemory(readBuilt('rego.wasm'), maxPages)));
}

function readBuilt(name: string): Uint8Array<ArrayBuffer> {
  return readFile(name, import.meta.url, 'the Rego compiler');
}

interface RegoExports {
  readonly rego_builtin: (nameLength: number, isRego: number) => number;
  readonly rego_reset: (now: bigint) => void;
}

/** One running instance of the Go program in src/adapters/opa/compiler. Not for use after it threw: Go's runtime is then gone. */
export class RegoProgram {
  private readonly reactor: Reactor<RegoExports>;

  constructor(module: WebAssembly.Module, options: WasiOptions = {}) {
    this.reactor = new Reactor(module, {
      environment: { GOGC: '400' }, // a quarter faster, for memory that is given back soon
      ...options,
    });
  }

  /** The answer's JSON, and the Wasm that came with it if any. */
  call(request: object): { readonly json: unknown; readonly wasm: Uint8Array } {
    const answer = this.reactor.call(Buffer.from(JSON.stringify(request)));
    const length = new DataView(answer.buffer).getUint32(0, true);
    return { json: JSON.parse(Buffer.from(answer.buffer, 4, length).toString()), wasm: answer.slice(4 + length) };
  }

  /** Starts a new evaluation for `builtin`. */
  reset(now: bigint): void {
    this.reactor.guest.rego_reset(now);
  }

  /** Arguments as the text of an array; the answer as builtin.go says. */
  builtin(name: string, args: string, isRego: boolean): string {
    const nameBytes = Buffer.from(name);
    this.reactor.write([nameBytes, Buffer.from(args)]);
    const length = this.reactor.guest.rego_builtin(nameBytes.length, isRego ? 1 : 0);
    checkCharacters(length);
    return Buffer.from(this.reactor.read(length)).toString();
  }
}
