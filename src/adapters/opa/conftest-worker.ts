import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { toCountersignError } from '../../errors.js';
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

/** What files hold, as JSON texts: that of the first of them, which this thread alone judges. */
export type ReadAhead = readonly (readonly Uint8Array[])[];

/** Bytes: what is read too early takes room while the compiler needs it. */
const MOST_AHEAD = 8 * 1024 * 1024;

/** Reads files while something else is being done, as the compiler does on another processor. One that cannot be read is left to its turn. */
export async function readAhead(
  files: readonly string[],
  parsers: InputParsers,
  parser: string | undefined,
  until: Promise<unknown>,
): Promise<ReadAhead> {
  const other = { done: false };
  const finish = () => (other.done = true);
  until.then(finish, finish);
  const reader = new InputReader(parsers);
  const ahead: Uint8Array[][] = [];
  for (let bytes = 0; !other.done && ahead.length < files.length && bytes < MOST_AHEAD;) {
    const file = files[ahead.length];
    if (file === '-') break; // can be read only once
    try {
      const texts = reader.read(file, parser).map((text) => Uint8Array.from(text));
      ahead.push(texts);
      for (const text of texts) bytes += text.length;
    } catch {
      break;
    }
    if (ahead.length % BATCH === 0) await setImmediate();
  }
  return ahead;
}

/** Takes files until there are none, or one is bad. Every file before a bad one is taken by somebody, so the first bad one is always known. */
export function checkShare(
  { bundle, files, parser, shared }: ConftestJob,
  parsers: InputParsers,
  ahead: ReadAhead = [],
): ConftestShare {
  const slots = new Int32Array(shared);
  const evaluation = new ConftestEvaluation(bundle);
  const reader = new InputReader(parsers);
  const found: [number, readonly ConftestCheck[]][] = [];
  let failure: ConftestShare['failure'];
  const check = (file: number, inputs: () => readonly Uint8Array[]): boolean => {
    try {
      found.push([file, evaluation.check(files[file], inputs())]);
      return true;
    } catch (thrown) {
      Atomics.store(slots, STOP, 1);
      const { code, message, place, remedy } = toCountersignError(thrown);
      failure = { file, code, message, place, remedy };
      return false;
    }
  };
  // Nobody else takes these, so no other's bad file ends it.
  for (let i = 0; i < ahead.length; i++) if (!check(i, () => ahead[i])) return { found, failure };
  while (Atomics.load(slots, STOP) === 0) {
    const start = Atomics.add(slots, NEXT, BATCH);
    if (start >= files.length) break;
    for (let i = start; i < Math.min(start + BATCH, files.length); i++)
      if (!check(i, () => reader.read(files[i], parser))) return { found, failure };
  }
  return { found };
}

/** What threads share, when some files are taken already. */
export function sharedFrom(taken: number): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(8);
  new Int32Array(shared)[NEXT] = taken;
  return shared;
}

if (parentPort) parentPort.postMessage(checkShare(workerData as ConftestJob, new InputParsers()));
