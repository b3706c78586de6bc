import { builtFile as fileBeside, capMemory, Reactor, readBuilt } from '../wasi/reactor.js';

/** See src/adapters/wasi/reactor.ts. */
export const builtFile = (name: string): URL => fileBeside(name, import.meta.url);

const read = (name: string): Uint8Array<ArrayBuffer> =>
  readBuilt(name, import.meta.url, 'the renderer of Kustomize and Helm');

/** Versions of Kustomize and Helm and the content of our own sources. Throws `internal` if it was never built. */
export function programVersion(): string {
  return Buffer.from(read('renderer.version')).toString().trim();
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
  private readonly reactor: Reactor;

  constructor(module: WebAssembly.Module) {
    // Its clock stands still: what is rendered must not depend on when.
    this.reactor = new Reactor(module, { name: 'renderer', now: () => 0n, environment: ENVIRONMENT });
  }

  /** Text of the answer to the text of a request, both JSON. */
  call(request: string): string {
    return Buffer.from(this.reactor.call(Buffer.from(request)).buffer).toString();
  }
}
