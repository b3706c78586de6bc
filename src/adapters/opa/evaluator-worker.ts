import { parentPort, workerData } from 'node:worker_threads';
import { CountersignError } from '../../errors.js';
import { builtinOf } from './builtins/registry.js';
import { Evaluation, toPolicyError } from './evaluation.js';
import { GoBuiltins } from './go-builtins.js';
import { LOADING, RUNNING, SLOT, type FromWorker, type Job, type ThreadData } from './protocol.js';

const { maxPages, shared } = workerData as ThreadData;
const progress = new Int32Array(shared);
const go = new GoBuiltins(maxPages);
const loaded = new Map<string, Evaluation>();
/** Bundles of one service: each repository has one, and one more for a moment when it changes. */
const KEPT = 16;

parentPort!.on('message', (job: Job) => {
  if (job.bundle) {
    Atomics.store(progress, SLOT.phase, LOADING);
    if (loaded.size >= KEPT) loaded.delete(loaded.keys().next().value!);
    loaded.set(
      job.digest,
      new Evaluation(job.bundle, {
        maxPages,
        builtin: (name) => builtinOf(name, (missing) => go.builtin(missing)),
        onStep: () => Atomics.add(progress, SLOT.step, 1),
      }),
    );
  }
  Atomics.store(progress, SLOT.phase, RUNNING);
  const evaluation = loaded.get(job.digest)!;
  const results: FromWorker['results'] = [];
  const began = performance.now();
  for (let i = 0; i < job.inputs.length; i++) {
    Atomics.store(progress, SLOT.item, i);
    try {
      results.push(evaluation.run(job.inputs[i]));
    } catch (error) {
      const { code, message, place, remedy } =
        error instanceof CountersignError ? error : toPolicyError(error, maxPages);
      results.push({ code, message, place, remedy });
    }
  }
  parentPort!.postMessage({ results, milliseconds: performance.now() - began } satisfies FromWorker);
});
