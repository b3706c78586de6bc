import type { Rule } from '../policy/decision.js';

/** All that can be said of a rule before it runs. */
export interface RuleDescription extends Omit<Rule, 'place' | 'package' | 'name'> {
  readonly package: string;
  readonly name: string;
  /** Each of its clauses, as `file:line`. */
  readonly places: readonly string[];
  readonly profile: 'baseline' | 'strict' | null;
  readonly bad: string | null;
  readonly good: string | null;
  readonly input: readonly string[];
  readonly data: readonly string[];
  readonly builtins: readonly string[];
  readonly uses: readonly string[];
  readonly exceptions: readonly NamedException[];
}

export interface NamedException {
  readonly file: string;
  readonly scope: string;
  readonly expires: string;
  /** Why it does not count; null if it does. */
  readonly fault: string | null;
}

/** The rule as a few lines for people; the first says what it is. */
export function describedRule(rule: RuleDescription): string {
  const { id, kind, severity, scope, title, description, places, profile, controls, starter, organisation } = rule;
  const facts = [kind, severity, `scope ${scope}`];
  if (starter) facts.push(profile === 'strict' ? 'starter rule of profile strict' : 'starter rule of profile baseline');
  if (organisation) facts.push("the organisation's");
  return [
    `${id}  ${facts.join(' · ')}`,
    `  ${title ?? UNTITLED[isConstraint(rule) ? 'constraint' : 'rego']}`,
    ...(description === undefined ? [] : description.split('\n').map((line) => `  ${line}`)),
    ...row('written', places),
    ...row('evaluated', [evaluated(rule)]),
    ...row('controls', controls),
    ...row('input', rule.input),
    ...row('data', rule.data),
    ...row('builtins', rule.builtins.length === 0 ? [] : [rule.builtins.join(', ')]),
    ...row('uses', rule.uses),
    ...row(kind === 'warn' ? 'warned' : 'denied', rule.bad === null ? [] : [rule.bad]),
    ...row('allowed', rule.good === null ? [] : [rule.good]),
    ...row('exceptions', rule.exceptions.map(exceptionLine)),
  ].join('\n');
}

/** Constraints are named by their template, and no package of Rego has such a name. */
const isConstraint = ({ id, package: template, name }: RuleDescription): boolean => id === `${template}/${name}`;

const UNTITLED = {
  constraint: 'a constraint of Gatekeeper',
  rego: 'it has no METADATA: reports show its name only',
};

function evaluated(rule: RuleDescription): string {
  return isConstraint(rule)
    ? `the template ${rule.package}, once for each object that the constraint matches`
    : `data.${rule.package}.${rule.name}, ${SEEN[rule.scope] ?? SEEN.conftest}`;
}

function row(name: string, values: readonly string[]): string[] {
  return values.map((value, i) => `  ${(i === 0 ? name : '').padEnd(12)}${value}`);
}

const SEEN: Readonly<Record<string, string>> & { readonly conftest: string } = {
  object: 'once for each object that changes',
  change: 'once for the whole change',
  admission: 'once for each object that changes, as an AdmissionReview of it',
  conftest: "once for each object that changes, which is all of its input (Conftest's conventions)",
};

function exceptionLine({ file, scope, expires, fault }: NamedException): string {
  const until = fault === null ? `in force until ${expires.slice(0, 10)}` : `does not count: ${fault}`;
  return `${scope}, ${until} (${file})`;
}
