import { randomUUID } from 'node:crypto';
import type { Environment } from '../change/environment.js';
import { toCountersignError, type CountersignError } from '../errors.js';
import { adoptionOf } from './base.js';
import { decisionEntry } from './entries.js';
import type { FollowedRepository, ReviewParts } from './followed-repository.js';
import { type CommitStatus, describeVerdict, type Forge, type OpenRequest, statusContext } from './forge.js';
import { isGoverned } from './governed-files.js';
import { type Governance, governanceEnvironment, judgedBy, problemsOf, type Standing } from './governance.js';
import { forkPoint } from './law.js';
import { pauseAfter } from './pace.js';
import { seeProtection } from './protections.js';
import { recordFault } from './record-fault.js';
import { type Approvals } from './approvals.js';
import type { CountedApprovals } from './counted-approvals.js';
import { adviceBytes, bytesOf } from './recorded-approval.js';
import { otherBytes } from './approval.js';
import { takeReviews } from './forge-reviews.js';
import type { AdviceRecord, ApprovalRecord, FaultRecord, PushRecord, Trouble } from './records.js';
import { review, type Reviewed } from './review.js';
import type { Signers } from '../source/signers.js';
import { describeTrouble } from './trouble.js';

export interface RequestParts extends ReviewParts {
  readonly forge: Forge;
  readonly approvals: Approvals;
  readonly counted: CountedApprovals;
  /** Approvals came, or were withdrawn, that a change which was pushed may wait for. */
  readonly onApprovals: (approvals: readonly ApprovalRecord[]) => void;
  /** Null until something governs. */
  readonly standing: () => Standing | null;
  readonly onFault: (trouble: Trouble) => void;
}

/** Requests are asked for no more often than this, in milliseconds; a webhook makes it sooner. */
const PACE = 30_000;
/** Looks after which the reviews of every request are asked for again, whether or not the forge says that something changed. */
const THOROUGH = 20;
/** Commits of a request that its advice keeps to be looked at. */
const MOST_SHOWN = 250;
/** While nothing governs yet there is nothing to wait long for. */
const IMPATIENCE = 500;

/**
 * Judges the heads of a repository's open requests against their targets and tells the forge. That is advice: it is logged as a
 * decision with `advice`, names no push, and moves no environment. Judged again when head, target or policy changes.
 */
export class RequestFollower {
  /** What was told of each commit and context, so that it is not told again at every look. */
  readonly #told = new Map<string, { readonly commit: string; readonly said: string }>();
  /** By number: what the forge called the last change of each request when its reviews were asked for. */
  readonly #reviewed = new Map<number, string>();
  #looks = 0;
  #stopped = false;
  #nudged = false;
  #failures = 0;
  #lastFault = '';
  #wake: (() => void) | null = null;
  #running: Promise<void> | null = null;

  constructor(
    private readonly repository: FollowedRepository,
    private readonly parts: RequestParts,
  ) {}

  start(): void {
    this.#running ??= this.#loop();
  }

  nudge(): void {
    this.#nudged = true;
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      this.#nudged = false;
      const standing = this.parts.standing();
      if (standing) {
        try {
          await this.look(standing);
          this.#failures = 0;
          this.#lastFault = '';
        } catch (thrown) {
          this.#failures += 1;
          await this.#failed(describeTrouble(toCountersignError(thrown)));
        }
      }
      if (!this.#stopped && !this.#nudged) await this.#pause(standing ? pauseAfter(PACE, this.#failures) : IMPATIENCE);
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

  /** One look at all open requests. One that fails does not keep the others from their verdicts; the first failure is thrown. */
  async look(standing: Standing): Promise<void> {
    let failure: CountersignError | undefined;
    const open = await this.parts.forge.openRequests();
    // What was told of commits that are no longer proposed need not be known any more.
    const heads = new Set(open.map(({ head }) => head));
    for (const [key, { commit }] of this.#told) if (!heads.has(commit)) this.#told.delete(key);
    const numbers = new Set(open.map(({ number }) => number));
    for (const number of this.#reviewed.keys()) if (!numbers.has(number)) this.#reviewed.delete(number);
    const thorough = this.#looks++ % THOROUGH === 0;
    if (thorough) this.#reviewed.clear();
    await this.#lastReviews(numbers, standing);
    await this.#end(({ request, head, target }) => {
      return !open.some((one) => one.ref === request && one.head === head && one.target === target);
    });
    for (const request of open) {
      if (this.#stopped) return;
      try {
        await this.#advise(request, standing);
        // Those that came with this look count in it.
        if (await this.#takeReviews(request, standing)) await this.#advise(request, standing);
      } catch (thrown) {
        failure ??= toCountersignError(thrown);
      }
    }
    if (thorough) await this.#seeProtections(standing);
    if (failure) throw failure;
  }

  /** Of every branch that something is deployed from, or governed by. */
  async #seeProtections({ governance }: Standing): Promise<void> {
    const { forge, ledger, records, now = () => new Date() } = this.parts;
    const refs = new Set([this.repository.governance, ...governance.environments.map(({ ref }) => ref)]);
    for (const ref of refs) {
      if (!ref.startsWith('refs/heads/')) continue;
      await seeProtection(ref, { repository: this.repository.name, forge, ledger, records, now });
    }
  }

  async #advise(request: OpenRequest, { governance, tips }: Standing): Promise<void> {
    const target = tips.get(request.target);
    const environments = governance.environments.filter(({ ref }) => ref === request.target);
    const governs = request.target === this.repository.governance;
    if (target === undefined || (environments.length === 0 && !governs)) return;
    const { mirror } = this.parts;
    await mirror.bring(new Set([request.head]));
    const base = await forkPoint(mirror.repository, target, request.head);
    for (const environment of environments)
      await this.#judge(request, environment, base, target, governance, governance.misfits);
    const touched = governs ? await mirror.repository.changes(base, request.head) : [];
    if (!touched.some(({ path }) => isGoverned(path, governance.settings))) return;
    const problems = problemsOf(
      await this.parts.governance.attempt(mirror.repository, request.head, governance.organisation),
      governance,
    );
    await this.#judge(request, governanceEnvironment(request.target), base, target, governance, problems);
  }

  /** Whether the reviews of an open request changed which approvals there are. */
  async #takeReviews(request: OpenRequest, { governance }: Standing): Promise<boolean> {
    const { records } = this.parts;
    const { number, head, updated } = request;
    const about = { repository: this.repository.name, number, head, endedAt: null };
    const advised = await records.find('advice', about);
    // What waits is asked for at each look: a webhook brought it here, and not every forge calls a review a change.
    const waits =
      advised.some(({ outcome }) => outcome === 'pending') || advised.some(({ approvals }) => approvals.length > 0);
    if (advised.length === 0 || (!waits && this.#reviewed.get(number) === (updated ?? ''))) return false;
    const changed = await this.#take(number, advised, governance.signers);
    this.#reviewed.set(number, updated ?? '');
    return changed.length > 0;
  }

  /** Of requests that are open no more: who approves and merges in one breath has approved. */
  async #lastReviews(open: ReadonlySet<number>, { governance }: Standing): Promise<void> {
    const { records } = this.parts;
    const holding = await records.find('advice', { repository: this.repository.name, endedAt: null });
    for (const [number, advised] of Map.groupBy(holding, (one) => one.number)) {
      if (open.has(number)) continue;
      try {
        await this.#take(number, advised, governance.signers);
      } catch (thrown) {
        const error = toCountersignError(thrown);
        if (error.retry) throw error;
        // A request that the forge knows nothing of any more must not stand in the way of the others.
        this.parts.onFault(describeTrouble(error));
      }
    }
  }

  async #take(number: number, advised: readonly AdviceRecord[], signers: Signers): Promise<readonly ApprovalRecord[]> {
    const { forge, records, approvals, onApprovals } = this.parts;
    const reviews = await forge.approvingReviews({ number });
    const adopted = (await adoptionOf(this.repository.name, records))?.time ?? '';
    const parts = { records, approvals, forge: forge.kind, adopted };
    const changed = await takeReviews({ number }, reviews, advised, signers, parts);
    if (changed.length > 0) onApprovals(changed);
    return changed;
  }

  async #judge(
    request: OpenRequest,
    environment: Environment,
    base: string,
    target: string,
    governance: Governance,
    problems: readonly CountersignError[] = [],
  ): Promise<void> {
    const known = { repository: this.repository.name, environment: environment.name, head: request.head, base };
    const { records } = this.parts;
    // Signers and owners may be others under the same bundle: what was judged before they were taken up is judged again.
    const adopted = (await adoptionOf(this.repository.name, records))?.time ?? '';
    const said = await records.find('advice', {
      ...known,
      request: request.ref,
      bundleDigest: governance.bundle.digest,
    });
    const newest = said.toSorted((a, b) => (a.time < b.time ? 1 : -1)).find(({ time }) => time > adopted);
    const before = newest && (await this.#stillHolds(newest)) ? newest : undefined;
    const advice =
      before ??
      (await this.#record(
        request,
        await this.#review(request, environment, base, target, governance, problems),
        governance,
      ));
    // Reopened, or pointed at a target where it was before: what was said then holds again.
    if (advice.endedAt !== null) await records.update('advice', { id: advice.id }, { endedAt: null });
    await this.#end(
      (one) => one.request === request.ref && one.environment === environment.name && one.id !== advice.id,
    );
    const told = await this.#tell({
      commit: request.head,
      context: statusContext(environment.name),
      outcome: advice.outcome,
      description: advice.description,
    });
    const { now = () => new Date() } = this.parts;
    if (told) await records.update('advice', { id: advice.id }, { reportedAt: now().toISOString() });
  }

  /** Whether nobody has approved since, nor taken an approval back. */
  async #stillHolds(advice: AdviceRecord): Promise<boolean> {
    if (advice.tree === null) return false; // from before approvals of requests were known
    const { repository, environment, head } = advice;
    const given = await this.parts.records.find('approval', { repository, environment, head, status: 'accepted' });
    const counting = given
      .filter((one) => one.index !== null && otherBytes(bytesOf(one), adviceBytes(advice)) === null)
      .map(({ id }) => id);
    return counting.toSorted().join() === advice.approvals.toSorted().join();
  }

  /** Which advice holds is derived from what is open at each look, so it needs no transaction of the log. */
  async #end(over: (advice: Pick<AdviceRecord, 'id' | 'request' | 'environment' | 'head' | 'target'>) => boolean) {
    const { records, now = () => new Date() } = this.parts;
    const holding = await records.select('advice', ['id', 'request', 'environment', 'head', 'target'], {
      repository: this.repository.name,
      endedAt: null,
    });
    for (const { id } of holding.filter(over)) {
      await records.update('advice', { id }, { endedAt: now().toISOString() });
    }
  }

  #review(
    request: OpenRequest,
    environment: Environment,
    base: string,
    target: string,
    governance: Governance,
    problems: readonly CountersignError[],
  ): Promise<Reviewed> {
    const { mirror, records, grants, evaluator, redactor, cache, now = () => new Date() } = this.parts;
    // What the policy is shown is the push that a merge would be. It is recorded nowhere as one.
    const push: PushRecord = {
      id: '',
      repository: this.repository.name,
      ref: request.target,
      kind: 'advanced',
      old: target,
      new: request.head,
      pusher: null,
      time: now().toISOString(),
      index: null,
    };
    return review({
      repository: { name: this.repository.name, url: this.repository.url },
      reader: mirror.repository,
      environment,
      governance,
      push,
      base,
      head: request.head,
      problems,
      grants: environment.target === null ? null : (grants.get(environment.target) ?? 'unknown target'),
      firstSeen: async (id) => {
        const seen = await records.select('commit', ['id', 'firstSeen'], { repository: this.repository.name, id });
        return new Map(seen.map((record) => [record.id, new Date(record.firstSeen)]));
      },
      approvals: (bytes, commits) =>
        this.parts.counted.counting(bytes, commits, { signers: governance.signers, inForce: true }),
      cache,
      mostCommits: this.parts.mostCommits,
      live: this.parts.live,
      evaluator,
      redactor,
      now,
    });
  }

  async #record(
    request: OpenRequest,
    { facts, record, change }: Reviewed,
    governance: Governance,
  ): Promise<AdviceRecord> {
    const { ledger, records } = this.parts;
    const { decision } = facts;
    const advice: AdviceRecord = {
      id: facts.id,
      repository: facts.repository,
      environment: facts.environment,
      environmentTarget: facts.target,
      request: request.ref,
      target: request.target,
      base: facts.base,
      head: facts.head,
      outcome: decision.outcome,
      description: describeVerdict(decision),
      bundleDigest: decision.bundleDigest,
      time: facts.time,
      number: request.number,
      violations: decision.violations,
      required: decision.required,
      reportedAt: null,
      endedAt: null,
      tree: facts.tree,
      renderedDigest: facts.renderedDigest,
      commits: record.change.commits,
      proposed: change.commits
        .slice(0, MOST_SHOWN)
        .map(({ commit: { id, message, author }, signature }) => ({ id, message, author, signature })),
      objectChanges: record.change.objectChanges,
      approvals: facts.approvals,
      author: request.author,
    };
    const objectChanges = record.objectChanges.map((one) => ({ ...one, change: advice.id }));
    await ledger.record(async (transaction) => {
      await records.save(transaction, 'advice', [advice]);
      await records.save(transaction, 'objectChange', objectChanges);
      transaction.append(
        decisionEntry({ ...facts, ...judgedBy(governance), push: null, request: request.ref, reviewDue: null }),
      );
    });
    return advice;
  }

  /** Said once in the log for each new kind of trouble. */
  async #failed(trouble: Trouble): Promise<void> {
    this.parts.onFault(trouble);
    if (this.#lastFault === trouble.message) return;
    const { ledger, records, now = () => new Date() } = this.parts;
    const common = { id: randomUUID(), repository: this.repository.name, environment: null };
    const fault: FaultRecord = { ...common, trouble, time: now().toISOString(), index: null };
    try {
      await recordFault(ledger, records, fault);
      this.#lastFault = trouble.message;
    } catch (thrown) {
      // The log itself is away: the next failure tries again.
      this.parts.onFault(describeTrouble(toCountersignError(thrown)));
    }
  }

  /** After it is in the log: what a forge shows can be found there. False if it was told before. */
  async #tell(status: CommitStatus): Promise<boolean> {
    const key = `${status.commit} ${status.context}`;
    const said = `${status.outcome} ${status.description}`;
    if (this.#told.get(key)?.said === said) return false;
    await this.parts.forge.report(status);
    this.#told.set(key, { commit: status.commit, said });
    return true;
  }
}
