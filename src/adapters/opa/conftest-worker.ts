import { basename, dirname, resolve } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { CountersignError, toCountersignError } from '../../errors.js';
import type { ConftestCheck } from '../../policy/conftest.js';
import { InputParsers } from '../inputs/program.js';
import { readInput } from '../inputs/read.js';
import { ConftestEvaluation, type ConftestBundle } from './conftest-evaluation.js';
import type { Failure } from './protocol.js';

export interface ConftestJob {
  readonly bundle: ConftestBundle;
  readonly parser?: string;
}

/** Files one after the other; by namespace, then by file. */
export function checkFiles(
  evaluation: ConftestEvaluation,
  parsers: InputParsers,
  files: readonly string[],
  parser?: string,
): ConftestCheck[][] {
  return files.map((path) => {
    const full = resolve(path);
    return evaluation.check(path, { name: basename(full), dir: dirname(full) }, readInput(path, parsers, parser));
  });
}

if (parentPort) {
  const { bundle, parser } = workerData as ConftestJob;
  const evaluation = new ConftestEvaluation(bundle);
  const parsers = new InputParsers();
  parentPort.on('message', (files: readonly string[]) => {
    try {
      parentPort!.postMessage(checkFiles(evaluation, parsers, files, parser));
    } catch (thrown) {
      const { code, message, place, remedy } = thrown instanceof CountersignError ? thrown : toCountersignError(thrown);
      parentPort!.postMessage({ code, message, place, remedy } satisfies Failure);
    }
  });
}
