import type { LedgerTransaction } from '../audit/ledger.js';
import { GOVERNANCE, type Environment } from '../change/environment.js';
import type { CountersignError } from '../errors.js';
import type { Signers } from '../source/signers.js';
import type { CountedApprovals } from './counted-approvals.js';
import { whyNotCarried } from './carrying.js';
import { reviewDue } from './emergency.js';
import { decisionEntry } from './entries.js';
import { approvedDefinition, definition, newEnvironment } from './environment-record.js';
import type { ClockedParts, FollowedRepository } from './followed-repository.js';
import { type Governance, judgedBy } from './governance.js';
import { Retries } from './pace.js';
import { type Override, overrideEntry } from './override.js';
import type { PushedApprovals } from './pushed-approvals.js';
import type { RecordedExceptions } from './recorded-exceptions.js';
import type { ApprovalRecord, DecisionRecord, EnvironmentRecord, PushRecord, ReviewDutyRecord } from './records.js';
import type { RepositoryState } from './repository-state.js';
import { type Reviewed, review } from './review.js';

/** A change of an environment to review. */
export interface Proposal {
  readonly environment: Environment;
  /** What it is judged by. */
  readonly governance: Governance;
  /** False for governance that is only proposed: nothing lapses by it. */
  readonly inForce: boolean;
  readonly push: PushRecord;
  readonly base: string | null;
  readonly head: string;
  readonly problems?: readonly CountersignError[];
}

interface Known {
  readonly state: RepositoryState;
  readonly counted: CountedApprovals;
  readonly pushedApprovals: PushedApprovals;
  readonly exceptions: RecordedExceptions;
}

/** The decisions on the environments of one repository, governance among them: how they are made and recorded, and which are due again. */
export class Decisions {
  #environments = new Map<string, EnvironmentRecord>();
  /** Environments whose waiting change got an approval since it was judged. */
  readonly #approvedAnew = new Set<string>();
  /** Environments judged last before what governs now did: policy may be the same, and signers or the definition others. */
  #outdated = new Set<string>();
  readonly #retries = new Retries();

  constructor(
    private readonly repository: FollowedRepository,
    private readonly parts: ClockedParts,
    private readonly known: Known,
  ) {}

  /** What was decided of each environment that ever was. */
  get environments(): ReadonlyMap<string, EnvironmentRecord> {
    return this.#environments;
  }

  async load(): Promise<void> {
    const recorded = await this.parts.records.find('environment', { repository: this.repository.name });
    this.#environments = new Map(recorded.map((record) => [record.name, record]));
    this.#outdated = await this.#judgedBefore(this.#environments.get(GOVERNANCE)?.approvedDecision);
    for (const { name, head, headDecision, headOutcome } of this.#environments.values()) {
      if (headOutcome !== 'pending' || head === null || headDecision === null) continue;
      if (await this.known.counted.unjudged(name, head, headDecision)) this.#approvedAnew.add(name);
    }
  }

  /** Environments whose last decision is older than this one. */
  async #judgedBefore(id: string | null | undefined): Promise<Set<string>> {
    const { records } = this.parts;
    const [adoption] = id ? await records.find('decision', { id }) : [];
    const outdated = new Set<string>();
    for (const { name, headDecision } of adoption ? this.#environments.values() : []) {
      const [last] = headDecision === null ? [] : await records.find('decision', { id: headDecision });
      if (name !== GOVERNANCE && last && (last.index ?? -1) < (adoption.index ?? Infinity)) outdated.add(name);
    }
    return outdated;
  }

  // ---- what is due again although its head did not move ----

  /** Reads the approvals at `tip`. Gives those that were accepted. */
  async seeApprovals(tip: string | null, signers: Signers): Promise<readonly ApprovalRecord[]> {
    return this.known.pushedApprovals.see(tip, signers);
  }

  /** Approvals came, or were withdrawn. Whether a change that waits is one that they may be for. */
  async approvalsCame(approvals: readonly ApprovalRecord[]): Promise<boolean> {
    for (const approval of approvals) {
      const { environment: name } = approval;
      const record = name === null ? undefined : this.#environments.get(name);
      if (name !== null && record?.headOutcome === 'pending' && (await this.#mayBeFor(approval, record)))
        this.#approvedAnew.add(name);
    }
    return this.#approvedAnew.size > 0;
  }

  async #mayBeFor(approval: ApprovalRecord, { headDecision }: EnvironmentRecord): Promise<boolean> {
    if (approval.change !== null) return true;
    const { records } = this.parts;
    const [decision] = headDecision === null ? [] : await records.find('decision', { id: headDecision });
    const [change] = decision ? await records.find('change', { id: decision.change }) : [];
    return change?.renderedDigest === approval.renderedDigest;
  }

  isApprovedAnew(name: string): boolean {
    return this.#approvedAnew.has(name);
  }

  /** There is nothing to judge that an approval could be for. */
  forgetApproval(name: string): void {
    this.#approvedAnew.delete(name);
  }

  /** Something else governs these from here on. */
  outdate(environments: readonly Environment[]): void {
    for (const { name } of environments) this.#outdated.add(name);
  }

  isOutdated(name: string): boolean {
    return this.#outdated.has(name);
  }

  /** Whether the last judgement of a head failed long enough ago. */
  isToRetry(name: string, head: string): boolean {
    const record = this.#environments.get(name);
    return record?.head === head && record.headOutcome === 'error' && this.#retries.isDue(name, head);
  }

  /** That it fails as it did before is in the log already: once more would only fill it. */
  failsAgain(name: string, { record: { decision, change } }: Reviewed): boolean {
    if (decision.outcome !== 'error') return false;
    this.#retries.failed(name, change.head);
    return true;
  }

  // ---- decisions ----

  async review({ environment, governance, inForce, problems = [], ...proposal }: Proposal): Promise<Reviewed> {
    const { mirror, grants, evaluator, redactor, records, cache, mostCommits, live, now } = this.parts;
    const known = this.#environments.get(environment.name);
    return review({
      ...proposal,
      repository: { name: this.repository.name, url: this.repository.url },
      reader: mirror.repository,
      environment,
      governance,
      problems: environment.name === GOVERNANCE ? problems : [...problems, ...governance.misfits],
      grants: environment.target === null ? null : (grants.get(environment.target) ?? 'unknown target'),
      approvals: (bytes, commits) =>
        this.known.counted.counting(bytes, commits, {
          signers: governance.signers,
          inForce,
          whyNotCarried: (from) =>
            whyNotCarried(from, bytes, {
              repository: mirror.repository,
              environment,
              settings: governance.settings,
              cache,
              redactor,
            }),
        }),
      firstSeen: async (id) => {
        const seen = await records.select('commit', ['id', 'firstSeen'], { repository: this.repository.name, id });
        return new Map(seen.map((record) => [record.id, new Date(record.firstSeen)]));
      },
      approved: known?.approved ?? null,
      was: known && approvedDefinition(known, environment),
      cache,
      mostCommits,
      live,
      evaluator,
      redactor,
      now,
    });
  }

  /**
   * The decision, its change, the environment's new state, and what governs from here on if that is what was allowed: one
   * transaction, one entry. Governance that was allowed but not taken up would never be looked at again.
   */
  async record(
    environment: Environment,
    reviewed: Reviewed,
    governance: Governance,
    proposed: Governance | null = null,
    override: Override | null = null,
  ): Promise<DecisionRecord> {
    const { ledger, records } = this.parts;
    const { facts } = reviewed;
    const { change, decision } = reviewed.record;
    const before = this.#environments.get(environment.name) ?? newEnvironment(this.repository.name, environment);
    const allowed = decision.outcome === 'allow';
    // What an administrator lets in governs from here on; the decision stays what policy made it.
    const takenUp = allowed || override !== null;
    // One change owes one review, however often policy judges it again.
    const { name: repository } = this.repository;
    const opened = override ? overriding(override, reviewed) : reviewed.duty;
    const owed =
      opened && (await records.find('reviewDuty', { repository, environment: environment.name, head: change.head }));
    const duty = owed?.length === 0 ? opened : null;
    const after: EnvironmentRecord = {
      ...before,
      ...definition(environment),
      head: change.head,
      headDecision: decision.id,
      headOutcome: decision.outcome,
      ...(allowed ? { approved: change.head, approvedDecision: decision.id, approvedDefinition: environment } : {}),
      ...(await this.#compliance(before, reviewed, governance)),
      updatedAt: decision.time,
    };
    const state =
      takenUp && proposed
        ? {
            ...this.known.state.record,
            governanceCommit: proposed.commit,
            organisationCommit: proposed.organisation?.commit ?? null,
            bundleDigest: proposed.bundle.digest,
            updatedAt: decision.time,
          }
        : null;
    const exceptions = state && proposed ? await this.known.exceptions.moves(proposed, decision.time) : null;
    const usedUp = allowed ? await this.known.counted.usedElsewhere(environment, change.head) : [];
    const { entries } = await ledger.record(async (transaction) => {
      if (state) await this.known.state.write(transaction, state);
      await records.save(transaction, 'change', [change]);
      await records.save(transaction, 'objectChange', reviewed.record.objectChanges);
      await records.save(transaction, 'decision', [decision]);
      if (duty) await records.save(transaction, 'reviewDuty', [duty]);
      // What was reverted since may not come back under the approvals that it once had.
      const usedFor = change.head;
      if (allowed)
        for (const id of decision.approvals) await records.update('approval', { id }, { usedFor }, transaction);
      for (const id of usedUp) await records.update('approval', { id }, elsewhere(environment), transaction);
      await this.#writeEnvironment(transaction, after);
      transaction.append(decisionEntry({ ...facts, reviewDue: duty?.dueAt ?? null, ...judgedBy(governance) }));
      if (override && proposed) transaction.append(overrideEntry(override, reviewed, proposed.bundle.digest));
      await exceptions?.save(transaction);
    });
    const index = entries[0].index;
    await records.update('decision', { id: decision.id }, { index });
    await exceptions?.placed(entries.slice(override && proposed ? 2 : 1));
    if (state) this.known.state.written(state);
    this.#environments.set(environment.name, after);
    this.#approvedAnew.delete(environment.name);
    this.#outdated.delete(environment.name);
    if (decision.outcome === 'error') this.#retries.failed(environment.name, change.head);
    else this.#retries.settled(environment.name);
    const recorded = { ...decision, index };
    this.parts.events.decided(recorded);
    return recorded;
  }

  /**
   * Whether what is approved from here on complies. One allowed push says nothing of what was wrong before it: that stays wrong until
   * all that came since it was last right is found to be without a violation.
   */
  async #compliance(
    before: EnvironmentRecord,
    { change, push, record: { decision } }: Reviewed,
    governance: Governance,
  ): Promise<Pick<EnvironmentRecord, 'noLongerCompliant' | 'nonCompliantFrom'>> {
    const { noLongerCompliant, nonCompliantFrom } = before;
    const { base, head, environment } = change;
    if (decision.outcome !== 'allow') {
      if (before.approved !== head) return { noLongerCompliant, nonCompliantFrom };
      // Of two beginnings the earlier one: what is wrong since then is wrong since later, too.
      const earlier = noLongerCompliant && !(await this.#isEarlier(base, nonCompliantFrom));
      return { noLongerCompliant: true, nonCompliantFrom: earlier ? nonCompliantFrom : base };
    }
    const complies = { noLongerCompliant: false, nonCompliantFrom: null };
    if (!noLongerCompliant || base === nonCompliantFrom) return complies;
    const proposal = { environment, governance, inForce: true, push, base: nonCompliantFrom, head };
    const { decision: whole } = (await this.review(proposal)).record;
    return whole.violations.length === 0 && !whole.error ? complies : { noLongerCompliant, nonCompliantFrom };
  }

  async #isEarlier(base: string | null, other: string | null): Promise<boolean> {
    if (base === null || other === null) return base === null;
    return this.parts.mirror.repository.isAncestor(base, other);
  }

  /** Leaves what is known of the target to whoever reconciles it, in a row that exists. */
  async #writeEnvironment(transaction: LedgerTransaction, record: EnvironmentRecord): Promise<void> {
    const { repository, name, status: _s, trouble: _t, gate: _g, healthy: _h, healthyDecision: _d, ...values } = record;
    if (!this.#environments.has(name)) await this.parts.records.save(transaction, 'environment', [record]);
    else await this.parts.records.update('environment', { repository, name }, values, transaction);
  }
}

/** One approval lets one change through to one place: it does not come to life again when the environment goes back there. */
function elsewhere({ name, target }: Environment): Pick<ApprovalRecord, 'status' | 'reason'> {
  return { status: 'lapsed', reason: `${name} has moved to ${target ?? 'no target'} since it let this through` };
}

/** Somebody else looks at it afterwards, as at any emergency. */
function overriding({ administrator, reason, ticket }: Override, { facts, record }: Reviewed): ReviewDutyRecord {
  const { id, repository, environment, head, time } = facts;
  return {
    id,
    change: record.change.id,
    repository,
    environment,
    head,
    principal: administrator,
    reason,
    ticket,
    openedAt: time,
    dueAt: reviewDue(new Date(time)),
    closedAt: null,
    approval: null,
  };
}
