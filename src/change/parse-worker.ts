import { parentPort, workerData } from 'node:worker_threads';
import type { ManifestLimits } from '../cluster/manifest.js';
import { answer, type ParseRequests } from './parsing.js';

const limits = workerData as Partial<ManifestLimits>;

parentPort!.on('message', (asked: ParseRequests) => {
  parentPort!.postMessage(answer(asked, limits));
});
