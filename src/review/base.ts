import { GOVERNANCE } from '../change/environment.js';
import { renderedDigest } from '../cluster/rendered.js';
import type { Redactor } from '../cluster/secret.js';
import type { Governance } from './governance.js';
import type { ChangeRecord, DecisionRecord, EnvironmentRecord, Records } from './records.js';

export interface BaseParts {
  readonly records: Records;
  readonly redactor: Redactor;
  readonly now: Date;
}

/**
 * Where a proposed change of an environment begins; null: from nothing. That is the last approved commit, or, for that commit itself,
 * where the change began that it was.
 *
 * What was approved by rules that govern no longer and never became live is no ground to stand on (invariant 1): judged from there, a
 * commit on top would be no change at all, and whatever the rules in force would deny would go live with it. Then it begins at what the
 * last run left live.
 */
export async function changeBase(
  environment: EnvironmentRecord | undefined,
  head: string,
  governance: Governance,
  parts: BaseParts,
): Promise<string | null> {
  if (!environment?.approved || !environment.approvedDecision) return null;
  const approved = await decided(environment.approvedDecision, parts.records);
  if (!approved) return environment.approved;
  const usual = environment.approved === head ? approved.change.base : environment.approved;
  // Where nothing is ever applied, what was approved is all there is.
  if (environment.target === null || (await isInForce(approved.decision, governance, parts))) return usual;
  const live = await lastApplied(environment, parts.records);
  const digest = live?.renderedDigest ?? renderedDigest([], parts.redactor);
  return digest === approved.change.renderedDigest ? usual : (live?.head ?? null);
}

/** Whether the rules that allowed it are those that govern now: bundle, signers, owners and the exceptions that it needed. */
async function isInForce(
  decision: DecisionRecord,
  governance: Governance,
  { records, now }: BaseParts,
): Promise<boolean> {
  if (decision.bundleDigest !== governance.bundle.digest) return false;
  const standing = new Map(governance.exceptions.map(({ id, input }) => [id, input]));
  const holds = (id: string): boolean => Date.parse(standing.get(id)?.expires ?? '') > now.getTime();
  if (!decision.exceptions.every(holds)) return false;
  return (await governedSince(decision.repository, records)) < (decision.index ?? -1);
}

/** Log index of the decision that let in what governs a repository; −1 while that is what the service's configuration named. */
export async function governedSince(repository: string, records: Records): Promise<number> {
  const adoption = await adoptionOf(repository, records);
  // Without its place yet, nothing can be said to have come after it.
  return adoption === null ? -1 : (adoption.index ?? Infinity);
}

/** The decision that let in what governs a repository; null while that is what the service's configuration named. */
export async function adoptionOf(repository: string, records: Records): Promise<DecisionRecord | null> {
  const [environment] = await records.find('environment', { repository, name: GOVERNANCE });
  const id = environment?.approvedDecision;
  return id ? ((await records.find('decision', { id }))[0] ?? null) : null;
}

/** The change that the newest run that succeeded made live. */
async function lastApplied({ repository, name }: EnvironmentRecord, records: Records): Promise<ChangeRecord | null> {
  const [run] = await records.newest('run', { repository, environment: name, outcome: 'succeeded' }, 'startedAt', 1);
  return (run && (await decided(run.decision, records))?.change) ?? null;
}

async function decided(
  id: string,
  records: Records,
): Promise<{ readonly decision: DecisionRecord; readonly change: ChangeRecord } | null> {
  const [decision] = await records.find('decision', { id });
  const [change] = decision ? await records.find('change', { id: decision.change }) : [];
  return decision && change ? { decision, change } : null;
}
