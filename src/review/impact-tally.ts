import type { ObjectIdentity, Source } from '../cluster/object.js';
import type { Violation } from '../policy/decision.js';
import type { Compared } from './impact.js';

/** What another policy would do to recorded decisions, added up. Plain data, the same whatever pages it was added from. */
export interface ImpactTally {
  readonly decisions: number;
  /** Decisions whose outcome would differ. */
  readonly changed: number;
  /** Those that could not be judged again: inputs that were erased, errors then and now. */
  readonly skipped: number;
  /** Changed outcomes: `allow → deny`. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Decisions in which a rule would say something that it did not, or no longer say it. */
  readonly byRule: Readonly<Record<string, RuleImpact>>;
  /** Changed outcomes by owner, and by repository and environment. */
  readonly byTeam: Readonly<Record<string, number>>;
  readonly byEnvironment: Readonly<Record<string, number>>;
  readonly examples: readonly ImpactExample[];
}

export interface RuleImpact {
  readonly newly: number;
  readonly noLonger: number;
}

export interface ImpactExample {
  readonly decision: string;
  readonly index: number;
  readonly repository: string;
  readonly environment: string;
  readonly time: string;
  readonly before: string;
  readonly after: string;
  /** The rule that makes the difference, and what it says or said. */
  readonly rule: string;
  readonly message: string;
  readonly object?: ObjectIdentity;
  readonly source?: Source;
}

export const NO_IMPACT: ImpactTally = {
  decisions: 0,
  changed: 0,
  skipped: 0,
  outcomes: {},
  byRule: {},
  byTeam: {},
  byEnvironment: {},
  examples: [],
};

/** Of each rule, and in all. */
const EXAMPLES_OF_RULE = 3;
const EXAMPLES = 100;

export function tallied(before: ImpactTally, compared: readonly Compared[]): ImpactTally {
  const outcomes = new Map(Object.entries(before.outcomes));
  const byRule = new Map(Object.entries(before.byRule));
  const byTeam = new Map(Object.entries(before.byTeam));
  const byEnvironment = new Map(Object.entries(before.byEnvironment));
  const examples = [...before.examples];
  const shown = new Map<string, number>();
  for (const { rule } of examples) shown.set(rule, (shown.get(rule) ?? 0) + 1);
  let { changed, skipped } = before;
  for (const { past, now, teams } of compared) {
    if (!now) {
      skipped++;
      continue;
    }
    const [old, fresh] = [
      [...past.violations, ...past.required],
      [...now.violations, ...now.required],
    ].map(byRuleOf);
    const differing = [
      ...[...fresh].filter(([rule]) => !old.has(rule)).map(([rule, said]) => ({ rule, said, field: 'newly' as const })),
      ...[...old].filter(([rule]) => !fresh.has(rule)).map(([rule, said]) => ({ rule, said, field: 'noLonger' as const })), // prettier-ignore
    ];
    for (const { rule, field } of differing) {
      const counts = byRule.get(rule) ?? { newly: 0, noLonger: 0 };
      byRule.set(rule, { ...counts, [field]: counts[field] + 1 });
    }
    if (past.outcome === now.outcome) continue;
    changed++;
    add(outcomes, `${past.outcome} → ${now.outcome}`);
    add(byEnvironment, `${past.repository} ${past.environment}`);
    for (const team of teams) add(byTeam, team);
    for (const { rule, said } of differing) {
      const count = shown.get(rule) ?? 0;
      if (count >= EXAMPLES_OF_RULE || examples.length >= EXAMPLES) continue;
      shown.set(rule, count + 1);
      const { id, index, repository, environment, time } = past;
      const { message, object, source } = said;
      examples.push({ decision: id, index, repository, environment, time, before: past.outcome, after: now.outcome, rule, message, ...(object ? { object } : {}), ...(source ? { source } : {}) }); // prettier-ignore
    }
  }
  return {
    decisions: before.decisions + compared.length,
    changed,
    skipped,
    outcomes: sorted(outcomes, (count) => count),
    byRule: sorted(byRule, ({ newly, noLonger }) => newly + noLonger),
    byTeam: sorted(byTeam, (count) => count),
    byEnvironment: sorted(byEnvironment, (count) => count),
    examples,
  };
}

/** The first thing that each rule says. */
function byRuleOf(violations: readonly Violation[]): Map<string, Violation> {
  const rules = new Map<string, Violation>();
  for (const one of violations) if (!rules.has(one.rule)) rules.set(one.rule, one);
  return rules;
}

export function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Most first. */
export function sorted<T>(counts: ReadonlyMap<string, T>, weight: (value: T) => number): Record<string, T> {
  return Object.fromEntries([...counts].toSorted(([a, x], [b, y]) => weight(y) - weight(x) || (a < b ? -1 : 1)));
}
