import type { Lease, Leases, Share } from '../audit/lease.js';
import type { Approvals } from './approvals.js';
import type { FollowedRepository } from './followed-repository.js';
import type { RepositoryFollower } from './follower.js';
import type { Standing } from './governance.js';
import type { PusherClaim } from './pusher.js';
import type { ApprovalRecord, Records, Trouble } from './records.js';
import type { RequestFollower } from './requests.js';
import type { RolloutNews } from './returns.js';
import { type StandbyParts, StandbyRepository } from './standby.js';

/** What follows a repository, under its lease. */
export interface Following {
  readonly follower: RepositoryFollower;
  /** Where it has a forge. */
  readonly requests: RequestFollower | null;
}

/** What this instance tells whoever follows the repository, where that is another one. */
export interface TellFollower {
  look(repository: string, claim: PusherClaim | null): void;
  approvals(repository: string, ids: readonly string[]): void;
  rolledOut(repository: string, news: RolloutNews): void;
}

/** What whoever follows a repository tells those who reconcile its environments. */
export interface TellReconcilers {
  stays(repository: string, environment: string, trouble: Trouble | null): void;
}

export interface SharedParts extends StandbyParts {
  readonly leases: Leases;
  readonly follow: (lease: Lease) => Following;
  /** Of the repository, at whichever instance. */
  readonly approvals: Approvals;
  readonly tell: TellFollower;
  readonly records: Records;
}

/** Milliseconds after which it is told again that a rollout failed. */
const AGAIN = 30_000;

/**
 * A repository as this instance knows it: it follows it while it has its lease, and otherwise goes by what the instance records that
 * does. Whoever asks or tells something needs not know which.
 */
export class SharedRepository {
  readonly #standby: StandbyRepository;
  #following: Following | null = null;
  #share: Share | null = null;
  readonly #rollouts = new Map<string, RolloutNews>();
  #timer: NodeJS.Timeout | null = null;

  constructor(
    readonly repository: FollowedRepository,
    private readonly parts: SharedParts,
  ) {
    this.#standby = new StandbyRepository(repository, parts);
  }

  get approvals(): Approvals {
    return this.parts.approvals;
  }

  /** What governs now, and where the followed refs are; null until something governs. */
  get standing(): Standing | null {
    return this.#following?.follower.standing ?? this.#standby.standing;
  }

  start(): void {
    this.#standby.start();
    this.#timer ??= setInterval(() => {
      for (const news of this.#rollouts.values()) this.#tellRollout(news);
    }, AGAIN).unref();
    this.#share ??= this.parts.leases.share('repository', this.repository.name, async (lease) => {
      await this.#standby.stop();
      const following = this.parts.follow(lease);
      this.#following = following;
      following.follower.start();
      following.requests?.start();
      return async () => {
        await Promise.all([following.follower.stop(), following.requests?.stop()]);
        this.#following = null;
        this.#standby.start();
      };
    });
  }

  /** What follows is told to look now; what stands by, that something may be recorded. */
  nudge(): void {
    this.#following?.follower.nudge();
    this.#standby.nudge();
  }

  /** Whoever follows has recorded something. */
  recordedElsewhere(): void {
    this.#standby.nudge();
  }

  /** A webhook: whoever follows looks now, and takes its word on whose push it is about. */
  hint(claim: PusherClaim | null): void {
    this.hinted(claim);
    // Also for those who move refs of it.
    this.parts.tell.look(this.repository.name, claim);
  }

  /** As `hint`, from another instance. */
  hinted(claim: PusherClaim | null): void {
    this.#following?.follower.hint(claim);
    this.#following?.requests?.nudge();
  }

  /** Approvals were recorded, or withdrawn, here: what waits for them is judged again now. */
  approvalsCame(approvals: readonly ApprovalRecord[]): void {
    if (this.#following) this.#take(approvals);
    else this.parts.tell.approvals(this.repository.name, approvals.map(({ id }) => id)); // prettier-ignore
  }

  /** As `approvalsCame`, from another instance. */
  async approvalsTold(ids: readonly string[]): Promise<void> {
    if (!this.#following) return;
    this.#take(await this.parts.records.find('approval', { id: ids, repository: this.repository.name }));
  }

  /**
   * A rollout here ended. Of one that failed it is told again and again while it is the newest, as whoever follows may just not have
   * listened, or be another one by now; twice is as good as once.
   */
  rolledOut(news: RolloutNews): void {
    this.#rollouts.set(news.environment, news);
    if (news.unhealthy === null) this.#rollouts.delete(news.environment);
    this.#tellRollout(news);
  }

  /** As `rolledOut`, at another instance. */
  rolledOutElsewhere(news: RolloutNews): void {
    this.#following?.follower.rolledOut(news);
  }

  #tellRollout(news: RolloutNews): void {
    if (this.#following) this.#following.follower.rolledOut(news);
    else this.parts.tell.rolledOut(this.repository.name, news);
  }

  adviceApproved(): void {
    this.#following?.requests?.nudge();
  }

  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await this.#share?.withdraw();
    await this.#standby.stop();
    await this.parts.mirror.close();
  }

  /** An approval may be of what was pushed, of an open request, or of one that was merged meanwhile: both followers hear of it. */
  #take(approvals: readonly ApprovalRecord[]): void {
    this.#following?.follower.approvalsCame(approvals);
    if (approvals.some(({ advice }) => advice !== null)) this.#following?.requests?.nudge();
  }
}
