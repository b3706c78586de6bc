import { randomUUID } from 'node:crypto';
import type { Inclusion, Ledger, LedgerTransaction } from '../audit/ledger.js';
import { GOVERNANCE, type Environment } from '../change/environment.js';
import type { ManifestObject } from '../cluster/object.js';
import type { Grant } from '../change/grant.js';
import type { ManifestCache } from '../change/manifest-cache.js';
import { render } from '../change/render.js';
import { SETTINGS_FILE } from '../change/environments.js';
import { CountersignError, type ErrorCode, toCountersignError } from '../errors.js';
import type { Evaluator } from '../policy/evaluator.js';
import type { Redactor } from '../cluster/secret.js';
import type { CommitWithFiles, Mirror, RefMove } from '../source/repository.js';
import { checkSignature, NO_SIGNERS, type Signers } from '../source/signers.js';
import { APPROVALS_REF } from './approval.js';
import { Approvals } from './approvals.js';
import { changeBase } from './base.js';
import { decisionEntry, genesisEntry, pushEntry } from './entries.js';
import { isGoverned } from './governed-files.js';
import { type PastDecisions, recentImpact } from './impact.js';
import type { ImpactTally } from './impact-tally.js';
import { changeCommits, ingestCommits } from './ingest.js';
import {
  type Governance,
  type GovernanceReader,
  governanceEnvironment,
  initialTrust,
  problemsOf,
  type Standing,
} from './governance.js';
import type {
  CommitRecord,
  DecisionRecord,
  EnvironmentRecord,
  FaultRecord,
  PushRecord,
  Records,
  RepositoryRecord,
  TipRecord,
  Trouble,
} from './records.js';
import { RecordedExceptions } from './recorded-exceptions.js';
import { pauseAfter, Retries } from './pace.js';
import { repairIndexes } from './repair-indexes.js';
import { recordFault } from './record-fault.js';
import { type Reviewed, review } from './review.js';
import { describeTrouble } from './trouble.js';

/** A repository as the service's own configuration names it. */
export interface FollowedRepository {
  readonly name: string;
  readonly url: string;
  readonly refs: readonly string[];
  readonly governance: string;
  readonly trust: { readonly commit?: string; readonly key?: string };
  readonly pollMilliseconds: number;
}

/** An environment's head as it was approved: what a reconciler may be given. */
export interface Approved {
  readonly repository: string;
  readonly environment: Environment;
  readonly head: string;
  /** Everything that the environment holds at head, unredacted. */
  readonly objects: readonly ManifestObject[];
  readonly decision: DecisionRecord;
  readonly inclusion: Inclusion;
  /** True when the bundle in force would no longer allow it: repair goes on under its original allow. */
  readonly noLongerCompliant: boolean;
}

/** What a follower tells the rest of the service. Each is called after the thing is in the log. */
export interface FollowerEvents {
  approved(approved: Approved): void;
  /** A decision of any outcome. */
  decided(decision: DecisionRecord): void;
  /** Removed from the governed configuration: its objects are left alone. */
  removed(repository: string, environment: string): void;
  /** Defined, but there is nothing to judge. */
  unserved(repository: string, environment: Environment, trouble: Trouble): void;
  fault(trouble: Trouble, repository: string): void;
}

export interface FollowerParts {
  readonly ledger: Ledger;
  readonly records: Records;
  readonly mirror: Mirror;
  readonly governance: GovernanceReader;
  readonly evaluator: Evaluator;
  readonly redactor: Redactor;
  readonly cache: ManifestCache;
  /** Grants by target; a target not in it is not configured. */
  readonly grants: ReadonlyMap<string, readonly Grant[]>;
  /** Commits of one change; see `proposeChange`. */
  readonly mostCommits?: number;
  readonly events: FollowerEvents;
  /** What changes of policy are held against. */
  readonly past?: PastDecisions;
  readonly now?: () => Date;
}

/** What a repository says that does not hold a commit which was once there. */
const MISSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'revision-unknown',
  'object-missing',
  'repository-corrupt',
]);
/** After these it is not known whether what was under way is recorded: the records are asked again. */
const UNCERTAIN: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['database-unavailable', 'disk-full', 'internal']);

/**
 * Follows one repository: sees refs move, records the pushes, reviews what they propose, and says what was approved.
 *
 * Every step starts from what the records say and ends in one transaction with its entry, so a process killed between any
 * two of them takes the same step again and nothing is judged, or approved, twice or never. One follower runs per repository
 * and takes one step at a time; that is what makes "base is the last approved commit" true when the decision is recorded.
 */
export class RepositoryFollower {
  readonly #now: () => Date;
  #tips = new Map<string, TipRecord>();
  #environments = new Map<string, EnvironmentRecord>();
  #governance: Governance | null = null;
  /** The governance head judged last, so that a denied one is not judged at every look. */
  #governanceJudged: string | null = null;
  readonly #approvals: Approvals;
  readonly #exceptions: RecordedExceptions;
  /** Environments whose waiting change got an approval since it was judged. */
  #approvedAnew = new Set<string>();
  /** Environments judged last before what governs now did: policy may be the same, and signers or the definition others. */
  #outdated = new Set<string>();
  /** Refs that are not there, by environment: told once. */
  readonly #unserved = new Map<string, string>();
  readonly #retries = new Retries();
  #state: RepositoryRecord | null = null;
  #stopped = false;
  #wake: (() => void) | null = null;
  #nudged = false;
  #running: Promise<void> | null = null;
  #failures = 0;
  /** What the log could not take when it happened. */
  #unrecorded: FaultRecord | null = null;

  constructor(
    readonly repository: FollowedRepository,
    private readonly parts: FollowerParts,
  ) {
    this.#now = parts.now ?? (() => new Date());
    const { ledger, records, mirror } = parts;
    this.#approvals = new Approvals(repository.name, {
      ledger,
      records,
      repository: mirror.repository,
      now: this.#now,
    });
    this.#exceptions = new RecordedExceptions(repository.name, records);
  }

  start(): void {
    this.#running ??= this.#loop();
  }

  /** Looks again now rather than at the next poll; after the look under way, which may have missed what this is about. */
  nudge(): void {
    this.#nudged = true;
    this.#wake?.();
  }

  /** What governs now, and where the followed refs are; null until something governs. */
  get standing(): Standing | null {
    if (!this.#governance) return null;
    return { governance: this.#governance, tips: new Map([...this.#tips].map(([ref, tip]) => [ref, tip.commit])) };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
    await this.parts.mirror.close();
  }

  async #loop(): Promise<void> {
    let loaded = false;
    while (!this.#stopped) {
      try {
        this.#nudged = false;
        if (!loaded) {
          if (this.#failures > 0) await repairIndexes(this.parts.ledger, this.parts.records);
          await this.#load();
          loaded = true;
        }
        if (this.#unrecorded) await recordFault(this.parts.ledger, this.parts.records, this.#unrecorded);
        this.#unrecorded = null;
        await this.look();
        if (this.#failures > 0 || this.#state?.state === 'new') await this.#settled();
        this.#failures = 0;
      } catch (thrown) {
        const error = toCountersignError(thrown);
        if (UNCERTAIN.has(error.code)) loaded = false;
        await this.#failed(error);
      }
      if (!this.#stopped && !this.#nudged) {
        await this.#pause(pauseAfter(this.repository.pollMilliseconds, this.#failures));
      }
    }
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** One look at the repository: everything that moved is recorded and judged when it returns. */
  async look(): Promise<void> {
    await this.#seePushes();
    await this.#judge();
    // Last, so that an approval finds the change judged that it was made for.
    if (await this.#seeApprovals()) await this.#judge();
  }

  async #judge(): Promise<void> {
    await this.#reviewGovernance();
    if (!this.#governance) return;
    for (const environment of this.#governance.environments) {
      await this.#reviewEnvironment(environment, this.#governance);
    }
  }

  /** Whether a change that waits got an approval. */
  async #seeApprovals(): Promise<boolean> {
    if (!this.#governance) return false;
    const heads = new Map([...this.#environments].map(([name, { head }]) => [name, head]));
    const tip = this.#tips.get(APPROVALS_REF)?.commit ?? null;
    for (const name of await this.#approvals.see(tip, heads, this.#governance.signers)) {
      if (this.#environments.get(name)?.headOutcome === 'pending') this.#approvedAnew.add(name);
    }
    return this.#approvedAnew.size > 0;
  }

  /** Takes up what was recorded before: tips, environments, the governance in force; then says again what is approved. */
  async #load(): Promise<void> {
    const { records } = this.parts;
    const own = { repository: this.repository.name };
    const [state] = await records.find('repository', { name: this.repository.name });
    this.#state = state ?? {
      name: this.repository.name,
      url: this.repository.url,
      state: 'new',
      trouble: null,
      governanceRef: this.repository.governance,
      governanceCommit: null,
      bundleDigest: null,
      updatedAt: this.#now().toISOString(),
    };
    if (!state) await this.#saveState({});
    this.#tips = new Map((await records.find('tip', own)).map((tip) => [tip.ref, tip]));
    this.#environments = new Map((await records.find('environment', own)).map((record) => [record.name, record]));
    this.#outdated = await this.#judgedBefore(this.#environments.get(GOVERNANCE)?.approvedDecision);
    this.#governanceJudged = this.#environments.get(GOVERNANCE)?.head ?? null;
    for (const { name, head, headDecision, headOutcome } of this.#environments.values()) {
      if (headOutcome !== 'pending' || head === null || headDecision === null) continue;
      if (await this.#approvals.unjudged(name, head, headDecision)) this.#approvedAnew.add(name);
    }
    if (!this.#state.governanceCommit) return;
    try {
      await this.#resumeAll(this.#state.governanceCommit);
    } catch (thrown) {
      if (!MISSING.has(toCountersignError(thrown).code)) throw thrown;
      // The mirror was made anew, or is an older copy: what is recorded is found again where it came from.
      await this.parts.mirror.fetch(new Map());
      await this.#resumeAll(this.#state.governanceCommit);
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

  async #resumeAll(governanceCommit: string): Promise<void> {
    this.#governance = await this.parts.governance.read(this.parts.mirror.repository, governanceCommit);
    // Another release of ours may bring other starter rules: what is in force is what everything is judged by from here on.
    const { digest } = this.#governance.bundle;
    if (digest !== this.#state!.bundleDigest) await this.#saveState({ bundleDigest: digest });
    // The process that took it up may have died before anybody heard of it.
    this.#tellRemoved(this.#governance);
    for (const environment of this.#governance.environments) await this.#resume(environment);
  }

  /** An environment approved before this process started is held to that again. */
  async #resume(environment: Environment): Promise<void> {
    const record = this.#environments.get(environment.name);
    if (!record?.approved || !record.approvedDecision) return;
    // As it was defined then: another definition may be in force that nobody has allowed this commit under.
    const held = record.approvedDefinition ?? (sameDefinition(record, environment) ? environment : null);
    const [decision] = await this.parts.records.find('decision', { id: record.approvedDecision });
    if (!held || !decision) return;
    const { objects } = await render(this.parts.mirror.repository, held, record.approved, this.parts.cache);
    await this.#announce(held, record.approved, objects, decision, record.noLongerCompliant);
  }

  // ---- pushes ----

  async #seePushes(): Promise<void> {
    const remote = await this.parts.mirror.poll();
    if (sameTips(remote, this.#tips)) return;
    const seen = new Map([...this.#tips].map(([ref, tip]) => [ref, tip.commit]));
    for (const move of await this.parts.mirror.fetch(seen)) await this.#recordPush(move);
  }

  async #recordPush(move: RefMove): Promise<void> {
    const { ledger, records, mirror } = this.parts;
    const time = this.#now();
    const push: PushRecord = {
      id: randomUUID(),
      repository: this.repository.name,
      ref: move.ref,
      kind: move.kind,
      old: move.old,
      new: move.new,
      time: time.toISOString(),
      index: null,
    };
    // Approvals are read as such; what carries them is no commit that anybody proposes.
    const range =
      move.new && move.ref !== APPROVALS_REF
        ? { head: move.new, exclude: [...new Set([...this.#tips.values()].map((tip) => tip.commit))] }
        : null;
    const signers = this.#governance?.signers ?? NO_SIGNERS;
    const parts = { ledger, records, reader: mirror.repository, repository: this.repository.name };
    const count = range ? await ingestCommits(range, parts, (seen) => this.#commitRecord(seen, time, signers)) : 0;
    const { entries } = await ledger.record(async (transaction) => {
      await records.save(transaction, 'push', [push]);
      if (move.new) {
        const tip = { repository: this.repository.name, ref: move.ref, commit: move.new, push: push.id };
        await records.save(transaction, 'tip', [tip]);
      } else {
        await records.remove(transaction, 'tip', { repository: this.repository.name, ref: move.ref });
      }
      transaction.append(pushEntry(push, count));
    });
    await records.update('push', { id: push.id }, { index: entries[0].index });
    if (move.new) {
      this.#tips.set(move.ref, { repository: this.repository.name, ref: move.ref, commit: move.new, push: push.id });
    } else {
      this.#tips.delete(move.ref);
    }
  }

  #commitRecord({ commit, files }: CommitWithFiles, seen: Date, signers: Signers): CommitRecord {
    const { id, tree, parents, author, committer, message } = commit;
    return {
      repository: this.repository.name,
      id,
      tree,
      parents,
      author,
      committer,
      message,
      signature: checkSignature(commit, signers, seen),
      files: files.map(({ path, op, mode }) => ({ path, op, mode })),
      firstSeen: seen.toISOString(),
    };
  }

  // ---- governance ----

  async #reviewGovernance(): Promise<void> {
    const tip = this.#tips.get(this.repository.governance);
    if (!tip)
      throw new CountersignError('repository-empty', `${this.repository.name} has no ${this.repository.governance}`, {
        remedy: 'Push that branch, or name another under governance: in the configuration',
        retry: true,
      });
    if (!this.#governance && !(await this.#begin(tip))) return;
    const governance = this.#governance!;
    const approved = this.#approvedAnew.has(GOVERNANCE);
    const retry = this.#isToRetry(GOVERNANCE, tip.commit);
    if (tip.commit === governance.commit || (tip.commit === this.#governanceJudged && !approved && !retry)) return;
    const { repository } = this.parts.mirror;
    const touched = await repository.changes(governance.commit, tip.commit);
    if (!touched.some((file) => isGoverned(file.path, governance.settings))) {
      this.#governanceJudged = tip.commit;
      this.#approvedAnew.delete(GOVERNANCE);
      return;
    }
    const environment = governanceEnvironment(this.repository.governance);
    const push = await this.#push(tip.push);
    const proposed = await this.parts.governance.attempt(repository, tip.commit);
    const judge = (by: Governance, problems: readonly CountersignError[]): Promise<Reviewed> =>
      this.#review(environment, by, push, governance.commit, tip.commit, problems);
    // A policy that cannot even judge the change that brings it could never be replaced by another: it is not let in.
    const trial = proposed.governance && (await judge(proposed.governance, [])).record.decision.error;
    const faults = problemsOf(proposed, governance);
    const problems = trial ? [...faults, unfit(trial)] : faults;
    const judged = await judge(governance, problems);
    if (retry && !approved && this.#failsAgain(environment.name, judged)) return;
    const impact = await this.#impactOf(proposed.governance);
    const reviewed = impact ? withImpact(judged, impact) : judged;
    const decision = await this.#record(environment, reviewed, governance, proposed.governance);
    this.#governanceJudged = tip.commit;
    if (decision.outcome === 'allow' && proposed.governance) this.#adopt(proposed.governance);
  }

  /** What another policy would have done to the newest decisions; it also warms up what will judge from then on. Never in the way. */
  async #impactOf(proposed: Governance | null): Promise<ImpactTally | null> {
    const { past, evaluator, events } = this.parts;
    if (!past || !proposed || proposed.bundle.digest === this.#governance!.bundle.digest) return null;
    try {
      return await recentImpact(past, this.repository.name, proposed.bundle, evaluator);
    } catch (thrown) {
      events.fault(describeTrouble(toCountersignError(thrown)), this.repository.name);
      return null;
    }
  }

  /** The first governance commit comes from the service's own configuration, never from the repository (invariant 2). */
  async #begin(tip: TipRecord): Promise<boolean> {
    const { ledger, records, mirror } = this.parts;
    const commit = await initialTrust(mirror.repository, this.repository.trust, tip.commit, tip.ref);
    const governance = await this.parts.governance.read(mirror.repository, commit);
    const time = this.#now().toISOString();
    const state: RepositoryRecord = {
      ...this.#state!,
      state: 'ok',
      trouble: null,
      governanceCommit: commit,
      bundleDigest: governance.bundle.digest,
      updatedAt: time,
    };
    const trust = this.repository.trust.commit === undefined ? 'key' : 'commit';
    const exceptions = await this.#exceptions.moves(governance, time);
    // First: a process that dies on the way begins again, and nothing is left unchecked.
    await this.#recheckSignatures(governance);
    const { entries } = await ledger.record(async (transaction) => {
      await records.save(transaction, 'repository', [state]);
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
    this.#state = state;
    this.#governance = governance;
    return true;
  }

  /** Commits seen before anybody was trusted get their signatures checked now, still at the time they were first seen. */
  async #recheckSignatures(governance: Governance): Promise<void> {
    const { ledger, records, mirror } = this.parts;
    const parts = { ledger, records, reader: mirror.repository, repository: this.repository.name };
    const tips = [...this.#tips.values()].filter(({ ref }) => ref !== APPROVALS_REF).map(({ commit }) => commit);
    await changeCommits([...new Set(tips)], parts, async (record) => {
      if (record.signature.kind === 'none') return undefined;
      const commit = await mirror.repository.commit(record.id);
      return { ...record, signature: checkSignature(commit, governance.signers, new Date(record.firstSeen)) };
    });
  }

  #adopt(governance: Governance): void {
    this.#governance = governance;
    for (const { name } of governance.environments) this.#outdated.add(name);
    this.#unserved.clear();
    this.#tellRemoved(governance);
  }

  #tellRemoved({ environments }: Governance): void {
    const names = new Set([GOVERNANCE, ...environments.map(({ name }) => name)]);
    for (const name of this.#environments.keys()) {
      if (!names.has(name)) this.parts.events.removed(this.repository.name, name);
    }
  }

  // ---- what could not be judged ----

  /** Whether the last judgement of a head failed long enough ago. */
  #isToRetry(name: string, head: string): boolean {
    const record = this.#environments.get(name);
    return record?.head === head && record.headOutcome === 'error' && this.#retries.isDue(name, head);
  }

  /** That it fails as it did before is in the log already: once more would only fill it. */
  #failsAgain(name: string, { record: { decision, change } }: Reviewed): boolean {
    if (decision.outcome !== 'error') return false;
    this.#retries.failed(name, change.head);
    return true;
  }

  // ---- environments ----

  async #reviewEnvironment(environment: Environment, governance: Governance): Promise<void> {
    const tip = this.#tips.get(environment.ref);
    const before = this.#environments.get(environment.name);
    if (tip) this.#unserved.delete(environment.name);
    else {
      if (this.#unserved.get(environment.name) === environment.ref) return;
      this.#unserved.set(environment.name, environment.ref);
      this.parts.events.unserved(this.repository.name, environment, {
        code: 'revision-unknown',
        message: `${environment.ref} is not among the refs followed in ${this.repository.name}`,
        place: { file: 'countersign.yaml' },
        remedy: 'Push it, or add it under refs: in the configuration',
      });
      return;
    }
    const last = before?.headDecision
      ? (await this.parts.records.find('decision', { id: before.headDecision }))[0]
      : undefined;
    const lapse = before && last && (await this.#exceptions.lapse(governance, before, last, this.#now()));
    const judged =
      !lapse &&
      !this.#approvedAnew.has(environment.name) &&
      !this.#outdated.has(environment.name) &&
      before !== undefined &&
      before.head === tip.commit &&
      last?.bundleDigest === governance.bundle.digest &&
      sameDefinition(before, environment);
    if (judged && !this.#isToRetry(environment.name, tip.commit)) return;
    if (lapse) {
      // What is live is judged again as the change that needed the exception, whatever waits on top of it.
      const { base, head, push } = lapse;
      await this.#judgeEnvironment(environment, governance, await this.#push(push), base, head);
      if (head === tip.commit) return;
    }
    const push = await this.#push(tip.push);
    const { records, redactor } = this.parts;
    const base = await changeBase(before, tip.commit, governance, { records, redactor, now: this.#now() });
    await this.#judgeEnvironment(environment, governance, push, base, tip.commit, judged);
  }

  async #judgeEnvironment(
    environment: Environment,
    governance: Governance,
    push: PushRecord,
    base: string | null,
    head: string,
    again = false,
  ): Promise<void> {
    const reviewed = await this.#review(environment, governance, push, base, head);
    if (again && this.#failsAgain(environment.name, reviewed)) return;
    const decision = await this.#record(environment, reviewed, governance);
    if (decision.outcome !== 'allow') return;
    await this.#announce(environment, head, reviewed.change.rendered, decision, false);
  }

  async #review(
    environment: Environment,
    governance: Governance,
    push: PushRecord,
    base: string | null,
    head: string,
    problems: readonly CountersignError[] = [],
  ): Promise<Reviewed> {
    const { mirror, grants, evaluator, redactor, records, cache } = this.parts;
    return review({
      repository: { name: this.repository.name, url: this.repository.url },
      reader: mirror.repository,
      environment,
      governance,
      push,
      base,
      head,
      problems,
      grants: environment.target === null ? null : (grants.get(environment.target) ?? 'unknown target'),
      approvals: (bytes, commits) =>
        this.#approvals.counting(bytes, commits, governance.signers, governance === this.#governance),
      firstSeen: async (id) => {
        const seen = await records.select('commit', ['id', 'firstSeen'], { repository: this.repository.name, id });
        return new Map(seen.map((record) => [record.id, new Date(record.firstSeen)]));
      },
      approved: this.#environments.get(environment.name)?.approved ?? null,
      cache,
      mostCommits: this.parts.mostCommits,
      evaluator,
      redactor,
      now: this.#now,
    });
  }

  /**
   * The decision, its change, the environment's new state, and what governs from here on if that is what was allowed: one
   * transaction, one entry. Governance that was allowed but not taken up would never be looked at again.
   */
  async #record(
    environment: Environment,
    reviewed: Reviewed,
    governance: Governance,
    proposed: Governance | null = null,
  ): Promise<DecisionRecord> {
    const { ledger, records } = this.parts;
    const { facts } = reviewed;
    const { change, decision } = reviewed.record;
    const before = this.#environments.get(environment.name) ?? newEnvironment(this.repository.name, environment);
    const allowed = decision.outcome === 'allow';
    // One change owes one review, however often policy judges it again.
    const { name: repository } = this.repository;
    const owed =
      reviewed.duty &&
      (await records.find('reviewDuty', { repository, environment: environment.name, head: change.head }));
    const duty = owed?.length === 0 ? reviewed.duty : null;
    const after: EnvironmentRecord = {
      ...before,
      ...definition(environment),
      head: change.head,
      headDecision: decision.id,
      headOutcome: decision.outcome,
      ...(allowed
        ? {
            approved: change.head,
            approvedDecision: decision.id,
            approvedDefinition: environment,
            noLongerCompliant: false,
          }
        : {}),
      ...(!allowed && before.approved === change.head ? { noLongerCompliant: true } : {}),
      updatedAt: decision.time,
    };
    const state =
      allowed && proposed
        ? {
            ...this.#state!,
            governanceCommit: proposed.commit,
            bundleDigest: proposed.bundle.digest,
            updatedAt: decision.time,
          }
        : null;
    const exceptions = state && proposed ? await this.#exceptions.moves(proposed, decision.time) : null;
    const { entries } = await ledger.record(async (transaction) => {
      if (state) await records.save(transaction, 'repository', [state]);
      await records.save(transaction, 'change', [change]);
      await records.save(transaction, 'objectChange', reviewed.record.objectChanges);
      await records.save(transaction, 'decision', [decision]);
      if (duty) await records.save(transaction, 'reviewDuty', [duty]);
      await this.#writeEnvironment(transaction, after);
      transaction.append(decisionEntry({ ...facts, reviewDue: duty?.dueAt ?? null, bundle: governance.bundle }));
      await exceptions?.save(transaction);
    });
    const index = entries[0].index;
    await records.update('decision', { id: decision.id }, { index });
    await exceptions?.placed(entries.slice(1));
    if (state) this.#state = state;
    this.#environments.set(environment.name, after);
    this.#approvedAnew.delete(environment.name);
    this.#outdated.delete(environment.name);
    if (decision.outcome === 'error') this.#retries.failed(environment.name, change.head);
    else this.#retries.settled(environment.name);
    const recorded = { ...decision, index };
    this.parts.events.decided(recorded);
    return recorded;
  }

  async #announce(
    environment: Environment,
    head: string,
    objects: readonly ManifestObject[],
    decision: DecisionRecord,
    noLongerCompliant: boolean,
  ): Promise<void> {
    if (environment.target === null) return;
    if (decision.index === null) {
      throw new CountersignError('database-unavailable', `decision ${decision.id} has no place in the log yet`, {
        remedy: 'Look at the database; this is tried again by itself',
        retry: true,
      });
    }
    const inclusion = await this.parts.ledger.inclusion(decision.index);
    this.parts.events.approved({
      repository: this.repository.name,
      environment,
      head,
      objects,
      decision,
      inclusion,
      noLongerCompliant,
    });
  }

  async #push(id: string): Promise<PushRecord> {
    const [push] = await this.parts.records.find('push', { id });
    if (!push)
      throw new CountersignError('log-invalid', `the record of push ${id} of ${this.repository.name} is gone`, {
        remedy: 'Restore the database from a backup',
      });
    return push;
  }

  // ---- state ----

  async #settled(): Promise<void> {
    await this.#saveState({ state: 'ok', trouble: null });
  }

  /** A look failed: said once in the log for each new kind of trouble, shown until it is over, tried again with growing pauses. */
  async #failed(error: CountersignError): Promise<void> {
    this.#failures += 1;
    const trouble = describeTrouble(error);
    this.parts.events.fault(trouble, this.repository.name);
    if (this.#state?.trouble?.code === trouble.code && this.#state.trouble.message === trouble.message) return;
    const time = this.#now().toISOString();
    const fault: FaultRecord = {
      id: randomUUID(),
      repository: this.repository.name,
      environment: null,
      trouble,
      time,
      index: null,
    };
    try {
      await recordFault(this.parts.ledger, this.parts.records, fault);
      await this.#saveState({ state: this.#governance ? 'unavailable' : 'ungoverned', trouble });
    } catch (again) {
      // The log itself is away: it was said on standard error by the event above, and is recorded when the log is back.
      this.#unrecorded ??= fault;
      this.parts.events.fault(describeTrouble(toCountersignError(again)), this.repository.name);
    }
  }

  async #saveState(values: Partial<RepositoryRecord>): Promise<void> {
    const state = { ...this.#state!, ...values, updatedAt: this.#now().toISOString() };
    await this.parts.ledger.record((transaction) => this.parts.records.save(transaction, 'repository', [state]));
    this.#state = state;
  }

  /** Leaves `status` and `trouble` of a row that exists to whoever reconciles it. */
  async #writeEnvironment(transaction: LedgerTransaction, record: EnvironmentRecord): Promise<void> {
    const { repository, name, status: _status, trouble: _trouble, ...values } = record;
    if (!this.#environments.has(name)) await this.parts.records.save(transaction, 'environment', [record]);
    else await this.parts.records.update('environment', { repository, name }, values, transaction);
  }
}

function withImpact({ facts, record, ...rest }: Reviewed, impact: ImpactTally): Reviewed {
  const decision = { ...record.decision, impact };
  return { ...rest, facts: { ...facts, impact }, record: { ...record, decision } };
}

type Definition = Pick<EnvironmentRecord, 'path' | 'ref' | 'target' | 'namespace' | 'labels' | 'ignore'>;

function definition({ path, ref, target, namespace, labels, ignore }: Environment): Definition {
  return { path, ref, target, namespace, labels, ignore };
}

function sameDefinition(record: EnvironmentRecord, environment: Environment): boolean {
  const written = JSON.stringify(sorted(definition(record)));
  return written === JSON.stringify(sorted(definition(environment)));
}

/** jsonb keeps no key order. */
function sorted({ labels, ...rest }: Definition): unknown {
  return [
    rest.path,
    rest.ref,
    rest.target,
    rest.namespace,
    rest.ignore,
    Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ];
}

function newEnvironment(repository: string, environment: Environment): EnvironmentRecord {
  return {
    repository,
    name: environment.name,
    ...definition(environment),
    head: null,
    headDecision: null,
    headOutcome: null,
    approved: null,
    approvedDecision: null,
    approvedDefinition: null,
    noLongerCompliant: false,
    status: 'new',
    trouble: null,
    updatedAt: new Date(0).toISOString(),
  };
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

function sameTips(remote: ReadonlyMap<string, string>, seen: ReadonlyMap<string, TipRecord>): boolean {
  return remote.size === seen.size && [...remote].every(([ref, commit]) => seen.get(ref)?.commit === commit);
}
