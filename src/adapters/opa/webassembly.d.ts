/** The part of the WebAssembly JavaScript interface that is used; TypeScript has it only together with all of the browser's. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array<ArrayBuffer>);
  }
  class Instance {
    constructor(module: Module, imports: Record<string, ModuleImports>);
    readonly exports: Record<string, unknown>;
  }
  class Memory {
    constructor(limits: { readonly initial: number; readonly maximum: number });
    readonly buffer: ArrayBuffer;
  }
  class RuntimeError extends Error {}
  type ModuleImports = Record<string, unknown>;
  function compile(bytes: Uint8Array<ArrayBuffer>): Promise<Module>;
}
