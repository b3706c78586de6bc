import { describeIdentity } from '../cluster/object.js';
import type { ProposedChange } from '../change/proposed-change.js';
import type { Decision, Outcome, Rule, Violation } from '../policy/decision.js';
import type { Explanation } from '../policy/explain.js';

/** One environment's judgement with what is needed to show it. */
export interface Verdict {
  readonly change: ProposedChange;
  readonly decision: Decision;
  /** Of the bundle that judged. */
  readonly rules: readonly Rule[];
  /** As the user named it: `main`; null for the empty tree. */
  readonly base: string | null;
  /** `feature/x`; `files` for what is on disk and in no commit. */
  readonly head: string;
  /** Where it was asked why. */
  readonly explanations?: readonly Explanation[];
  /** Where settings and policy were read: `main 1f3c9a2`. */
  readonly lawFrom: string;
}

/** What `countersign check` found, in all environments asked for. */
export interface Report {
  readonly verdicts: readonly Verdict[];
  /** What the reader should know about how it was judged. */
  readonly notes: readonly string[];
  readonly seconds: number;
  /** Of Countersign. */
  readonly version: string;
}

/** The worst of all: what could not be judged is worse than what is denied (invariant 7). */
export function outcomeOf({ verdicts }: Report): Outcome {
  const order: readonly Outcome[] = ['error', 'deny', 'pending', 'allow'];
  return order.find((outcome) => verdicts.some(({ decision }) => decision.outcome === outcome)) ?? 'allow';
}

/** Everything that was said, in the order in which a person should read it. */
export function findings({ decision }: Verdict): readonly Violation[] {
  return [...decision.violations, ...decision.required, ...decision.warnings];
}

/** What a violation is about, in words; the commit's title only where it is known. */
export function subjectOf({ object, commit, source }: Violation, change: ProposedChange): string {
  if (object) return describeIdentity(object);
  if (commit) {
    const title = change.commits.find((one) => one.commit.id === commit)?.commit.message.split('\n', 1)[0];
    return `commit ${commit.slice(0, 7)}${title ? `  "${title}"` : ''}`;
  }
  return source ? source.path : `environment ${change.environment.name}`;
}
