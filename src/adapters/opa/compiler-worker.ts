import { parentPort, workerData } from 'node:worker_threads';
import { loadProgram, RegoProgram } from './program.js';

// The Go program runs here, so that a compilation without end can be stopped and its memory goes with the thread.
const { maxPages, testsBelow } = workerData as { readonly maxPages: number; readonly testsBelow?: string };
const inputs = testsBelow === undefined ? undefined : new (await import('./test-inputs.js')).TestInputs(testsBelow);
const program = new RegoProgram(loadProgram(maxPages), inputs ? { ask: (question) => inputs.answer(question) } : {});
parentPort!.on('message', ({ request }: { readonly request: object }) => {
  const { json, wasm } = program.call(request);
  parentPort!.postMessage({ json, wasm }, [wasm.buffer as ArrayBuffer]);
});
parentPort!.postMessage('ready');
