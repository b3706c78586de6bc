import { Worker } from 'node:worker_threads';
import type { ManifestLimits } from '../cluster/manifest.js';
import type { ManifestObject } from '../cluster/object.js';
import { CountersignError, type ErrorCode, type Place } from '../errors.js';
import { type ReadFile, readFile } from './manifest-cache.js';

/** Reads a file's bytes as `readFile` does, somewhere else. */
export interface Parser {
  parse(path: string, bytes: Buffer): Promise<ReadFile>;
  close(): Promise<void>;
}

export interface ParseRequest {
  readonly id: number;
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface ParseAnswer {
  readonly id: number;
  /** JSON text of the objects: several times faster to read again than what it was made from. */
  readonly objects: string;
  readonly otherDocuments: number;
  readonly problems: readonly {
    code: ErrorCode;
    message: string;
    place: Place | undefined;
    remedy: string | undefined;
  }[];
  readonly bytes: number;
}

/** What a worker makes of one file. */
export function answer({ id, path, bytes }: ParseRequest, limits: Partial<ManifestLimits>): ParseAnswer {
  const read = readFile(path, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), limits);
  const problems = read.problems.map(({ code, message, place, remedy }) => ({ code, message, place, remedy }));
  return {
    id,
    objects: JSON.stringify(read.objects),
    otherDocuments: read.otherDocuments,
    problems,
    bytes: read.bytes,
  };
}

/** Built files lie in dist/. Tests run the sources, which a worker could not load. */
function workerFile(): URL {
  return new URL('./parse-worker.js', import.meta.url.replace(/\/src\/(change\/[^/]*\.ts)$/, '/dist/$1'));
}

/** One thread that parses, so that another can go on reading Git and comparing objects. For whole histories. */
export class ParserThread implements Parser {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, { resolve: (read: ReadFile) => void; reject: (error: Error) => void }>();
  private outgoing: ParseRequest[] = [];
  private next = 0;
  private broken: CountersignError | undefined;

  constructor(limits: Partial<ManifestLimits>) {
    this.worker = new Worker(workerFile(), {
      workerData: limits,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    this.worker.on('message', (answers: readonly ParseAnswer[]) => this.receive(answers));
    this.worker.on('error', (cause) => this.fail(cause));
    this.worker.unref();
  }

  parse(path: string, bytes: Buffer): Promise<ReadFile> {
    if (this.broken) return Promise.reject(this.broken);
    return new Promise((resolve, reject) => {
      const id = this.next++;
      if (this.waiting.size === 0) this.worker.ref();
      this.waiting.set(id, { resolve, reject });
      if (this.outgoing.length === 0) queueMicrotask(() => this.send());
      this.outgoing.push({ id, path, bytes });
    });
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  /** Files asked for at one time share a message. */
  private send(): void {
    this.worker.postMessage(this.outgoing);
    this.outgoing = [];
  }

  private receive(answers: readonly ParseAnswer[]): void {
    for (const { id, objects, otherDocuments, problems, bytes } of answers) {
      const { resolve } = this.waiting.get(id)!;
      this.waiting.delete(id);
      resolve({
        objects: JSON.parse(objects) as ManifestObject[],
        otherDocuments,
        problems: problems.map(({ code, message, ...detail }) => new CountersignError(code, message, detail)),
        bytes,
      });
    }
    if (this.waiting.size === 0) this.worker.unref();
  }

  private fail(cause: Error): void {
    const error = (this.broken = new CountersignError(
      'manifest-too-large',
      'reading the manifests needed more memory than there is',
      {
        remedy: 'Look for huge files under the folders that are read, and list them under "ignore"',
        cause,
      },
    ));
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}
