import type { Json } from '../cluster/object.js';
import { outcomeOf, type Report, type Verdict } from './verdict.js';

/** For programs: everything the text says, and no object bodies (invariant 10). */
export function jsonReport(report: Report): Json {
  const { verdicts, notes, seconds } = report;
  const value = { outcome: outcomeOf(report), environments: verdicts.map(environment), notes, seconds };
  // Optional members that are absent must not be there at all.
  return JSON.parse(JSON.stringify(value)) as Json;
}

function environment({ change, decision, base, head, lawFrom }: Verdict): object {
  const { violations, warnings, required, outcome, error, rulesRun, rulesPassed, bundleDigest, wasmDigest } = decision;
  return {
    name: change.environment.name,
    outcome,
    ...(error ? { error } : {}),
    base: change.base === null ? null : { name: base, commit: change.base },
    head: { name: head, commit: change.head },
    commits: change.commits.map(({ commit, signature }) => ({ id: commit.id, signature })),
    changes: change.changes.map(({ op, identity, source }) => ({ op, object: identity, source })),
    violations,
    required,
    warnings,
    rulesRun,
    rulesPassed,
    notRendered: change.notRendered,
    otherDocuments: Object.fromEntries(change.otherDocuments),
    policy: { digest: bundleDigest, wasmDigest, from: lawFrom },
  };
}
