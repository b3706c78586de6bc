import { parentPort, workerData } from 'node:worker_threads';
import { CountersignError, toCountersignError } from '../../errors.js';
import type { ConftestCheck } from '../../policy/conftest.js';
import { InputParsers } from '../inputs/program.js';
import { InputReader } from '../inputs/read.js';
import { ConftestEvaluation, type ConftestBundle } from './conftest-evaluation.js';
import type { Failure } from './protocol.js';

/** Small, so that no thread waits long for another's last one. */
const BATCH = 16;
/** Slots of what threads share: the first file that nobody has taken, and whether to go on. */
const [NEXT, STOP] = [0, 1];

export interface ConftestJob {
  readonly bundle: ConftestBundle;
  readonly files: readonly string[];
  /** The format to take every file for. */
  readonly parser?: string;
  /** Two numbers of 32 bits, zero at first. */
  readonly shared: SharedArrayBuffer;
}

/** What one thread found of the files it took. */
export interface ConftestShare {
  /** By namespace, with the file's index. */
  readonly found: readonly (readonly [file: number, checks: readonly ConftestCheck[]])[];
  readonly failure?: Failure & { readonly file: number };
}

/** Takes files until there are none, or one is bad. Every file before a bad one is taken by somebody, so the first bad one is always known. */
export function checkShare({ bundle, files, parser, shared }: ConftestJob, parsers: InputParsers): ConftestShare {
  const slots = new Int32Array(shared);
  const evaluation = new ConftestEvaluation(bundle);
  const reader = new InputReader(parsers);
  const found: [number, readonly ConftestCheck[]][] = [];
  while (Atomics.load(slots, STOP) === 0) {
    const start = Atomics.add(slots, NEXT, BATCH);
    if (start >= files.length) break;
    for (let i = start; i < Math.min(start + BATCH, files.length); i++) {
      try {
        found.push([i, evaluation.check(files[i], reader.read(files[i], parser))]);
      } catch (thrown) {
        Atomics.store(slots, STOP, 1);
        const { code, message, place, remedy } =
          thrown instanceof CountersignError ? thrown : toCountersignError(thrown);
        return { found, failure: { file: i, code, message, place, remedy } };
      }
    }
  }
  return { found };
}

if (parentPort) parentPort.postMessage(checkShare(workerData as ConftestJob, new InputParsers()));
