import { randomUUID } from 'node:crypto';
import type { EntryDraft } from '../audit/entry.js';
import { canonicalJson } from '../cluster/canonical.js';
import { type Environment, GOVERNANCE, type Pin } from '../change/environment.js';
import { toCountersignError } from '../errors.js';
import type { Decisions } from './decisions.js';
import type { ClockedParts } from './followed-repository.js';
import type { Governance } from './governance.js';
import type { Pushes } from './pushes.js';
import type { EnvironmentRecord, ReturnRecord, Trouble } from './records.js';

/** What became of a rollout, as whoever reconciles saw it. */
export interface RolloutNews {
  readonly environment: string;
  /** Id of the decision that was rolled out. */
  readonly decision: string;
  /** Null: it is healthy. Else which objects are not. */
  readonly unhealthy: string | null;
}

interface Known {
  readonly pushes: Pushes;
  readonly decisions: Decisions;
}

/**
 * Environments whose rollout failed go back to the last approved commit whose rollout was healthy, where governance says so
 * (`reconcile.health.onFailure: return`). That is an action in the log and then a change like any other, which policy sees as a rollback
 * with its reason. It holds until the branch moves on. A return that fails is not followed by another: there is nothing left that is
 * known to be better.
 */
export class Returns {
  /** By environment, those that have not ended. */
  readonly #newest = new Map<string, ReturnRecord>();
  /** The tip that each was found to hold at, once it is decided on: nothing is asked of Git while nothing moves. */
  readonly #heldAt = new Map<string, string>();
  readonly #came: RolloutNews[] = [];
  /** Returns of which it was told that they did not happen, and why. */
  readonly #told = new Map<string, string>();

  constructor(
    private readonly repository: string,
    private readonly parts: Pick<ClockedParts, 'ledger' | 'records' | 'mirror' | 'events' | 'now'>,
    private readonly known: Known,
  ) {}

  async load(): Promise<void> {
    this.#newest.clear();
    this.#heldAt.clear();
    const rows = await this.parts.records.find('return', { repository: this.repository, endedAt: null });
    for (const row of rows.toSorted((a, b) => (a.time < b.time ? -1 : 1))) this.#newest.set(row.environment, row);
  }

  came(news: RolloutNews): void {
    this.#came.push(news);
  }

  /** Takes up what came: each becomes an action in the log before anything is judged by it. */
  async take(governance: Governance): Promise<void> {
    for (let news = this.#came[0]; news; news = this.#came[0]) {
      await this.#takeOne(news, governance);
      this.#came.shift();
    }
  }

  async #takeOne({ environment: name, decision, unhealthy }: RolloutNews, governance: Governance): Promise<void> {
    const environment = governance.environments.find((one) => one.name === name);
    const [record] = await this.parts.records.find('environment', { repository: this.repository, name });
    // Of what is approved no longer.
    if (!environment || !record?.approved || record.approvedDecision !== decision) return;
    const before = this.#newest.get(name);
    if (unhealthy === null) {
      // What could not be left is well after all, or what came after it.
      if (before && before.to !== record.approved) await this.#end(before);
      return;
    }
    if (environment.reconcile?.health?.onFailure !== 'return' || environment.pin) return;
    if (before?.fromDecision === decision) return;
    const tip = this.known.pushes.tip(environment.ref)?.commit ?? null;
    const refusal = await this.#refusal(record, before, tip);
    const reason = unhealthy.slice(0, 2_000);
    const isAgain = before !== undefined && before.decision === decision;
    const action: ReturnRecord = {
      id: randomUUID(),
      repository: this.repository,
      environment: name,
      from: record.approved,
      to: refusal === null ? record.healthy : null,
      decision: null,
      reason,
      // What it went back to goes on to hold: its branch still has what failed first.
      ...(isAgain ? { from: before.from, to: before.to, decision, reason: before.reason } : {}),
      fromDecision: decision,
      refusal: isAgain ? `${refusal}: ${reason}`.slice(0, 2_000) : refusal,
      time: this.parts.now().toISOString(),
      endedAt: null,
      index: null,
    };
    const { ledger, records } = this.parts;
    const { approved } = record;
    const { entries } = await ledger.record(async (transaction) => {
      if (before) await records.update('return', { id: before.id }, { endedAt: action.time }, transaction);
      await records.save(transaction, 'return', [action]);
      transaction.append(returnEntry(isAgain ? { ...action, from: approved, to: null, reason } : action));
    });
    const { index } = entries[0];
    await records.update('return', { id: action.id }, { index });
    this.#newest.set(name, { ...action, index });
    this.#heldAt.delete(name);
    this.parts.events.returned?.({ ...action, index });
  }

  async #refusal(
    { approved, approvedDecision, healthy }: EnvironmentRecord,
    before: ReturnRecord | undefined,
    tip: string | null,
  ): Promise<string | null> {
    if (before && before.decision === approvedDecision)
      return `it went back from ${short(before.from)} already, and a return is not followed by another`;
    if (healthy === null || healthy === approved) return 'no rollout before it is known to have been healthy';
    if (tip === null || !(await this.#isOn(healthy, tip)))
      return `${short(healthy)}, whose rollout was the last healthy one, is no longer on its branch`;
    return null;
  }

  async #isOn(commit: string, tip: string): Promise<boolean> {
    try {
      return commit === tip || (await this.parts.mirror.repository.isAncestor(commit, tip));
    } catch (thrown) {
      if (['revision-unknown', 'object-missing'].includes(toCountersignError(thrown).code)) return false;
      throw thrown;
    }
  }

  /** What holds an environment where it went back to, as a pin would; null: it follows its branch. */
  async holding({ name, pin }: Environment, tip: string): Promise<Pin | null> {
    const last = this.#newest.get(name);
    if (!last || last.to === null) return null;
    const asPin = { commit: last.to, reason: `return from ${short(last.from)}: ${last.reason}`.slice(0, 500) };
    if (!pin && this.#heldAt.get(name) === tip) return asPin;
    const record = this.known.decisions.environments.get(name);
    let held = last;
    if (held.decision === null && record?.head === held.to && record.headDecision !== null) {
      held = { ...held, decision: record.headDecision };
      await this.parts.records.update('return', { id: held.id }, { decision: held.decision });
      this.#newest.set(name, held);
    }
    // Until it is decided on nothing else is; from then on until the branch has something newer.
    const stays = held.decision === null || (await this.#isOn(tip, held.from));
    if (pin || !stays || !(await this.#isOn(last.to, tip))) {
      await this.#end(held);
      return null;
    }
    if (held.decision !== null) this.#heldAt.set(name, tip);
    return asPin;
  }

  async #end(row: ReturnRecord): Promise<void> {
    await this.parts.records.update('return', { id: row.id }, { endedAt: this.parts.now().toISOString() });
    this.#newest.delete(row.environment);
    this.#heldAt.delete(row.environment);
    this.#told.delete(row.environment);
    this.parts.events.stays?.(this.repository, row.environment, null);
  }

  /** Of each return that does not happen, once for each reason, why its environment stays as it is. */
  tell(): void {
    for (const row of this.#newest.values()) {
      const record = this.known.decisions.environments.get(row.environment);
      if (row.environment === GOVERNANCE || !record) continue;
      const trouble = whyItStays(row, record);
      const said = trouble?.message ?? '';
      if ((this.#told.get(row.environment) ?? '') === said) continue;
      this.#told.set(row.environment, said);
      this.parts.events.stays?.(this.repository, row.environment, trouble);
    }
  }
}

/** Null: it went back, or is about to. */
export function whyItStays(
  row: Pick<ReturnRecord, 'from' | 'to' | 'reason' | 'refusal'>,
  { approved, head, headOutcome }: Pick<EnvironmentRecord, 'approved' | 'head' | 'headOutcome'>,
): Trouble | null {
  const stays = (why: string, remedy: string): Trouble => ({
    code: 'return-refused',
    message: `the rollout of ${short(row.from)} failed (${row.reason}), and it stays: ${why}`,
    remedy,
  });
  const mend = 'Push a commit that mends it, or hold another one: countersign rollback';
  if (row.refusal !== null) return approved === row.from || approved === row.to ? stays(row.refusal, mend) : null;
  if (row.to === null || approved === row.to || head !== row.to || headOutcome === 'allow') return null;
  if (headOutcome === 'pending')
    return stays(`going back to ${short(row.to)} waits for approvals`, 'Approve it: countersign approve');
  return stays(`policy does not allow ${short(row.to)} now`, mend);
}

const short = (commit: string): string => commit.slice(0, 12);

/** `action/v1`. Reasons quote objects, so they are content. */
function returnEntry(row: ReturnRecord): EntryDraft {
  const { id, repository, environment, from, fromDecision, to, reason, refusal, time } = row;
  return {
    type: 'action',
    subjects: [{ name: `git:${repository}`, digest: { gitCommit: to ?? from } }],
    predicate: { id, action: 'return', repository, environment, from, to, decision: fromDecision, time },
    contents: {
      said: { mediaType: 'application/json', bytes: Buffer.from(canonicalJson({ reason, refusal })), salted: true },
    },
  };
}
