import { parentPort, workerData } from 'node:worker_threads';
import { RenderProgram } from './program.js';

// The Go program runs here, so that a chart without end can be stopped and its memory goes with the thread.
const { module } = workerData as { readonly module: WebAssembly.Module };
const program = new RenderProgram(module);
parentPort!.on('message', (request: string) => parentPort!.postMessage(program.call(request)));
parentPort!.postMessage('ready');
