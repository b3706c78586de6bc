import { type ErrorCode, toCountersignError } from '../errors.js';
import { NO_SIGNERS } from '../source/signers.js';
import { APPROVALS_REF } from './approval.js';
import { Approvals } from './approvals.js';
import { CountedApprovals } from './counted-approvals.js';
import { Decisions } from './decisions.js';
import { FollowedEnvironments } from './followed-environments.js';
import type { FollowedRepository, FollowerParts } from './followed-repository.js';
import type { Standing } from './governance.js';
import { GovernanceMoves } from './governance-moves.js';
import { pauseAfter } from './pace.js';
import { PushedApprovals } from './pushed-approvals.js';
import type { PusherClaim } from './pusher.js';
import { Pushes } from './pushes.js';
import { RecordedExceptions } from './recorded-exceptions.js';
import type { ApprovalRecord } from './records.js';
import { repairIndexes } from './repair-indexes.js';
import { Returns, type RolloutNews } from './returns.js';
import { RepositoryState } from './repository-state.js';

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
 * two of them takes the same step again and nothing is judged, or approved, twice or never. One follower runs per repository,
 * whatever the number of instances (its ledger and records are fenced by the lease), and takes one step at a time; that is what makes "base is the last approved commit" true when the decision is recorded.
 */
export class RepositoryFollower {
  /** Of its repository, whoever asks. */
  readonly approvals: Approvals;
  readonly counted: CountedApprovals;
  readonly #state: RepositoryState;
  readonly #pushes: Pushes;
  readonly #decisions: Decisions;
  readonly #governance: GovernanceMoves;
  readonly #environments: FollowedEnvironments;
  readonly #returns: Returns;
  #stopped = false;
  #wake: (() => void) | null = null;
  #nudged = false;
  #running: Promise<void> | null = null;
  #failures = 0;
  readonly #came: ApprovalRecord[] = [];

  constructor(
    readonly repository: FollowedRepository,
    private readonly parts: FollowerParts,
  ) {
    const { name } = repository;
    const { ledger, records, mirror, now = () => new Date() } = parts;
    const clocked = { ...parts, now };
    const ofApprovals = { ledger, records, repository: mirror.repository, now };
    this.approvals = new Approvals(name, ofApprovals);
    this.counted = new CountedApprovals(name, ofApprovals);
    const { approvals, counted } = this;
    const pushedApprovals = new PushedApprovals(name, mirror.repository, approvals);
    const exceptions = new RecordedExceptions(name, records);
    const state = new RepositoryState(repository, clocked);
    const pushes = new Pushes(name, clocked);
    const decisions = new Decisions(repository, clocked, { state, counted, pushedApprovals, exceptions });
    this.#state = state;
    this.#pushes = pushes;
    this.#decisions = decisions;
    this.#governance = new GovernanceMoves(repository, clocked, { state, pushes, decisions, exceptions });
    const returns = new Returns(name, clocked, { pushes, decisions });
    this.#returns = returns;
    this.#environments = new FollowedEnvironments(name, clocked, { pushes, decisions, exceptions, returns });
  }

  start(): void {
    this.#running ??= this.#loop();
  }

  /** Looks again now rather than at the next poll; after the look under way, which may have missed what this is about. */
  nudge(): void {
    this.#nudged = true;
    this.#wake?.();
  }

  /** A webhook: looks now, and takes its word on whose push it is about. */
  hint(claim: PusherClaim | null): void {
    if (claim) this.#pushes.vouch(claim);
    this.nudge();
  }

  /** What governs now, and where the followed refs are; null until something governs. */
  get standing(): Standing | null {
    const { inForce } = this.#governance;
    return inForce && { governance: inForce, tips: this.#pushes.commits };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
  }

  /** A look that fails is tried again with growing pauses. */
  async #loop(): Promise<void> {
    let loaded = false;
    while (!this.#stopped) {
      try {
        this.#nudged = false;
        // Nothing is wrong with this repository: it waits for what lies above it, which tells of its own troubles.
        if (!loaded && this.parts.organisation?.inForce() === null) {
          await this.#pause(this.repository.pollMilliseconds);
          continue;
        }
        if (!loaded) {
          if (this.#failures > 0) await repairIndexes(this.parts.ledger, this.parts.records);
          await this.#load();
          loaded = true;
        }
        await this.#state.recordOwed();
        await this.look();
        if (this.#failures > 0 || this.#state.isNew) await this.#state.settled();
        this.#failures = 0;
      } catch (thrown) {
        const error = toCountersignError(thrown);
        if (UNCERTAIN.has(error.code)) loaded = false;
        this.#failures += 1;
        await this.#state.failed(error, this.#governance.inForce !== null);
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
    await this.#pushes.see(this.#governance.inForce?.signers ?? NO_SIGNERS);
    await this.#judge();
    // Last, so that an approval finds the change judged that it was made for.
    if (await this.#seeApprovals()) await this.#judge();
  }

  /** Approvals were recorded, or withdrawn, by somebody else than this follower: what waits for them is judged again now. */
  approvalsCame(approvals: readonly ApprovalRecord[]): void {
    this.#came.push(...approvals);
    this.nudge();
  }

  /** A rollout of what was approved here ended. */
  rolledOut(news: RolloutNews): void {
    this.#returns.came(news);
    this.nudge();
  }

  async #judge(): Promise<void> {
    const takenUp = await this.#governance.review();
    if (takenUp) this.#environments.takeUp(takenUp);
    const { inForce } = this.#governance;
    if (!inForce) return;
    await this.#returns.take(inForce);
    for (const environment of inForce.environments) await this.#environments.review(environment, inForce);
    this.#returns.tell();
  }

  /** Whether a change that waits got an approval. */
  async #seeApprovals(): Promise<boolean> {
    const { inForce } = this.#governance;
    if (inForce === null) return false;
    const tip = this.#pushes.tip(APPROVALS_REF)?.commit ?? null;
    const pushed = await this.#decisions.seeApprovals(tip, inForce.signers);
    if (pushed.some(({ advice }) => advice !== null)) this.parts.events.adviceApproved?.();
    const came = [...this.#came];
    const anew = await this.#decisions.approvalsCame([...pushed, ...came]);
    // More may have come meanwhile; what failed above is asked again at the next look.
    this.#came.splice(0, came.length);
    return anew;
  }

  /** Takes up what was recorded before: tips, environments, the governance in force; then says again what is approved. */
  async #load(): Promise<void> {
    await this.#state.load();
    await this.#pushes.load();
    await this.#decisions.load();
    await this.#returns.load();
    this.#governance.load();
    const { governanceCommit } = this.#state.record;
    if (!governanceCommit) return;
    try {
      await this.#resume(governanceCommit);
    } catch (thrown) {
      if (!MISSING.has(toCountersignError(thrown).code)) throw thrown;
      // The mirror was made anew, or is an older copy: what is recorded is found again where it came from.
      await this.parts.mirror.fetch(new Map());
      await this.#resume(governanceCommit);
    }
  }

  async #resume(governanceCommit: string): Promise<void> {
    await this.#environments.resume(await this.#governance.resume(governanceCommit));
  }
}
