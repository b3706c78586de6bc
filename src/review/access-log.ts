import { randomUUID } from 'node:crypto';
import type { EntryDraft } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import { canonicalJson } from '../cluster/canonical.js';

/** Why somebody was not let do what they asked for. */
export interface Refusal {
  readonly action: string;
  readonly code: 'no-token' | 'unknown-token' | 'expired' | 'out-of-scope' | 'nothing-there';
  /** What the token is called, where it is a known one; and whose it is. */
  readonly token?: string;
  readonly login?: string;
  /** What was asked for: anybody's text. */
  readonly repository?: string;
  readonly environment?: string;
  readonly message: string;
}

/** Refusals that get an entry of their own within a window of so many milliseconds; the others of it are counted in one. */
const MOST = 60;
const WINDOW = 60_000;

/** Refusals as `access/v1`. Whoever knocks a million times fills no log: what comes too fast is counted, and the count is logged. */
export class AccessLog {
  #since = 0;
  #logged = 0;
  #counted = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly ledger: Ledger,
    private readonly onFault: (thrown: unknown) => void,
    private readonly now: () => Date = () => new Date(),
    private readonly limits = { most: MOST, window: WINDOW },
  ) {}

  /** Never throws: that it could not be logged does not make a refusal less of one. */
  async refused(refusal: Refusal): Promise<void> {
    const time = this.now().getTime();
    if (time - this.#since >= this.limits.window) {
      await this.#tellCounted();
      this.#since = time;
      this.#logged = 0;
    }
    if (this.#logged >= this.limits.most) {
      this.#counted += 1;
      this.#timer ??= setTimeout(() => void this.#tellCounted(), this.limits.window).unref();
      return;
    }
    this.#logged += 1;
    await this.#append(refusalEntry(refusal, this.now()));
  }

  /** Logs what was only counted so far. */
  async close(): Promise<void> {
    await this.#tellCounted();
  }

  async #tellCounted(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const refusals = this.#counted;
    if (refusals === 0) return;
    this.#counted = 0;
    const predicate = { id: randomUUID(), outcome: 'refused', refusals, time: this.now().toISOString() };
    await this.#append({ type: 'access', subjects: [], predicate });
  }

  async #append(entry: EntryDraft): Promise<void> {
    try {
      await this.ledger.record((transaction) => Promise.resolve(transaction.append(entry)));
    } catch (thrown) {
      this.onFault(thrown);
    }
  }
}

function refusalEntry({ action, code, token, ...said }: Refusal, time: Date): EntryDraft {
  return {
    type: 'access',
    subjects: [],
    predicate: {
      id: randomUUID(),
      action,
      outcome: 'refused',
      code,
      ...(token === undefined ? {} : { token }),
      time: time.toISOString(),
    },
    contents: {
      asked: {
        mediaType: 'application/json',
        bytes: Buffer.from(canonicalJson(shortened(said))),
        salted: true,
      },
    },
  };
}

function shortened(said: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(said).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value).slice(0, 500)]])),
  );
}
