import { type CountersignError, toCountersignError } from '../errors.js';
import { Backoff } from './backoff.js';

/** What is done in passes. */
export interface PassWork {
  /** Everything one pass does. */
  pass(): Promise<void>;
  /** A pass threw. False: it is not to be tried again by itself, as another was begun already. */
  failed(trouble: CountersignError, requested: boolean): boolean;
  /** When there is something to do by itself, in milliseconds since the epoch; Infinity: never. `failing`: a retry is due anyway. */
  dueAt(failing: boolean): number;
}

/** One pass at a time: when it is asked for, when something is due, and after a failure not before its pause is over. */
export class Passes {
  readonly #backoff = new Backoff();
  #requested = false;
  #wake: (() => void) | null = null;
  #idle: (() => void)[] = [];
  #busy = false;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(private readonly work: PassWork) {
    this.#running = this.#run();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  request(): void {
    this.#requested = true;
    this.#wake?.();
  }

  /** As `request`, whatever failed before. */
  begin(): void {
    this.#backoff.reset();
    this.request();
  }

  /** Resolves when nothing is left to do right now; what waits for a retry counts as done. */
  async settled(): Promise<void> {
    while (this.#busy || this.#requested) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#sleep();
      if (this.#stopped) break;
      this.#requested = false;
      this.#busy = true;
      try {
        await this.work.pass();
        this.#backoff.reset();
      } catch (thrown) {
        const trouble = toCountersignError(thrown);
        if (this.work.failed(trouble, this.#requested)) this.#backoff.failed(trouble);
      }
      this.#busy = false;
      for (const done of this.#idle.splice(0)) done();
    }
    for (const done of this.#idle.splice(0)) done();
  }

  /** Until there is something to do, and not before a failure's pause is over. */
  async #sleep(): Promise<void> {
    for (;;) {
      const due = Math.min(this.#backoff.retryAt(), this.work.dueAt(this.#backoff.isFailing()));
      const notBefore = this.#backoff.notBefore();
      const at = this.#requested ? notBefore : Math.max(due, notBefore);
      const wait = at - Date.now();
      if (this.#stopped || wait <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = wait === Infinity ? null : setTimeout(resolve, Math.min(wait, 2 ** 31 - 1));
        this.#wake = () => {
          if (timer) clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }
}
