import type { ProposedChange } from '../change/proposed-change.js';
import { emergencyOf, type Emergency } from './emergency.js';

/** What a change is taken for: what its environment's pin says, else what its head commit does. */
export type Said =
  Emergency | { readonly operation: 'rollback' | 'roll_forward'; readonly reason: string; readonly ticket?: string };

/** `isBack`: the head is an ancestor of what was approved last, and another commit. */
export function operationOf(change: ProposedChange, last: string | null, isBack: boolean): Said {
  const { environment, head } = change;
  const { pin } = environment;
  if (pin?.commit !== head || last === null || last === head) return emergencyOf(change);
  const { reason, ticket } = pin;
  return { operation: isBack ? 'rollback' : 'roll_forward', reason, ...(ticket ? { ticket } : {}) };
}
