import { setFlagsFromString } from 'node:v8';

/**
 * Runs something without V8's optimising compiler for Wasm. For a program that runs once and ends, as OPA's compiler does in a command,
 * optimising it takes three times the processor time and a hundred megabytes more than it runs for. Of the whole process, so not for one
 * that evaluates meanwhile; modules compiled afterwards are optimised as ever.
 */
export async function withoutOptimising<T>(work: () => Promise<T>): Promise<T> {
  setFlagsFromString('--no-wasm-dynamic-tiering');
  setFlagsFromString('--no-wasm-tier-up');
  try {
    return await work();
  } finally {
    setFlagsFromString('--wasm-tier-up');
    setFlagsFromString('--wasm-dynamic-tiering');
  }
}

/**
 * Compiles a module whose functions V8 validates when each is first called, and not all beforehand, which takes most of the time: for a program
 * that we built, never for a policy.
 */
export function withoutValidating(compile: () => WebAssembly.Module): WebAssembly.Module {
  setFlagsFromString('--wasm-lazy-validation');
  try {
    return compile();
  } finally {
    setFlagsFromString('--no-wasm-lazy-validation');
  }
}
