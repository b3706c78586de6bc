import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { CountersignError } from '../../errors.js';
import type { ConftestCheck } from '../../policy/conftest.js';
import type { InputParsers } from '../inputs/program.js';
import type { ConftestBundle } from './conftest-evaluation.js';
import { checkShare, type ConftestJob, type ConftestShare, type ReadAhead, sharedFrom } from './conftest-worker.js';
import { builtFile } from './program.js';

/** Below this another thread costs more than it brings: 60 ms and 20 MiB. */
const FILES_WORTH_A_THREAD = 500;
const MAX_THREADS = 4;

/** What the rules say of many files, by file and namespace, in the order of the files. Throws what the first bad file throws. */
export async function checkWithThreads(
  bundle: ConftestBundle,
  files: readonly string[],
  parsers: InputParsers,
  parser?: string,
  ahead: ReadAhead = [],
): Promise<readonly (readonly ConftestCheck[])[]> {
  const threads = Math.min(MAX_THREADS, availableParallelism(), Math.ceil(files.length / FILES_WORTH_A_THREAD));
  const job: ConftestJob = { bundle, files, parser, shared: sharedFrom(ahead.length) };
  const others = Array.from({ length: threads - 1 }, () => share(job));
  // This thread works, too; what the others say meanwhile waits.
  const own = checkShare(job, parsers, ahead);
  const shares = [own, ...(await Promise.all(others))];
  const [failure] = shares.flatMap((one) => one.failure ?? []).toSorted((a, b) => a.file - b.file);
  if (failure) {
    throw new CountersignError(failure.code, failure.message, { place: failure.place, remedy: failure.remedy });
  }
  const results: (readonly ConftestCheck[])[] = [];
  for (const { found } of shares) for (const [file, checks] of found) results[file] = checks;
  return results;
}

/** One in a thread of its own, which ends with it. */
function share(job: ConftestJob): Promise<ConftestShare> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(builtFile('conftest-worker.js'), {
      workerData: job,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 8 }, // what is read is garbage soon: a small nursery is enough
    });
    worker.once('message', resolve);
    worker.once('error', (cause) =>
      reject(new CountersignError('policy-failed', `the evaluation crashed: ${cause.message}`, { cause })),
    );
  });
}
