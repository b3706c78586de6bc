import { Worker } from 'node:worker_threads';
import { type ManifestDocument, readDocument } from '../cluster/documents.js';
import type { ManifestLimits } from '../cluster/manifest.js';
import { CountersignError, type ErrorCode, type Place } from '../errors.js';
import { type Parser, type ReadFile, readFile, readNamespaced } from './manifest-cache.js';

/** What is asked of a worker at once: the bytes of all requests lie one after the other in one buffer, which is handed over. */
export interface ParseRequests {
  readonly bytes: Uint8Array;
  readonly requests: readonly ParseRequest[];
}

export interface ParseRequest {
  readonly id: number;
  /** Of a part of a file, or of a whole one. */
  readonly kind: 'document' | 'file';
  readonly path: string;
  readonly length: number;
}

/** JSON text: several times faster to read again than YAML, and than a structured clone. */
export type ParseAnswer =
  | { readonly id: number; readonly kind: 'document'; readonly document: string | undefined }
  | {
      readonly id: number;
      readonly kind: 'file';
      readonly file: string;
      readonly problems: readonly {
        code: ErrorCode;
        message: string;
        place: Place | undefined;
        remedy: string | undefined;
      }[];
    };

/** What a worker makes of them. */
export function answer({ bytes, requests }: ParseRequests, limits: Partial<ManifestLimits>): ParseAnswer[] {
  let at = 0;
  return requests.map(({ id, kind, path, length }) => {
    const own = Buffer.from(bytes.buffer, bytes.byteOffset + at, length);
    at += length;
    if (kind === 'document') {
      const document = readDocument(path, own, limits);
      return { id, kind, document: document && JSON.stringify(document) };
    }
    const { problems, ...read } = readFile(path, own, limits);
    return {
      id,
      kind,
      file: JSON.stringify(read),
      problems: problems.map(({ code, message, place, remedy }) => ({ code, message, place, remedy })),
    };
  });
}

/** Built files lie in dist/. Tests run the sources, which a worker could not load. */
function workerFile(): URL {
  return new URL('./parse-worker.js', import.meta.url.replace(/\/src\/(change\/[^/]*\.ts)$/, '/dist/$1'));
}

/** Messages that a worker may have before it: one that it reads, and the next. */
const UNDERWAY = 2;

/** One thread that parses, so that another can go on reading Git and comparing objects. For whole histories. */
export class ParserThread implements Parser {
  private readonly worker: Worker;
  private readonly waiting = new Map<
    number,
    { readonly resolve: (answer: ParseAnswer) => void; readonly reject: (error: Error) => void }
  >();
  private outgoing: { readonly request: ParseRequest; readonly bytes: Buffer }[] = [];
  private next = 0;
  /** Messages that are not answered yet. */
  private underway = 0;
  private broken: CountersignError | undefined;

  constructor(private readonly limits: Partial<ManifestLimits>) {
    this.worker = new Worker(workerFile(), {
      workerData: limits,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    this.worker.on('message', (answers: readonly ParseAnswer[]) => this.receive(answers));
    this.worker.on('error', (cause) => this.fail(cause));
    this.worker.unref();
  }

  async parse(path: string, bytes: Buffer, namespace?: string | null): Promise<ReadFile> {
    if (namespace !== undefined) return readFile(path, bytes, this.limits, namespace);
    const answered = await this.ask('file', path, bytes);
    if (answered.kind !== 'file') throw unexpected();
    const read = JSON.parse(answered.file) as Omit<ReadFile, 'problems'>;
    const problems = answered.problems.map(
      ({ code, message, ...detail }) => new CountersignError(code, message, detail),
    );
    return { ...read, problems };
  }

  async document(path: string, part: Buffer, namespace?: string | null): Promise<ManifestDocument | undefined> {
    if (namespace !== undefined) return readNamespaced(path, part, this.limits, namespace);
    const answered = await this.ask('document', path, part);
    if (answered.kind !== 'document') throw unexpected();
    return answered.document === undefined ? undefined : (JSON.parse(answered.document) as ManifestDocument);
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private ask(kind: ParseRequest['kind'], path: string, bytes: Buffer): Promise<ParseAnswer> {
    if (this.broken) return Promise.reject(this.broken);
    return new Promise((resolve, reject) => {
      const request = { id: this.next++, kind, path, length: bytes.length };
      if (this.waiting.size === 0) this.worker.ref();
      this.waiting.set(request.id, { resolve, reject });
      if (this.outgoing.length === 0 && this.underway < UNDERWAY) setImmediate(() => this.send());
      this.outgoing.push({ request, bytes });
    });
  }

  /**
   * What was asked for in one turn of the loop shares a message, and what comes while the worker has enough to do waits for its
   * next answer: each message costs about as much as reading a small file.
   */
  private send(): void {
    if (this.outgoing.length === 0) return;
    this.underway++;
    const size = this.outgoing.reduce((sum, { request }) => sum + request.length, 0);
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const { request, bytes: own } of this.outgoing) {
      bytes.set(own, at);
      at += request.length;
    }
    const message: ParseRequests = { bytes, requests: this.outgoing.map(({ request }) => request) };
    this.outgoing = [];
    this.worker.postMessage(message, [bytes.buffer]);
  }

  private receive(answers: readonly ParseAnswer[]): void {
    for (const one of answers) {
      const { resolve } = this.waiting.get(one.id)!;
      this.waiting.delete(one.id);
      resolve(one);
    }
    this.underway--;
    this.send();
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

function unexpected(): CountersignError {
  return new CountersignError('internal', 'the thread that parses answered something else than was asked');
}
