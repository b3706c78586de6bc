import { parentPort, workerData } from 'node:worker_threads';
import type { ManifestLimits } from '../cluster/manifest.js';
import { answer, type ParseRequest } from './parsing.js';

const limits = workerData as Partial<ManifestLimits>;

parentPort!.on('message', (requests: readonly ParseRequest[]) => {
  parentPort!.postMessage(requests.map((request) => answer(request, limits)));
});
