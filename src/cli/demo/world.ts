import type { GraphqlClient } from './graphql.js';
import type { Narrator } from './narrator.js';
import type { ShopCluster } from './shop-cluster.js';
import type { TeamRepository } from './team-repository.js';
import type { Stage } from './team-files.js';
import type { Workspace } from './workspace.js';

/** Everything a step of the story may touch. */
export interface World {
  readonly narrator: Narrator;
  readonly workspace: Workspace;
  readonly repository: TeamRepository;
  readonly namespaces: Readonly<Record<Stage, string>>;
  readonly graphql: GraphqlClient;
  /** null while the control plane is still being built. */
  readonly cluster: ShopCluster | null;
  readonly figures: Figures;
  /** Why nothing can be waited for any more; null while all is well. */
  ended(): string | null;
}

/** Milliseconds, one for each time it was seen. */
export interface Figures {
  readonly commitToLive: number[];
  readonly driftToCorrected: number[];
}
