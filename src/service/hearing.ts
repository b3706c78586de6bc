import type { Channel } from '../adapters/postgres/channel.js';
import type { OpenRepository } from './following.js';
import type { Deployments } from '../reconcile/deployments.js';
import type { PusherClaim } from '../review/pusher.js';
import type { Trouble } from '../review/records.js';
import type { RolloutNews } from '../review/returns.js';
import type { SharedRepository } from '../review/shared-repository.js';

export interface Hearing {
  readonly repositories: ReadonlyMap<string, OpenRepository>;
  readonly deployments: Deployments;
  readonly tellReports: (repository: string, environment: string) => void;
  readonly vouch: (repository: string, claim: PusherClaim | null) => void;
}

/** By an instance of the same log: whoever may say something there may do all that we may. */
interface Told {
  readonly repository: string;
  readonly environment?: string;
  readonly claim?: PusherClaim | null;
  readonly ids?: readonly string[];
  readonly news?: RolloutNews;
  readonly trouble?: Trouble | null;
}

/** What other instances tell: of what this one follows or reconciles, and of what it only knows. */
export function hear(channel: Channel, { repositories, deployments, tellReports, vouch }: Hearing): void {
  const on = (topic: string, act: (told: Told, shared: SharedRepository) => void): void => {
    channel.hear(topic, (body) => {
      const told = body as Told;
      const shared = repositories.get(told.repository)?.shared;
      if (shared) act(told, shared);
    });
  };
  on('look', ({ repository, claim = null }, shared) => {
    vouch(repository, claim);
    shared.hinted(claim);
  });
  on('rollout', ({ news }, shared) => {
    if (news) shared.rolledOutElsewhere(news);
  });
  on('stays', ({ repository, environment, trouble = null }) => {
    if (environment !== undefined) deployments.stays(repository, environment, trouble);
  });
  on('approvals', ({ ids = [] }, shared) => {
    // They are in the records, too: the next start of a follower finds them.
    void shared.approvalsTold(ids).catch(() => undefined);
  });
  on('recorded', ({ repository, environment }, shared) => {
    shared.recordedElsewhere();
    if (environment !== undefined) tellReports(repository, environment);
  });
  on('shown', ({ repository, environment }) => {
    if (environment === undefined) return;
    deployments.changedElsewhere(repository, environment);
    tellReports(repository, environment);
  });
}
