import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { CountersignError } from '../../errors.js';
import type { ConftestCheck } from '../../policy/conftest.js';
import { InputParsers } from '../inputs/program.js';
import { ConftestEvaluation } from './conftest-evaluation.js';
import { checkFiles, type ConftestJob } from './conftest-worker.js';
import { builtFile } from './program.js';
import type { Failure } from './protocol.js';

/** Below this a second thread costs more than it brings. */
const FILES_WORTH_A_THREAD = 400;
const BATCH = 64;

/** What the rules say of many files, by file and namespace, in the order of the files. Throws what the first bad file throws. */
export async function checkWithThreads(
  job: ConftestJob,
  files: readonly string[],
): Promise<readonly ConftestCheck[][]> {
  const threads = Math.min(4, availableParallelism(), Math.floor(files.length / FILES_WORTH_A_THREAD));
  if (threads < 2) return checkFiles(new ConftestEvaluation(job.bundle), new InputParsers(), files, job.parser);
  const results: (readonly ConftestCheck[])[] = [];
  let next = 0;
  const workers: Worker[] = [];
  try {
    await Promise.all(
      Array.from({ length: threads }, async () => {
        const worker = new Worker(builtFile('conftest-worker.js'), {
          workerData: job,
          execArgv: [],
          resourceLimits: { maxYoungGenerationSizeMb: 8 }, // what is read is garbage soon: a small nursery is enough
        });
        workers.push(worker);
        for (let at = next; at < files.length; at = next) {
          next = at + BATCH;
          const answer = await exchange(worker, files.slice(at, at + BATCH));
          answer.forEach((checks, i) => (results[at + i] = checks));
        }
      }),
    );
    return results as ConftestCheck[][];
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function exchange(worker: Worker, files: readonly string[]): Promise<ConftestCheck[][]> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      worker.off('message', answered).off('error', failed);
      settle();
    };
    const answered = (answer: ConftestCheck[][] | Failure) =>
      finish(() => {
        if (Array.isArray(answer)) resolve(answer);
        else reject(new CountersignError(answer.code, answer.message, { place: answer.place, remedy: answer.remedy }));
      });
    const failed = (cause: Error) =>
      finish(() =>
        reject(new CountersignError('policy-failed', `the evaluation crashed: ${cause.message}`, { cause })),
      );
    worker.on('message', answered).on('error', failed);
    worker.postMessage(files);
  });
}
