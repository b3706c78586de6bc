import type { EnvironmentRecord } from '../review/records.js';
import type { Held } from './windows.js';

/** Milliseconds after which it is looked again whether what is waited for is there: another instance may keep it. */
const AGAIN = 2_000;

/** Whether an environment is at its approved commit, and all of it healthy as far as is known. Pure. */
function isSettled({ approved, approvedDecision, healthyDecision, status, gate }: EnvironmentRecord): boolean {
  if (approvedDecision === null || status !== 'synced') return false;
  return gate ? gate.commit === approved : healthyDecision === approvedDecision;
}

/** Why a change waits for other environments of its repository; null where it need not. Pure. */
export function waitsFor(names: readonly string[], records: readonly EnvironmentRecord[], now: number): Held | null {
  const others = names.filter((name) => !records.some((record) => record.name === name && isSettled(record)));
  if (others.length === 0) return null;
  return {
    reason: `it waits until ${others.join(', ')} ${others.length === 1 ? 'is' : 'are'} at the approved commit and healthy`,
    remedy: 'See what keeps the other from that, or take it out of dependsOn in countersign.yaml',
    until: now + AGAIN,
  };
}
