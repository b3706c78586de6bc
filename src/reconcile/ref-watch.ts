import { setTimeout as sleep } from 'node:timers/promises';
import { type CountersignError, toCountersignError } from '../errors.js';
import type { RefRemote } from './approved-ref.js';

export interface RefListener {
  /** Where the ref is now; told at each look. */
  seen(commit: string | null): void;
  /** The remote is away, or there again. */
  reachable(trouble: CountersignError | null): void;
}

/** Looks at all the refs of one remote at once, so that many environments cost one question. Begins with its first listener. */
export class RefWatch {
  readonly #listeners = new Map<string, RefListener>();
  readonly #stop = new AbortController();
  #nudge = new AbortController();
  #running: Promise<void> | null = null;

  constructor(
    private readonly remote: Pick<RefRemote, 'read'>,
    /** Milliseconds between two looks. */
    private readonly every: number,
  ) {}

  /** One listener a ref. */
  listen(ref: string, listener: RefListener): () => void {
    this.#listeners.set(ref, listener);
    this.#running ??= this.#run();
    return () => {
      if (this.#listeners.get(ref) === listener) this.#listeners.delete(ref);
    };
  }

  /** Looks now rather than at its time. */
  nudge(): void {
    this.#nudge.abort();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await sleep(this.every, undefined, {
        signal: AbortSignal.any([this.#stop.signal, this.#nudge.signal]),
      }).catch(() => {});
      if (this.#stop.signal.aborted) return;
      this.#nudge = new AbortController();
      if (this.#listeners.size > 0) await this.#look();
    }
  }

  async #look(): Promise<void> {
    try {
      const refs = await this.remote.read();
      for (const [ref, listener] of this.#listeners) {
        listener.reachable(null);
        listener.seen(refs.get(ref) ?? null);
      }
    } catch (thrown) {
      for (const listener of this.#listeners.values()) listener.reachable(toCountersignError(thrown));
    }
  }
}
