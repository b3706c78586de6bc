import { randomUUID } from 'node:crypto';
import { GOVERNANCE } from '../change/environment.js';
import { SETTINGS_FILE } from '../change/environments.js';
import { CountersignError, type ErrorCode, toCountersignError } from '../errors.js';
import type { Decisions } from './decisions.js';
import { genesisEntry } from './entries.js';
import type { ClockedParts, FollowedRepository } from './followed-repository.js';
import { isGoverned } from './governed-files.js';
import { type Governance, governanceEnvironment, initialTrust, problemsOf } from './governance.js';
import { recentImpact } from './impact.js';
import type { ImpactTally } from './impact-tally.js';
import { overrideOf } from './override.js';
import type { Pushes } from './pushes.js';
import type { RecordedExceptions } from './recorded-exceptions.js';
import type { RepositoryRecord, TipRecord, Trouble } from './records.js';
import type { RepositoryState } from './repository-state.js';
import type { Reviewed } from './review.js';
import { describeTrouble } from './trouble.js';

interface Known {
  readonly state: RepositoryState;
  readonly pushes: Pushes;
  readonly decisions: Decisions;
  readonly exceptions: RecordedExceptions;
}

/** What governs one repository, and how that moves: where trust begins, and what the governance in force allows in its place. */
export class GovernanceMoves {
  #inForce: Governance | null = null;
  /** The governance head judged last, so that a denied one is not judged at every look. */
  #judged: string | null = null;

  constructor(
    private readonly repository: FollowedRepository,
    private readonly parts: ClockedParts,
    private readonly known: Known,
  ) {}

  /** Null until something governs. */
  get inForce(): Governance | null {
    return this.#inForce;
  }

  /** After the decisions are loaded. */
  load(): void {
    this.#judged = this.known.decisions.environments.get(GOVERNANCE)?.head ?? null;
  }

  /** What was in force when the process before this one ended. */
  async resume(commit: string): Promise<Governance> {
    const { state } = this.known;
    const governance = await this.parts.governance.read(this.parts.mirror.repository, commit);
    this.#inForce = governance;
    // Another release of ours may bring other starter rules: what is in force is what everything is judged by from here on.
    const { digest } = governance.bundle;
    if (digest !== state.record.bundleDigest) await state.save({ bundleDigest: digest });
    return governance;
  }

  /** Judges what the governance ref points to. Gives what governs from now on in place of another; null if nothing was taken up. */
  async review(): Promise<Governance | null> {
    const { pushes, decisions } = this.known;
    const tip = pushes.tip(this.repository.governance);
    if (!tip)
      throw new CountersignError('repository-empty', `${this.repository.name} has no ${this.repository.governance}`, {
        remedy: 'Push that branch, or name another under governance: in the configuration',
        retry: true,
      });
    const governance = this.#inForce ?? (await this.#begin(tip));
    const approved = decisions.isApprovedAnew(GOVERNANCE);
    const retry = decisions.isToRetry(GOVERNANCE, tip.commit);
    if (tip.commit === governance.commit || (tip.commit === this.#judged && !approved && !retry)) return null;
    const { repository } = this.parts.mirror;
    const touched = await repository.changes(governance.commit, tip.commit);
    if (!touched.some((file) => isGoverned(file.path, governance.settings))) {
      this.#judged = tip.commit;
      decisions.forgetApproval(GOVERNANCE);
      return null;
    }
    const environment = governanceEnvironment(this.repository.governance);
    const push = await pushes.find(tip.push);
    const proposed = await this.parts.governance.attempt(repository, tip.commit);
    const change = { environment, push, base: governance.commit, head: tip.commit };
    // A policy that cannot even judge the change that brings it could never be replaced by another: it is not let in.
    const trial =
      proposed.governance &&
      (await decisions.review({ ...change, governance: proposed.governance, inForce: false })).record.decision.error;
    const faults = problemsOf(proposed, governance);
    const problems = trial ? [...faults, unfit(trial)] : faults;
    const judged = await decisions.review({ ...change, governance, inForce: true, problems });
    if (retry && !approved && decisions.failsAgain(environment.name, judged)) return null;
    const impact = await this.#impactOf(proposed.governance, governance);
    const reviewed = impact ? withImpact(judged, impact) : judged;
    const override =
      proposed.governance && problems.length === 0
        ? overrideOf(this.repository, await repository.commit(tip.commit), reviewed, this.parts.now())
        : null;
    const decision = await decisions.record(environment, reviewed, governance, proposed.governance, override);
    this.#judged = tip.commit;
    if ((decision.outcome !== 'allow' && !override) || !proposed.governance) return null;
    this.#inForce = proposed.governance;
    return proposed.governance;
  }

  /** What another policy would have done to the newest decisions; it also warms up what will judge from then on. Never in the way. */
  async #impactOf(proposed: Governance | null, inForce: Governance): Promise<ImpactTally | null> {
    const { past, evaluator, events } = this.parts;
    if (!past || !proposed || proposed.bundle.digest === inForce.bundle.digest) return null;
    try {
      return await recentImpact(past, this.repository.name, proposed.bundle, evaluator);
    } catch (thrown) {
      events.fault(describeTrouble(toCountersignError(thrown)), this.repository.name);
      return null;
    }
  }

  /** The first governance commit comes from the service's own configuration, never from the repository (invariant 2). */
  async #begin(tip: TipRecord): Promise<Governance> {
    const { ledger, mirror } = this.parts;
    const commit = await initialTrust(mirror.repository, this.repository.trust, tip.commit, tip.ref);
    const governance = await this.parts.governance.read(mirror.repository, commit);
    const time = this.parts.now().toISOString();
    const state: RepositoryRecord = {
      ...this.known.state.record,
      state: 'ok',
      trouble: null,
      governanceCommit: commit,
      bundleDigest: governance.bundle.digest,
      updatedAt: time,
    };
    const trust = this.repository.trust.commit === undefined ? 'key' : 'commit';
    const exceptions = await this.known.exceptions.moves(governance, time);
    // First: a process that dies on the way begins again, and nothing is left unchecked.
    await this.known.pushes.recheckSignatures(governance.signers);
    const { entries } = await ledger.record(async (transaction) => {
      await this.known.state.write(transaction, state);
      transaction.append(
        genesisEntry({
          id: randomUUID(),
          repository: this.repository.name,
          ref: this.repository.governance,
          commit,
          trust,
          bundle: governance.bundle,
          time,
        }),
      );
      await exceptions.save(transaction);
    });
    await exceptions.placed(entries.slice(1));
    this.known.state.written(state);
    this.#inForce = governance;
    return governance;
  }
}

function withImpact({ facts, record, ...rest }: Reviewed, impact: ImpactTally): Reviewed {
  const decision = { ...record.decision, impact };
  return { ...rest, facts: { ...facts, impact }, record: { ...record, decision } };
}

function unfit({ code, message, place }: Trouble): CountersignError {
  return new CountersignError(
    code as ErrorCode,
    `the proposed policy cannot judge the change that brings it: ${message}`,
    {
      place: place ?? { file: SETTINGS_FILE },
      remedy: 'Mend that policy and push again; until then the one before it stays in force',
    },
  );
}
