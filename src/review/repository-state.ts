import { randomUUID } from 'node:crypto';
import type { LedgerTransaction } from '../audit/ledger.js';
import { type CountersignError, toCountersignError } from '../errors.js';
import type { ClockedParts, FollowedRepository } from './followed-repository.js';
import { recordFault } from './record-fault.js';
import type { FaultRecord, RepositoryRecord } from './records.js';
import { describeTrouble } from './trouble.js';

/** What is recorded of a repository itself: what governs it, and the trouble it is in. */
export class RepositoryState {
  #record: RepositoryRecord | null = null;
  /** What the log could not take when it happened. */
  #unrecorded: FaultRecord | null = null;

  constructor(
    private readonly repository: FollowedRepository,
    private readonly parts: Pick<ClockedParts, 'ledger' | 'records' | 'events' | 'now'>,
  ) {}

  /** Only after `load`. */
  get record(): RepositoryRecord {
    return this.#record!;
  }

  /** Nothing was seen of it yet. */
  get isNew(): boolean {
    return this.#record?.state === 'new';
  }

  async load(): Promise<void> {
    const { name, url, governance } = this.repository;
    const [state] = await this.parts.records.find('repository', { name });
    this.#record = state ?? {
      name,
      url,
      state: 'new',
      trouble: null,
      governanceRef: governance,
      governanceCommit: null,
      organisationCommit: null,
      bundleDigest: null,
      updatedAt: this.parts.now().toISOString(),
    };
    if (!state) await this.save({});
  }

  async save(values: Partial<RepositoryRecord>): Promise<void> {
    const state = { ...this.#record!, ...values, updatedAt: this.parts.now().toISOString() };
    await this.parts.ledger.record((transaction) => this.write(transaction, state));
    this.#record = state;
  }

  /** As part of a transaction that says more; `written` once that is committed. */
  async write(transaction: LedgerTransaction, state: RepositoryRecord): Promise<void> {
    await this.parts.records.save(transaction, 'repository', [state]);
  }

  written(state: RepositoryRecord): void {
    this.#record = state;
  }

  /** A look failed: said once in the log for each new kind of trouble, shown until it is over. */
  async failed(error: CountersignError, governed: boolean): Promise<void> {
    const { ledger, records, events, now } = this.parts;
    const trouble = describeTrouble(error);
    events.fault(trouble, this.repository.name);
    const known = this.#record?.trouble;
    if (known?.code === trouble.code && known.message === trouble.message) return;
    const time = now().toISOString();
    const fault: FaultRecord = {
      id: randomUUID(),
      repository: this.repository.name,
      environment: null,
      trouble,
      time,
      index: null,
    };
    try {
      await recordFault(ledger, records, fault);
      await this.save({ state: governed ? 'unavailable' : 'ungoverned', trouble });
    } catch (again) {
      // The log itself is away: it was said on standard error by the event above, and is recorded when the log is back.
      this.#unrecorded ??= fault;
      events.fault(describeTrouble(toCountersignError(again)), this.repository.name);
    }
  }

  /** Records the fault that the log could not take when it happened. */
  async recordOwed(): Promise<void> {
    if (this.#unrecorded) await recordFault(this.parts.ledger, this.parts.records, this.#unrecorded);
    this.#unrecorded = null;
  }

  async settled(): Promise<void> {
    await this.save({ state: 'ok', trouble: null });
  }
}
