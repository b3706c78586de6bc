import { setTimeout as sleep } from 'node:timers/promises';
import { toCountersignError, type CountersignError } from '../errors.js';

/** Work beside the log, again and again; twice as long apart for each time that it failed in a row. */
export class Repeating {
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #faults: readonly CountersignError[] = [];

  constructor(
    /** Several faults of one time are thrown as an `AggregateError`. */
    private readonly work: () => Promise<unknown>,
    /** Milliseconds. */
    private readonly every: number,
    /** Told of the faults of a time once, until they are others. */
    private readonly onFault: (fault: CountersignError) => void,
    /** The longest pause while it fails, in milliseconds. */
    private readonly longestPause = 300_000,
  ) {}

  /** Of the last time; undefined if that went well. */
  get fault(): CountersignError | undefined {
    return this.#faults[0];
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#stop.signal.aborted;) {
      try {
        await this.work();
        [failures, this.#faults] = [0, []];
      } catch (error) {
        failures += 1;
        const faults = (error instanceof AggregateError ? error.errors : [error]).map(toCountersignError);
        if (messagesOf(faults) !== messagesOf(this.#faults)) faults.forEach((fault) => this.onFault(fault));
        this.#faults = faults;
      }
      const pause = failures === 0 ? this.every : Math.min(this.longestPause, this.every * 2 ** Math.min(failures, 12));
      await sleep(pause, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}

function messagesOf(faults: readonly CountersignError[]): string {
  return faults.map(({ message }) => message).join();
}
