import type { Json } from '../cluster/object.js';
import type { Rule } from './decision.js';

/** Rego, data and metadata at one commit (or of one folder), compiled to one Wasm module. */
export interface PolicyBundle {
  /** SHA-256, hex, over compiler version, sources, data and Wasm: what a decision names. */
  readonly digest: string;
  readonly wasm: Uint8Array;
  readonly wasmDigest: string;
  readonly data: Json;
  readonly rules: readonly Rule[];
}

/** What goes into a bundle: Rego sources by path, and the data they read. */
export interface PolicySources {
  readonly files: ReadonlyMap<string, string>;
  readonly data: Json;
}

/** Compiles Rego in a sandbox. Throws `rego-invalid` with the place of the first error (all of them in the message). */
export interface Compiler {
  readonly version: string;
  compile(sources: PolicySources): Promise<PolicyBundle>;
  close(): Promise<void>;
}
