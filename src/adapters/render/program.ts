import { builtFile as fileBeside, capMemory, readBuilt } from '../wasi/reactor.js';
import { wasi } from '../wasi/wasi.js';

/** See src/adapters/wasi/reactor.ts. */
export const builtFile = (name: string): URL => fileBeside(name, import.meta.url);

const read = (name: string): Uint8Array<ArrayBuffer> =>
  readBuilt(name, import.meta.url, 'the renderer of Kustomize and Helm');

/** Versions of Kustomize and Helm and the content of our own sources. Throws `internal` if it was never built. */
export function programVersion(): string {
  return Buffer.from(read('renderer.version')).toString().trim();
}

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly _initialize: () => void;
  readonly renderer_alloc: (length: number) => number;
  readonly renderer_call: () => number;
  readonly renderer_out: () => number;
}

const modules = new Map<number, Promise<WebAssembly.Module>>();

/**
 * The compiled program, once in a process: threads share it with what V8 has learnt about it, so that one which takes the place of another
 * starts at once. `maxPages` bounds its memory, 64 KiB each.
 */
export function renderModule(maxPages: number): Promise<WebAssembly.Module> {
  let module = modules.get(maxPages);
  if (!module) {
    // In the background: compiling takes a second.
    const compile = async () => WebAssembly.compile(capMemory(read('renderer.wasm'), maxPages));
    modules.set(maxPages, (module = compile()));
    module.catch(() => modules.delete(maxPages));
  }
  return module;
}

/** Collecting only when this much is used costs a fifth less time; more is taken where a folder needs it, up to the pages' limit. */
const ENVIRONMENT = { GOGC: 'off', GOMEMLIMIT: '192MiB' };

/** One running instance of the Go program in src/adapters/render/renderer. Not for use after it threw: Go's runtime is then gone. */
export class RenderProgram {
  private readonly guest: Exports;

  constructor(module: WebAssembly.Module) {
    // Its clock stands still: what is rendered must not depend on when.
    const { imports, bind } = wasi({ name: 'renderer', now: () => 0n, environment: ENVIRONMENT });
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: imports });
    this.guest = instance.exports as unknown as Exports;
    bind(this.guest.memory);
    this.guest._initialize();
  }

  /** Text of the answer to the text of a request, both JSON. */
  call(request: string): string {
    const bytes = Buffer.from(request);
    const at = this.guest.renderer_alloc(bytes.length) >>> 0;
    new Uint8Array(this.guest.memory.buffer).set(bytes, at);
    const length = this.guest.renderer_call();
    const out = this.guest.renderer_out() >>> 0;
    return Buffer.from(this.guest.memory.buffer, out, length).toString();
  }
}
