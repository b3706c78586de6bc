import { randomUUID } from 'node:crypto';
import type { Ledger } from '../audit/ledger.js';
import { isJsonObject, type Json } from '../cluster/object.js';
import { pushEntry } from '../review/entries.js';
import { type PusherClaim, PusherClaims } from '../review/pusher.js';
import type { Account, PushRecord, Records, RunRecord } from '../review/records.js';
import type { RefMove } from '../source/repository.js';
import type { ForeignMove, Left, RefHistory } from './approved-ref.js';

/** Runs that are looked at to find the last one that moved a ref. */
const MOST = 50;

/** What became of approved refs, in the log and the records, and what forges say of who moved them. */
export class RecordedRefs implements RefHistory {
  constructor(
    private readonly ledger: Ledger,
    private readonly records: Records,
    /** By repository: what webhooks said of pushes. */
    private readonly claims: Map<string, PusherClaims>,
  ) {}

  async left(repository: string, environment: string, ref: string): Promise<Left> {
    const runs = await this.records.newest('run', { repository, environment }, 'startedAt', MOST);
    const perhaps = new Set<string>();
    for (const run of runs) {
      const commit = commitOf(run, ref);
      if (commit === null) continue;
      if (run.outcome === 'succeeded') return { at: commit, perhaps };
      if (run.outcome !== 'superseded') perhaps.add(commit);
    }
    return { at: null, perhaps };
  }

  async foreign({ repository, ref, kind, old, new: head, by, time }: ForeignMove): Promise<void> {
    const push: PushRecord = { id: randomUUID(), repository, ref, kind, old, new: head, pusher: by, time, index: null };
    const { entries } = await this.ledger.record(async (transaction) => {
      await this.records.save(transaction, 'push', [push]);
      transaction.append(pushEntry(push, 0));
    });
    await this.records.update('push', { id: push.id }, { index: entries[0].index });
  }

  /** A webhook's word on who moved a ref. */
  vouch(repository: string, claim: PusherClaim): void {
    const claims = this.claims.get(repository) ?? new PusherClaims(() => new Date());
    this.claims.set(repository, claims);
    claims.add(claim);
  }

  pusher(repository: string, move: Omit<RefMove, 'kind'>): Account | null {
    return this.claims.get(repository)?.take(move) ?? null;
  }
}

/** The commit that a run was to move the ref to; null for a run of anything else. */
function commitOf({ planned }: RunRecord, ref: string): string | null {
  const writes = Array.isArray(planned) ? (planned as readonly Json[]) : [];
  for (const write of writes) {
    if (!isJsonObject(write) || !isJsonObject(write['identity'])) continue;
    const { kind, name } = write['identity'];
    if (kind === 'ApprovedRef' && name === ref && typeof write['digest'] === 'string') return write['digest'];
  }
  return null;
}
