import { Worker } from 'node:worker_threads';
import { ed25519Signer } from '../../audit/crypto.js';
import type { Ed25519Signer } from '../../audit/crypto.js';
import { builtFile } from '../wasi/reactor.js';
import { joinMessages, signatureBytes } from './signing-message.js';

interface Wanted {
  readonly message: Uint8Array;
  readonly resolve: (signature: Uint8Array | Promise<Uint8Array>) => void;
}

interface Thread {
  readonly worker: Worker;
  /** Sent, in their order: answers come in it. */
  readonly sent: (readonly Wanted[])[];
  online: boolean;
}

const threadCount = 2;
/** So many go to a thread together, while the next are still being prepared. */
const together = 16;
/** Fewer than this in one turn of the event loop are not worth a message to a thread. */
const few = 4;

/**
 * Signs as `ed25519Signer` does, the same bytes, but what is signed in one turn of the event loop travels together to threads of its own.
 * Node's pool takes one signature at a time, and waking a thread for each costs the main one a fifth of what the signature itself costs,
 * and far more where others want the processor. The threads begin with the first turn that has enough for them.
 */
export function threadedSigner(seed: Uint8Array): Ed25519Signer {
  const alone = ed25519Signer(seed);
  const threads = new SigningThreads(seed, alone);
  return { publicKey: alone.publicKey, sign: (message) => threads.sign(message) };
}

class SigningThreads {
  #wanted: Wanted[] = [];
  #scheduled = false;
  #threads: readonly Thread[] | undefined;
  #turn = 0;

  constructor(
    private readonly seed: Uint8Array,
    private readonly alone: Ed25519Signer,
  ) {}

  sign(message: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve) => {
      this.#wanted.push({ message, resolve });
      if (this.#wanted.length === together) this.#send();
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#send();
      });
    });
  }

  #send(): void {
    const wanted = this.#wanted;
    this.#wanted = [];
    const thread = wanted.length < few ? undefined : this.#nextThread(wanted.length);
    if (!thread) return this.#signAlone(wanted);
    if (thread.sent.length === 0) thread.worker.ref();
    thread.sent.push(wanted);
    const messages = joinMessages(wanted.map(({ message }) => message));
    thread.worker.postMessage(messages, [messages.buffer]);
  }

  #nextThread(wanted: number): Thread | undefined {
    if (wanted >= together) this.#threads ??= Array.from({ length: threadCount }, () => this.#start());
    this.#turn += 1;
    const thread = this.#threads?.[this.#turn % threadCount];
    return thread?.online ? thread : undefined;
  }

  #start(): Thread {
    const worker = new Worker(builtFile('signing-worker.js', import.meta.url), {
      workerData: this.seed,
      execArgv: [],
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 8 },
    });
    const thread: Thread = { worker, sent: [], online: false };
    worker.once('online', () => (thread.online = true));
    worker.on('message', (signatures: Uint8Array) => {
      thread.sent.shift()!.forEach(({ resolve }, i) => {
        resolve(signatures.subarray(i * signatureBytes, (i + 1) * signatureBytes));
      });
      if (thread.sent.length === 0) worker.unref();
    });
    // A thread that cannot start, or ran out of memory: nothing is lost but its speed.
    worker.once('error', () => {
      thread.online = false;
      for (const wanted of thread.sent.splice(0)) this.#signAlone(wanted);
    });
    worker.unref();
    return thread;
  }

  #signAlone(wanted: readonly Wanted[]): void {
    for (const { message, resolve } of wanted) resolve(this.alone.sign(message));
  }
}
