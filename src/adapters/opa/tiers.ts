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
