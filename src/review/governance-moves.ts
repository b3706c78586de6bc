import { randomUUID } from 'node:crypto';
import { GOVERNANCE } from '../change/environment.js';
import { SETTINGS_FILE } from '../change/environments.js';
import { CountersignError, type ErrorCode, toCountersignError } from '../errors.js';
import type { OrganisationPolicy } from '../policy/organisation.js';
import type { Decisions } from './decisions.js';
import { genesisEntry } from './entries.js';
import type { ClockedParts, FollowedRepository } from './followed-repository.js';
import { isGoverned } from './governed-files.js';
import { type Governance, governanceEnvironment, initialTrust, judgedBy, problemsOf } from './governance.js';
import { recentImpact } from './impact.js';
import { type ImpactTally, NO_IMPACT } from './impact-tally.js';
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
  /** The organisation's commit that was found not to fit what governs here. */
  #misfit: string | null = null;

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
    const { organisation } = this.parts;
    const above = state.record.organisationCommit;
    const governance = await this.parts.governance.read(
      this.parts.mirror.repository,
      commit,
      organisation && above !== null ? await organisation.at(above) : undefined,
    );
    // Another release of ours may bring other starter rules: what is in force is what everything is judged by from here on.
    const { digest } = governance.bundle;
    const organisationCommit = governance.organisation?.commit ?? null;
    if (digest !== state.record.bundleDigest || organisationCommit !== above)
      await state.save({ bundleDigest: digest, organisationCommit });
    this.#take(governance);
    return governance;
  }

  #take(governance: Governance): void {
    this.#inForce = governance;
    this.parts.events.governs(governance, this.repository.name);
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
    const before = this.#inForce ?? (await this.#begin(tip));
    const governance = await this.#keepUp(before, tip);
    const takenUp = governance.organisation?.commit === before.organisation?.commit ? null : governance;
    const approved = decisions.isApprovedAnew(GOVERNANCE);
    const retry = decisions.isToRetry(GOVERNANCE, tip.commit);
    if (tip.commit === governance.commit || (tip.commit === this.#judged && !approved && !retry)) return takenUp;
    const { repository } = this.parts.mirror;
    const touched = await repository.changes(governance.commit, tip.commit);
    if (!touched.some((file) => isGoverned(file.path, governance.settings))) {
      this.#judged = tip.commit;
      decisions.forgetApproval(GOVERNANCE);
      return takenUp;
    }
    const environment = governanceEnvironment(this.repository.governance);
    const push = await pushes.find(tip.push);
    const proposed = await this.parts.governance.attempt(repository, tip.commit, this.#organisation());
    const change = { environment, push, base: governance.commit, head: tip.commit };
    // A policy that cannot even judge the change that brings it could never be replaced by another: it is not let in.
    const trial =
      proposed.governance &&
      (await decisions.review({ ...change, governance: proposed.governance, inForce: false })).record.decision.error;
    const faults = problemsOf(proposed, governance);
    const problems = trial ? [...faults, unfit(trial)] : faults;
    const judged = await decisions.review({ ...change, governance, inForce: true, problems });
    if (retry && !approved && decisions.failsAgain(environment.name, judged)) return takenUp;
    const impact = trial ? null : await this.#impactOf(proposed.governance, governance);
    const reviewed = impact ? withImpact(judged, impact) : judged;
    const override =
      proposed.governance && problems.length === 0
        ? overrideOf(this.repository, await repository.commit(tip.commit), reviewed, this.parts.now())
        : null;
    const decision = await decisions.record(environment, reviewed, governance, proposed.governance, override);
    this.#judged = tip.commit;
    if ((decision.outcome !== 'allow' && !override) || !proposed.governance) return takenUp;
    this.#take(proposed.governance);
    return proposed.governance;
  }

  /** What lies above: undefined where there is no organisation. */
  #organisation(): OrganisationPolicy | undefined {
    const { organisation } = this.parts;
    const inForce = organisation?.inForce();
    if (inForce !== null) return inForce;
    throw new CountersignError(
      'repository-empty',
      'nothing governs the organisation yet, whose policy lies above this',
      {
        remedy: 'Look at the repository under organisation: in the configuration',
        retry: true,
      },
    );
  }

  /**
   * What governs, under the organisation's policy as it is now. Where the two do not go together, what was in force stays, for the repair
   * of what is live, and whatever is proposed is denied until somebody mends it: a repository could otherwise stand in the way of rules
   * above it by taking their names.
   */
  async #keepUp(governance: Governance, tip: TipRecord): Promise<Governance> {
    const organisation = this.#organisation();
    if (!organisation || organisation.commit === governance.organisation?.commit) return governance;
    if (organisation.commit === this.#misfit) return governance;
    const { repository } = this.parts.mirror;
    const { governance: under, problems } = await this.parts.governance.attempt(
      repository,
      governance.commit,
      organisation,
    );
    if (!under) {
      const misfits = problems.map((problem) => misfit(problem, organisation));
      this.#misfit = organisation.commit;
      this.#inForce = { ...governance, misfits };
      await this.#tellMisfit(this.#inForce, tip);
      return this.#inForce;
    }
    const { state, exceptions } = this.known;
    const time = this.parts.now().toISOString();
    const moves = await exceptions.moves(under, time);
    const record = {
      ...state.record,
      bundleDigest: under.bundle.digest,
      organisationCommit: organisation.commit,
      updatedAt: time,
    };
    const { entries } = await this.parts.ledger.record(async (transaction) => {
      await state.write(transaction, record);
      await moves.save(transaction);
    });
    await moves.placed(entries);
    state.written(record);
    this.#misfit = null;
    this.#take(under);
    return under;
  }

  /** A decision on what governs as it is, once. */
  async #tellMisfit(governance: Governance, tip: TipRecord): Promise<void> {
    const { pushes, decisions } = this.known;
    const last = decisions.environments.get(GOVERNANCE)?.headDecision;
    const [told] = last ? await this.parts.records.find('decision', { id: last }) : [];
    const messages = new Set(told?.violations.map(({ message }) => message));
    if (governance.misfits.every(({ message }) => messages.has(message))) return;
    const environment = governanceEnvironment(this.repository.governance);
    const reviewed = await decisions.review({
      environment,
      governance,
      inForce: true,
      push: await pushes.find(tip.push),
      base: governance.commit,
      head: governance.commit,
      problems: governance.misfits,
    });
    await decisions.record(environment, reviewed, governance);
  }

  /** What another policy would have done to the newest decisions; it also warms up what will judge from then on. Never in the way. */
  async #impactOf(proposed: Governance | null, inForce: Governance): Promise<ImpactTally | null> {
    const { past, evaluator, events, below } = this.parts;
    if (!past || !proposed) return null;
    try {
      const own = { repository: this.repository.name, bundle: proposed.bundle };
      const differing = [
        ...(proposed.bundle.digest === inForce.bundle.digest ? [] : [own]),
        ...(proposed.above && below ? await below(proposed.above) : []),
      ];
      if (differing.length === 0) return null;
      let tally = NO_IMPACT;
      for (const { repository, bundle } of differing)
        tally = await recentImpact(past, repository, bundle, evaluator, tally);
      return tally;
    } catch (thrown) {
      events.fault(describeTrouble(toCountersignError(thrown)), this.repository.name);
      return null;
    }
  }

  /** The first governance commit comes from the service's own configuration, never from the repository (invariant 2). */
  async #begin(tip: TipRecord): Promise<Governance> {
    const { ledger, mirror } = this.parts;
    const commit = await initialTrust(mirror.repository, this.repository.trust, tip.commit, tip.ref);
    const governance = await this.parts.governance.read(mirror.repository, commit, this.#organisation());
    const time = this.parts.now().toISOString();
    const state: RepositoryRecord = {
      ...this.known.state.record,
      state: 'ok',
      trouble: null,
      governanceCommit: commit,
      bundleDigest: governance.bundle.digest,
      organisationCommit: governance.organisation?.commit ?? null,
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
          ...judgedBy(governance),
          time,
        }),
      );
      await exceptions.save(transaction);
    });
    await exceptions.placed(entries.slice(1));
    this.known.state.written(state);
    this.#take(governance);
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

function misfit(
  { code, message, place, remedy }: CountersignError,
  { repository, commit }: OrganisationPolicy,
): CountersignError {
  return new CountersignError(
    code,
    `it does not go with the organisation’s policy (${repository} ${commit.slice(0, 7)}): ${message}`,
    {
      ...(place ? { place } : {}),
      remedy: remedy ?? 'Mend it and push; until then nothing that is proposed here is allowed',
    },
  );
}
