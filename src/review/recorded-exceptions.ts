import type { LoggedEntry } from '../audit/entry.js';
import type { LedgerTransaction } from '../audit/ledger.js';
import { exceptionEntry } from './entries.js';
import { exceptionMoves } from './exceptions.js';
import type { Governance } from './governance.js';
import type { DecisionRecord, EnvironmentRecord, Records } from './records.js';

/** A change of the records, to be made in the transaction that takes governance up. */
export interface ExceptionMoves {
  save(transaction: LedgerTransaction): Promise<void>;
  /** With the entries that `save` appended. */
  placed(entries: readonly LoggedEntry[]): Promise<void>;
}

/** A live change that an exception carried which has ended. */
export interface Lapse {
  readonly base: string | null;
  readonly head: string;
  /** The push that put it there. */
  readonly push: string;
}

/** What is recorded of the exceptions of one repository. */
export class RecordedExceptions {
  /** Ended ones that nothing live needed: `environment id`. */
  readonly #needless = new Set<string>();

  constructor(
    private readonly repository: string,
    private readonly records: Records,
  ) {}

  async moves(governance: Governance, time: string): Promise<ExceptionMoves> {
    const { repository, records } = this;
    const recorded = await records.find('exception', { repository });
    const moved = exceptionMoves(governance.exceptions, recorded, { repository, commit: governance.commit, time });
    const files = new Map(governance.exceptions.map((file) => [file.id, file]));
    return {
      async save(transaction) {
        await records.save(transaction, 'exception', moved);
        for (const one of moved) transaction.append(exceptionEntry(one, files.get(one.id) ?? null, time));
      },
      async placed(entries) {
        for (const [i, { index }] of entries.entries())
          await records.update('exception', { id: moved[i].id }, { index });
      },
    };
  }

  /**
   * The live change to judge again because an exception has ended since the environment was judged last, by its time or because what
   * governs no longer has it; null if there is none. It may have been allowed long before the last decision, so the earliest allow that
   * used the exception says where it began.
   */
  async lapse(
    governance: Governance,
    { name, approved, approvedDecision }: EnvironmentRecord,
    last: DecisionRecord,
    { now, outdated }: { readonly now: Date; /** Judged last by other governance. */ readonly outdated: boolean },
  ): Promise<Lapse | null> {
    const judgedAt = Date.parse(last.time) - last.milliseconds;
    const expired = governance.exceptions.flatMap(({ id, input }) => {
      if (!input || input.scope.environment !== name) return [];
      const end = Date.parse(input.expires);
      return end > judgedAt && end <= now.getTime() ? [id] : [];
    });
    const gone = outdated ? await this.#goneAt(governance.commit, name) : [];
    const ended = [...expired, ...gone].filter((id) => !this.#needless.has(`${name} ${id}`));
    if (ended.length === 0 || approved === null || approvedDecision === null) return null;
    const allowed = await this.records.find('decision', { repository: this.repository, environment: name, outcome: 'allow' }); // prettier-ignore
    const needed = allowed
      .filter(({ exceptions }) => exceptions.some((id) => ended.includes(id)))
      .toSorted((a, b) => (a.index ?? Infinity) - (b.index ?? Infinity));
    if (needed.length === 0) {
      for (const id of ended) this.#needless.add(`${name} ${id}`);
      return null;
    }
    const [began] = await this.records.find('change', { id: needed[0].change });
    const live = allowed.find(({ id }) => id === approvedDecision);
    const [change] = live ? await this.records.find('change', { id: live.change }) : [];
    return began && change ? { base: began.base, head: approved, push: change.push } : null;
  }

  /** Exceptions that counted until that commit governed. */
  async #goneAt(commit: string, environment: string): Promise<readonly string[]> {
    const recorded = await this.records.find('exception', { repository: this.repository, commit });
    return recorded
      .filter(
        ({ status, scope }) => scope?.environment === environment && (status === 'withdrawn' || status === 'lapsed'),
      )
      .map(({ id }) => id);
  }
}
