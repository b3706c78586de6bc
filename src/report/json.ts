import type { Json } from '../cluster/object.js';
import type { Violation } from '../policy/decision.js';
import { requestCommand } from '../policy/exception.js';
import { outcomeOf, type Report, type Verdict } from './verdict.js';

/** For programs: everything the text says, and no object bodies (invariant 10). */
export function jsonReport(report: Report): Json {
  const { verdicts, notes, seconds } = report;
  const value = { outcome: outcomeOf(report), environments: verdicts.map(environment), notes, seconds };
  // Optional members that are absent must not be there at all.
  return JSON.parse(JSON.stringify(value)) as Json;
}

function environment({ change, decision, base, head, lawFrom, explanations }: Verdict): object {
  const {
    violations,
    warnings,
    required,
    excepted,
    exceptions,
    outcome,
    error,
    rulesRun,
    rulesPassed,
    bundleDigest,
    wasmDigest,
  } = decision;
  const askable = (violation: Violation): object => {
    const exceptionRequest = requestCommand(violation, change.environment.name);
    return exceptionRequest === null ? violation : { ...violation, exceptionRequest };
  };
  return {
    name: change.environment.name,
    outcome,
    ...(error ? { error } : {}),
    base: change.base === null ? null : { name: base, commit: change.base },
    head: { name: head, commit: change.head },
    commits: change.commits.map(({ commit, signature }) => ({ id: commit.id, signature })),
    changes: change.changes.map(({ op, identity, source }) => ({ op, object: identity, source })),
    violations: violations.map(askable),
    required: required.map(askable),
    warnings,
    excepted,
    exceptions,
    rulesRun,
    rulesPassed,
    ...(explanations ? { explanations } : {}),
    notRendered: change.notRendered,
    otherDocuments: Object.fromEntries(change.otherDocuments),
    policy: { digest: bundleDigest, wasmDigest, from: lawFrom },
  };
}
