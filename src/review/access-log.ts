import { randomUUID } from 'node:crypto';
import type { EntryDraft } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import { canonicalJson } from '../cluster/canonical.js';

/** Why somebody was not let do what they asked for. */
export interface Refusal {
  readonly action: string;
  readonly code: 'no-token' | 'unknown-token' | 'expired' | 'out-of-scope' | 'nothing-there' | 'forged' | 'sign-in';
  /** What the token is called, where it is a known one; and whose it is. */
  readonly token?: string;
  readonly login?: string;
  /** What was asked for: anybody's text. */
  readonly repository?: string;
  readonly environment?: string;
  readonly message: string;
}

/** What somebody was shown that not everybody with a role sees. */
export interface PrivilegedRead {
  readonly action: string;
  readonly token: string;
  readonly login: string;
}

/** A session that began or ended. */
export interface SessionEvent {
  readonly action: 'sign-in' | 'sign-out' | 'endSessions';
  readonly token: string;
  /** Who signed in or out, or ended the sessions of somebody else, `of`. */
  readonly login: string;
  readonly of?: string;
  /** What the session is called. */
  readonly session?: string;
}

/** Entries of one kind within a window of so many milliseconds; the others of it are counted in one. */
const MOST = 60;
const WINDOW = 60_000;

/**
 * Refusals and privileged reads as `access/v1`. Whoever knocks a million times fills no log: what comes too fast is counted, and the count is
 * logged. Each kind is counted for itself, so that a flood of refusals hides no read.
 */
export class AccessLog {
  readonly #refusals: Window;
  readonly #reads: Window;

  constructor(
    private readonly ledger: Ledger,
    private readonly onFault: (thrown: unknown) => void,
    private readonly now: () => Date = () => new Date(),
    limits = { most: MOST, window: WINDOW },
  ) {
    const counted = (outcome: string, name: string) => (count: number) => {
      const predicate = { id: randomUUID(), outcome, [name]: count, time: this.now().toISOString() };
      return this.#append({ type: 'access', subjects: [], predicate });
    };
    this.#refusals = new Window(limits, now, counted('refused', 'refusals'));
    this.#reads = new Window(limits, now, counted('granted', 'reads'));
  }

  /** Never throws: that it could not be logged does not make a refusal less of one. */
  async refused({ action, code, token, ...said }: Refusal): Promise<void> {
    await this.#refusals.take(() => this.#append(this.#entry('refused', { action, code, token }, said)));
  }

  /** Durable before it resolves; where the log is away it is on the service's own commentary. */
  async granted({ action, token, ...said }: PrivilegedRead): Promise<void> {
    await this.#reads.take(() => this.#append(this.#entry('granted', { action, token }, said)));
  }

  /** As `granted`, and never only counted: each takes the issuer's word, or somebody who is signed in. */
  async session({ action, token, session, ...said }: SessionEvent): Promise<void> {
    await this.#append(this.#entry('granted', { action, token, session }, said));
  }

  /** Logs what was only counted so far. */
  async close(): Promise<void> {
    await this.#refusals.tell();
    await this.#reads.tell();
  }

  #entry(outcome: string, { action, ...more }: Record<string, string | undefined>, said: object): EntryDraft {
    const known = Object.fromEntries(Object.entries(more).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]))); // prettier-ignore
    return {
      type: 'access',
      subjects: [],
      predicate: { id: randomUUID(), action: action ?? '', outcome, ...known, time: this.now().toISOString() },
      contents: {
        asked: { mediaType: 'application/json', bytes: Buffer.from(canonicalJson(shortened(said))), salted: true },
      },
    };
  }

  async #append(entry: EntryDraft): Promise<void> {
    try {
      await this.ledger.record((transaction) => Promise.resolve(transaction.append(entry)));
    } catch (thrown) {
      this.onFault(thrown);
    }
  }
}

/** So many at once, and a count of the others when it is over. */
class Window {
  #since = 0;
  #taken = 0;
  #counted = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly limits: { readonly most: number; readonly window: number },
    private readonly now: () => Date,
    private readonly onCounted: (count: number) => Promise<void>,
  ) {}

  async take(work: () => Promise<void>): Promise<void> {
    const time = this.now().getTime();
    if (time - this.#since >= this.limits.window) {
      await this.tell();
      this.#since = time;
      this.#taken = 0;
    }
    if (this.#taken >= this.limits.most) {
      this.#counted += 1;
      this.#timer ??= setTimeout(() => void this.tell(), this.limits.window).unref();
      return;
    }
    this.#taken += 1;
    await work();
  }

  async tell(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const count = this.#counted;
    this.#counted = 0;
    if (count > 0) await this.onCounted(count);
  }
}

function shortened(said: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(said).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value).slice(0, 500)]])),
  );
}
