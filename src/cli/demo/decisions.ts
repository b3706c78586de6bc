import type { Line } from './narrator.js';
import { short, type ReadCommit, type ReadDecision, type ReadViolation } from './reads.js';

/** A decision in words: the verdict first, then why, then how to mend it. */
export function decisionLine(environment: string, decision: ReadDecision): Line {
  const { outcome, change, index, milliseconds, rulesRun, rulesPassed, violations, error } = decision;
  const range = `${change?.base ? short(change.base) : 'nothing'} → ${short(change?.head ?? '')}`;
  const commits = change?.commits ?? [];
  const size = `${count(commits.length, 'commit')}, ${count(change?.objectChangeCount ?? 0, 'object')}`;
  const judged = `entry ${index}, ${rulesPassed} of ${rulesRun} rules passed in ${milliseconds} ms`;
  // A long range is the first sight of the repository: the people are told then, not the commits.
  const who = commits.length > 3 ? [signersOf(commits)] : commits.map(commitText);
  return {
    mark: outcome === 'allow' ? 'yes' : 'no',
    word: { allow: 'allowed', deny: 'denied', pending: 'pending', error: 'error' }[outcome],
    text: `${environment}   ${range}   ${size}   ${judged}`,
    below: [...who, ...(error ? [error.message] : []), ...violationTexts(violations)],
    values: { environment, decision },
  };
}

function commitText({ id, subject, author, signature }: ReadCommit): string {
  const { status, principal, key, reason } = signature;
  const signed =
    status === 'verified'
      ? `signed by ${principal} (${key?.slice(0, 14)}…)`
      : status === 'none'
        ? 'not signed'
        : `signature ${status}${reason ? `: ${reason}` : ''}`;
  return `commit ${short(id)} "${subject}" by ${author.name}, ${signed}`;
}

function signersOf(commits: readonly ReadCommit[]): string {
  const verified = commits.filter(({ signature }) => signature.status === 'verified');
  const people = [...new Set(verified.map(({ signature }) => signature.principal ?? ''))].toSorted((a, b) =>
    a.localeCompare(b),
  );
  return `${verified.length} of ${commits.length} commits signed, by ${people.join(', ')}`;
}

/** Grouped by where they are: a file and line, or a commit. */
function violationTexts(violations: readonly ReadViolation[]): string[] {
  const groups = Map.groupBy(violations, ({ source, object, commit }) => {
    const what = object ? `${object.kind} ${object.namespace ? `${object.namespace}/` : ''}${object.name}` : '';
    const where = source ? `${source.path}:${source.line}` : commit ? `commit ${short(commit)}` : 'the push';
    return [where, what].filter(Boolean).join('   ');
  });
  return [...groups].flatMap(([where, found]) => [where, ...found.flatMap(violationText).map((line) => `  ${line}`)]);
}

function violationText({ rule, message, controls, place, fix }: ReadViolation): string[] {
  const written = place.file ? ` (${place.file}${place.line ? `:${place.line}` : ''})` : '';
  return [message, `  rule ${rule}${written}   ${controls.join('  ')}`.trimEnd(), ...(fix ? [`  fix  ${fix}`] : [])];
}

export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
