import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { comparedFiles } from '../../change/file-comparison.js';
import type { FileComparer, FileEffects } from '../../change/history.js';
import type { ManifestLimits } from '../../cluster/manifest.js';
import { CountersignError } from '../../errors.js';
import type { CommitWithFiles, FileChange } from '../../source/repository.js';
import { builtFile } from '../wasi/reactor.js';
import { EffectsReader } from './effects-message.js';
import type { OpenOptions } from './open.js';

export type FilesOfCommits = readonly (readonly FileChange[])[];

export interface ComparingData {
  readonly path: string;
  readonly adapter: OpenOptions['adapter'];
  readonly limits: Partial<ManifestLimits>;
  readonly cacheBytes: number;
}

interface Asked {
  readonly files: readonly FileChange[];
  readonly resolve: (effects: FileEffects) => void;
  readonly reject: (error: CountersignError) => void;
}

/** Messages that the thread may have before it: those it reads, and the next. */
const UNDERWAY = 3;
/** Commits and files of one message: enough to make its cost small, not so many that one thread waits for the other. */
const COMMITS = 64;
const FILES = 256;

const NOTHING: FileEffects = { changes: [], unreadable: [], bytes: 0 };

/**
 * Compares in a thread of its own, which opens the repository for itself: files are read from Git, parsed and compared there, and only
 * what changed comes back. So both cores of a small machine are used, and neither thread waits for what the other has.
 */
export class ComparingThread implements FileComparer {
  readonly #worker: Worker;
  readonly #reader = new EffectsReader();
  /** In their order: answers come in it. */
  readonly #waiting: Asked[][] = [];
  #outgoing: Asked[] = [];
  #scheduled = false;
  #broken: CountersignError | undefined;

  constructor(data: ComparingData) {
    this.#worker = new Worker(builtFile('comparing-worker.js', import.meta.url), {
      workerData: data,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 384 },
    });
    this.#worker.on('message', (text: string) => this.#receive(text));
    this.#worker.on('error', (cause) => this.#fail(cause));
    this.#worker.unref();
  }

  compare({ files }: CommitWithFiles): Promise<FileEffects> {
    if (this.#broken) return Promise.reject(this.#broken);
    const compared = comparedFiles(files);
    if (compared.length === 0) return Promise.resolve(NOTHING);
    return new Promise((resolve, reject) => {
      this.#outgoing.push({ files: compared, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#send();
      });
    });
  }

  async close(): Promise<void> {
    if (this.#broken) return;
    const ended = once(this.#worker, 'exit');
    this.#worker.ref();
    this.#worker.postMessage(null);
    await ended;
  }

  #send(): void {
    while (this.#outgoing.length > 0 && this.#waiting.length < UNDERWAY) {
      let [commits, files] = [0, 0];
      while (commits < Math.min(this.#outgoing.length, COMMITS) && files < FILES) files += this.#outgoing[commits++].files.length; // prettier-ignore
      const asked = this.#outgoing.splice(0, commits);
      if (this.#waiting.length === 0) this.#worker.ref();
      this.#waiting.push(asked);
      this.#worker.postMessage(JSON.stringify(asked.map((one) => one.files)));
    }
  }

  #receive(text: string): void {
    const asked = this.#waiting.shift()!;
    this.#send();
    const answers = this.#reader.read(text);
    asked.forEach(({ resolve, reject }, i) => {
      const answer = answers[i];
      if ('fault' in answer) reject(answer.fault);
      else resolve(answer);
    });
    if (this.#waiting.length === 0) this.#worker.unref();
  }

  #fail(cause: Error): void {
    const error = (this.#broken = new CountersignError(
      'manifest-too-large',
      'reading the manifests needed more memory than there is',
      { remedy: 'Look for huge files under the folders that are read, and list them under "ignore"', cause },
    ));
    for (const { reject } of [...this.#waiting.flat(), ...this.#outgoing]) reject(error);
    this.#waiting.length = 0;
    this.#outgoing = [];
  }
}
