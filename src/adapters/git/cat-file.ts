import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { CountersignError } from '../../errors.js';
import { collectStderr, type GitEnvironment, spawnGit } from './processes.js';

export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag';

export interface ObjectInfo {
  readonly id: string;
  readonly type: ObjectType;
  readonly size: number;
}

export interface GitObject extends ObjectInfo {
  readonly data: Buffer;
}

interface Request {
  readonly command: 'info' | 'contents';
  readonly name: string;
  /** Contents above this many bytes are thrown away as they stream by; the answer then has no data. */
  readonly limit: number;
  readonly resolve: (object: (ObjectInfo & { data?: Buffer }) | null) => void;
  readonly reject: (error: CountersignError) => void;
  died: boolean;
}

/**
 * One long-lived `git cat-file --batch-command`: requests are pipelined, answers come in order. It finds objects that arrive
 * later and survives a repack; when it dies it is started again and only the request it died on fails, after one more
 * try. While nothing is asked it does not keep Node alive, and it ends with its stdin, so none is orphaned.
 */
export class CatFile {
  private child: ChildProcessWithoutNullStreams | undefined;
  private stderr: () => string = () => '';
  private queue: Request[] = [];
  private head = 0;
  private outgoing = '';
  private closed = false;
  private chunks: Buffer[] = [];
  private buffered = 0;
  /** Bytes wanted before parsing is worth another try. */
  private wanted = 1;
  private skipping = 0;

  constructor(
    private readonly gitDir: string,
    /** Says what it means that the process died on this object. */
    private readonly onDeath: (name: string, stderr: string) => CountersignError,
    private readonly environment: GitEnvironment = {},
  ) {}

  /** null: no such object, or a name that git cannot resolve. */
  info(name: string): Promise<ObjectInfo | null> {
    return this.ask('info', name, 0);
  }

  /** null: no such object. `data` is missing if it is larger than `limit`. */
  contents(name: string, limit: number): Promise<(ObjectInfo & { readonly data?: Buffer }) | null> {
    return this.ask('contents', name, limit);
  }

  async close(): Promise<void> {
    this.closed = true;
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    this.keepAlive(true);
    const ended = once(child, 'close');
    child.stdin.end();
    await ended;
  }

  private ask(
    command: Request['command'],
    name: string,
    limit: number,
  ): Promise<(ObjectInfo & { data?: Buffer }) | null> {
    if (this.closed) throw new CountersignError('internal', 'this repository was closed');
    // A line break would be a second command of the caller's choosing.
    // eslint-disable-next-line no-control-regex
    if (name === '' || /[\x00-\x1f]/.test(name)) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.send({ command, name, limit, resolve, reject, died: false });
    });
  }

  private send(request: Request): void {
    this.child ??= this.start();
    if (this.pending === 0) this.keepAlive(true);
    this.queue.push(request);
    // Not in a microtask: a write costs as much as dozens of objects, so all that one turn of the loop asks for goes out at once.
    if (this.outgoing === '') setImmediate(() => this.flush());
    this.outgoing += `${request.command} ${request.name}\n`;
  }

  private flush(): void {
    if (this.outgoing === '') return;
    this.child?.stdin.write(`${this.outgoing}flush\n`);
    this.outgoing = '';
  }

  private get pending(): number {
    return this.queue.length - this.head;
  }

  private start(): ChildProcessWithoutNullStreams {
    const child = spawnGit(['--git-dir', this.gitDir, 'cat-file', '--batch-command', '--buffer'], this.environment);
    this.stderr = collectStderr(child);
    this.chunks = [];
    this.buffered = 0;
    this.wanted = 1;
    this.skipping = 0;
    child.stdout.on('data', (chunk: Buffer) => this.feed(chunk));
    child.once('error', (cause) => this.died(child, cause.message));
    child.once('close', () => this.died(child, this.stderr()));
    return child;
  }

  private keepAlive(alive: boolean): void {
    const { child } = this;
    if (!child) return;
    for (const handle of [child, child.stdin, child.stdout, child.stderr] as unknown as Socket[]) {
      if (alive) handle.ref?.();
      else handle.unref?.();
    }
  }

  private feed(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.buffered += chunk.length;
    if (this.buffered < this.wanted) {
      if (this.skipping > 0) this.drop();
      return;
    }
    let data = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks, this.buffered);
    if (this.skipping > 0) {
      data = data.subarray(this.skipping);
      this.skipping = 0;
    }
    const used = this.parse(data);
    const rest = data.subarray(used);
    this.chunks = rest.length ? [rest] : [];
    this.buffered = rest.length;
    if (this.pending === 0) this.keepAlive(false);
  }

  /** In the middle of an object that is too large: forget what has come of it so far. */
  private drop(): void {
    this.skipping -= this.buffered;
    this.wanted -= this.buffered;
    this.chunks = [];
    this.buffered = 0;
  }

  /** Answers every request whose reply is complete; returns how many bytes those took. */
  private parse(data: Buffer): number {
    let at = 0;
    for (;;) {
      const newline = data.indexOf(0x0a, at);
      if (newline < 0) {
        this.wanted = data.length - at + 1;
        return at;
      }
      const header = /^([0-9a-f]{40,64}) (commit|tree|blob|tag) (\d+)$/.exec(data.toString('latin1', at, newline));
      const request = this.queue[this.head];
      if (!header) {
        at = newline + 1;
        this.answer(null);
        continue;
      }
      const info = { id: header[1], type: header[2] as ObjectType, size: Number(header[3]) };
      const start = newline + 1;
      if (request.command === 'info') {
        at = start;
        this.answer(info);
        continue;
      }
      const end = start + info.size;
      if (info.size > request.limit) {
        this.answer(info);
        if (end + 1 > data.length) {
          this.skipping = end + 1 - data.length;
          this.wanted = this.skipping;
          return data.length;
        }
        at = end + 1;
        continue;
      }
      if (end + 1 > data.length) {
        this.wanted = end + 1 - at;
        return at;
      }
      // A copy: a slice would keep the whole chunk alive for as long as its consumer keeps a small commit.
      this.answer({ ...info, data: Buffer.from(data.subarray(start, end)) });
      at = end + 1;
    }
  }

  private answer(object: (ObjectInfo & { data?: Buffer }) | null): void {
    const request = this.queue[this.head++];
    if (this.head > 4096) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
    request.resolve(object);
  }

  private died(child: ChildProcessWithoutNullStreams, stderr: string): void {
    if (this.child !== child) return;
    this.child = undefined;
    const unanswered = this.queue.slice(this.head);
    this.queue = [];
    this.head = 0;
    this.outgoing = '';
    const [first, ...others] = unanswered;
    if (!first) return;
    if (first.died || this.closed) first.reject(this.onDeath(first.name, stderr));
    else this.send({ ...first, died: true });
    // Asked again of a new process, in their order.
    for (const request of others) this.send(request);
  }
}
