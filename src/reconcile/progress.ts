import { CountersignError } from '../errors.js';
import type { EnvironmentRecord } from '../review/records.js';
import type { Keeper } from './keeper.js';

/** How far an environment is. */
export interface EnvironmentProgress {
  readonly repository: string;
  readonly environment: string;
  readonly target: string | null;
  /** All that is approved is there. */
  readonly isLive: boolean;
  readonly objects: number;
  readonly healthy: number;
  readonly trouble: CountersignError | null;
}

/** What this process knows of an environment. */
export interface KnownProgress {
  readonly reconciler: Pick<Keeper, 'state' | 'approved' | 'objects'> | null;
  /** What kept it from being handed over. */
  readonly failed: CountersignError | null;
  /** Where another instance reconciles it. */
  readonly elsewhere: unknown;
}

/** Pure. `known` is undefined for what was not looked at yet. */
export function progressOf(
  { repository, name: environment, target }: Pick<EnvironmentRecord, 'repository' | 'name' | 'target'>,
  known: KnownProgress | undefined,
): EnvironmentProgress {
  const { state, approved } = known?.reconciler ?? {};
  const found = known?.reconciler?.objects() ?? [];
  const isLive = Boolean(state && approved && state.applied === approved.decision && !state.trouble);
  const trouble = state?.trouble ?? known?.failed ?? (known?.elsewhere ? heldElsewhere(environment) : null);
  const healthy = found.filter(({ health: { status } }) => status === 'healthy').length;
  return { repository, environment, target, isLive, objects: found.length, healthy, trouble: isLive ? null : trouble };
}

function heldElsewhere(environment: string): CountersignError {
  return new CountersignError('lease-lost', `${environment} is reconciled by another instance of the service`, {
    remedy: 'Stop all of them first',
    retry: true,
  });
}
