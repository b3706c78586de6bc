import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CountersignError } from '../../errors.js';
import { capMemory } from '../wasi/reactor.js';
import { wasi } from '../wasi/wasi.js';

/** Built files lie in dist/, beside this one when it runs from there; tests run the sources. */
export function builtFile(name: string): URL {
  const here = new URL(`./${name}`, import.meta.url);
  return import.meta.url.endsWith('.ts') ? new URL(here.href.replace('/src/adapters/', '/dist/adapters/')) : here;
}

/** Versions of Kustomize and Helm and the content of our own sources. Throws `internal` if it was never built. */
export function programVersion(): string {
  return readBuilt('renderer.version').toString().trim();
}

function readBuilt(name: string): Buffer<ArrayBuffer> {
  const file = builtFile(name);
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new CountersignError('internal', 'the renderer of Kustomize and Helm was not built', {
      place: { file: fileURLToPath(file) },
      remedy: 'Run make build',
      cause,
    });
  }
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
    const compile = async () => WebAssembly.compile(capMemory(new Uint8Array(readBuilt('renderer.wasm')), maxPages));
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
