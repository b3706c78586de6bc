import { setTimeout as sleep } from 'node:timers/promises';
import { toCountersignError, type CountersignError } from '../errors.js';

/** The longest pause while it fails, in milliseconds. */
const longestPause = 300_000;

/** Work beside the log, again and again; twice as long apart for each time that it failed in a row. */
export class Repeating {
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #fault: CountersignError | undefined;

  constructor(
    private readonly work: () => Promise<unknown>,
    /** Milliseconds. */
    private readonly every: number,
    /** Told of a fault once, until it is another one. */
    private readonly onFault: (fault: CountersignError) => void,
  ) {}

  /** Of the last time; undefined if that went well. */
  get fault(): CountersignError | undefined {
    return this.#fault;
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
        [failures, this.#fault] = [0, undefined];
      } catch (error) {
        failures += 1;
        const fault = toCountersignError(error);
        if (fault.message !== this.#fault?.message) this.onFault(fault);
        this.#fault = fault;
      }
      const pause = failures === 0 ? this.every : Math.min(longestPause, this.every * 2 ** Math.min(failures, 12));
      await sleep(pause, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}
