import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiWrite } from '../../reconcile/audit-trail.js';
import { readEvent } from './audit-events.js';

export interface AuditLogOptions {
  /** Absolute path; rotated by being renamed, as kube-apiserver and logrotate do. */
  readonly path: string;
  readonly found: (writes: readonly ApiWrite[]) => void;
  /** Something of it cannot be read, and will not be: events are missing. */
  readonly lost: (reason: string) => void;
  /** Milliseconds between two looks. */
  readonly every?: number;
}

/** Longer than any event of an object that an API server takes. */
const LONGEST_LINE = 16 * 2 ** 20;
const CHUNK = 256 * 1024;

/** Follows an API server's audit log (JSON lines) from its present end on, through rotations, and says where something is missing. */
export class AuditLogReader {
  readonly #stop = new AbortController();
  #file: FileHandle | null = null;
  #inode = 0;
  #offset = 0;
  #rest = Buffer.alloc(0);
  #skipping = false;
  #trouble = '';
  #running: Promise<void> | null = null;

  constructor(private readonly options: AuditLogOptions) {}

  /** Resolves when it is known where to begin: what is written after that is read. */
  async start(): Promise<void> {
    await this.#begin(true).catch((error: unknown) => this.#tell(error));
    this.#running = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#file?.close();
  }

  async #follow(): Promise<void> {
    const { every = 250 } = this.options;
    while (!this.#stop.signal.aborted) {
      try {
        if (!this.#file) await this.#begin(false);
        await this.#read();
        await this.#turn();
        this.#trouble = '';
      } catch (error) {
        this.#tell(error);
      }
      await sleep(every, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async #begin(atEnd: boolean): Promise<void> {
    const file = await open(this.options.path, 'r');
    const { ino, size } = await file.stat();
    this.#file = file;
    this.#inode = ino;
    this.#offset = atEnd ? size : 0;
    // Begun in the middle of a line: the rest of it is nothing that could be read.
    this.#skipping = atEnd && size > 0 && !(await this.#endsLine(file, size));
  }

  async #endsLine(file: FileHandle, size: number): Promise<boolean> {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    return buffer[0] === 0x0a;
  }

  /** Everything that is there by now. */
  async #read(): Promise<void> {
    for (;;) {
      const { buffer, bytesRead } = await this.#file!.read(Buffer.alloc(CHUNK), 0, CHUNK, this.#offset);
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      this.#take(Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]));
    }
  }

  #take(bytes: Buffer): void {
    const writes: ApiWrite[] = [];
    let from = 0;
    for (let to = bytes.indexOf(0x0a); to >= 0; to = bytes.indexOf(0x0a, from)) {
      if (!this.#skipping) this.#line(bytes.subarray(from, to), writes);
      this.#skipping = false;
      from = to + 1;
    }
    this.#rest = Buffer.from(this.#skipping ? '' : bytes.subarray(from));
    if (this.#rest.length > LONGEST_LINE) {
      this.#rest = Buffer.alloc(0);
      this.#skipping = true;
      this.options.lost(`a line of ${this.options.path} is longer than ${LONGEST_LINE / 2 ** 20} MiB`);
    }
    if (writes.length > 0) this.options.found(writes);
  }

  #line(line: Buffer, writes: ApiWrite[]): void {
    const text = line.toString('utf8').trim();
    if (text === '') return;
    let read: ReturnType<typeof readEvent> = 'unreadable';
    try {
      read = readEvent(JSON.parse(text));
    } catch {
      // Not JSON: cut off, as by a full disk or a crash.
    }
    if (read === 'unreadable') this.options.lost(`a line of ${this.options.path} cannot be read as an event`);
    else if (read) writes.push(read);
  }

  /** On to the file that took its place, once all of the old one is read. */
  async #turn(): Promise<void> {
    const now = await stat(this.options.path).catch(() => null);
    if (!now) return; // the next one is not there yet
    const isCut = now.ino === this.#inode && now.size < this.#offset;
    if (now.ino === this.#inode && !isCut) return;
    await this.#read(); // written between our last look and the rotation
    if (this.#rest.length > 0) this.options.lost(`${this.options.path} was rotated in the middle of a line`);
    if (isCut) this.options.lost(`${this.options.path} was cut: what it held may not have been read`);
    this.#rest = Buffer.alloc(0);
    this.#skipping = false;
    await this.#file?.close();
    this.#file = null;
    await this.#begin(false);
  }

  #tell(error: unknown): void {
    const reason = `${this.options.path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}`;
    if (reason === this.#trouble) return;
    this.#trouble = reason;
    this.options.lost(reason);
  }
}
