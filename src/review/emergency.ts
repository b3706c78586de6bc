import type { ProposedChange } from '../change/proposed-change.js';
import { trailerValues } from '../source/trailers.js';
import type { ReviewDutyRecord } from './records.js';

/** How long somebody else has to look at an emergency change, in hours. */
const HOURS_TO_REVIEW = 72;

/** Until when. */
export function reviewDue(openedAt: Date): string {
  return new Date(openedAt.getTime() + HOURS_TO_REVIEW * 3_600_000).toISOString();
}

/** What a change is taken for, from the trailers of its head commit. Whether it may be is the policy's question. */
export type Emergency =
  | { readonly operation: 'push' }
  | { readonly operation: 'break_glass'; readonly reason: string; readonly ticket?: string };

/** `Break-Glass: reason` and `Ticket: id` in the commit that is to go live: an older one underneath asked for something else. */
export function emergencyOf({ head, commits }: ProposedChange): Emergency {
  const trailers = commits.find(({ commit }) => commit.id === head)?.commit.trailers ?? {};
  const reasons = trailerValues(trailers, 'Break-Glass');
  if (reasons.length === 0) return { operation: 'push' };
  const reason = reasons.join('; ');
  const ticket = trailerValues(trailers, 'Ticket').join('; ');
  return { operation: 'break_glass', reason, ...(ticket ? { ticket } : {}) };
}

export function reviewDuty(
  emergency: { readonly operation: string; readonly reason?: string; readonly ticket?: string },
  { head, commits }: ProposedChange,
  openedAt: Date,
): Omit<ReviewDutyRecord, 'id' | 'change' | 'repository' | 'environment' | 'head'> | null {
  if (emergency.operation !== 'break_glass' || emergency.reason === undefined) return null;
  return {
    principal: commits.find(({ commit }) => commit.id === head)?.signature.principal ?? null,
    reason: emergency.reason,
    ticket: emergency.ticket ?? null,
    openedAt: openedAt.toISOString(),
    dueAt: reviewDue(openedAt),
    closedAt: null,
    approval: null,
  };
}
