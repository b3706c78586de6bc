import { setTimeout as sleep } from 'node:timers/promises';
import { toCountersignError, type CountersignError } from '../errors.js';
import type { Cosigning, Round } from './cosigning.js';
import type { Ledger } from './ledger.js';

/** Milliseconds after which an unchanged log is shown again: a fresh time says that nothing came since. */
const refresh = 3_600_000;
/** The longest pause while witnesses are away, in milliseconds. */
const longestPause = 60_000;

/** Asks the witnesses whenever the log has grown, and once an hour; twice as long apart for each round that failed. */
export class CosigningLoop {
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #last: Round | undefined;

  constructor(
    private readonly cosigning: Cosigning,
    private readonly log: Pick<Ledger, 'size'>,
    /** Milliseconds. */
    private readonly every: number,
    private readonly onFault: (fault: CountersignError) => void,
  ) {}

  /** The last round; undefined before the first. */
  get last(): Round | undefined {
    return this.#last;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    let [size, at, failures] = [-1, 0, 0];
    let told = '';
    while (!this.#stop.signal.aborted) {
      try {
        const now = await this.log.size();
        if (now !== size || failures > 0 || Date.now() - at > refresh) {
          const round = await this.cosigning.round();
          this.#last = round;
          [size, at] = [round.checkpoint.size, Date.now()];
          failures = round.quorumReached && round.faults.length === 0 ? 0 : failures + 1;
          const faults = round.faults.map(({ message }) => message).join();
          // A witness that stays away is told of once.
          if (faults !== told) round.faults.forEach((fault) => this.onFault(fault));
          told = faults;
        }
      } catch (error) {
        failures += 1;
        const fault = toCountersignError(error);
        if (fault.message !== told) this.onFault(fault);
        told = fault.message;
      }
      const pause = failures === 0 ? this.every : Math.min(longestPause, this.every * 2 ** Math.min(failures, 10));
      await sleep(pause, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}
