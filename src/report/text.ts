import { formatPlace } from '../errors.js';
import type { Violation } from '../policy/decision.js';
import { describeScope, requestCommand } from '../policy/exception.js';
import { explanationText } from './explanation.js';
import { type Report, subjectOf, type Verdict } from './verdict.js';

export interface TextOptions {
  readonly color: boolean;
  /** Makes one line of text from a repository safe to print. */
  readonly printable: (line: string) => string;
  /** Subjects shown before the rest is only counted. */
  readonly limit?: number;
}

const marks = {
  allow: ['✓', 'allowed'],
  deny: ['✗', 'denied'],
  pending: ['…', 'pending'],
  error: ['!', 'could not be judged'],
} as const;
const colors = { allow: 32, deny: 31, pending: 33, error: 31 } as const;

/** For people: the first line is the verdict, the next say why, the last what it was judged by. */
export function textReport(report: Report, options: TextOptions): string {
  const blocks = report.verdicts.map((verdict) => block(verdict, report, options));
  const notes = report.notes.map((note) => `note  ${note}`);
  return [...blocks, ...(notes.length ? [notes.map(options.printable).join('\n')] : [])].join('\n\n');
}

function block(verdict: Verdict, report: Report, { color, printable, limit = 50 }: TextOptions): string {
  const { decision } = verdict;
  const [mark, word] = marks[decision.outcome];
  const paint = (code: number, text: string) => (color ? `\x1b[${code}m${text}\x1b[0m` : text);
  const lines = [`${paint(colors[decision.outcome], `${mark} ${word}`)}   ${printable(headline(verdict))}`];
  if (decision.error) {
    const { message, place, remedy } = decision.error;
    lines.push('', `  ${printable(`${place ? `${formatPlace(place)}  ` : ''}${message}`)}`);
    if (remedy !== undefined) lines.push(`  ${printable(`fix    ${remedy}`)}`);
  }
  const groups = verdict.explanations
    ? []
    : grouped([...decision.violations, ...decision.required, ...decision.warnings], verdict);
  for (const [subject, violations] of groups.slice(0, limit)) {
    lines.push('', `  ${paint(1, printable(subject))}`);
    for (const said of byRule(violations))
      lines.push(...ruleLines(said, verdict.change.environment.name).map((line) => `    ${printable(line)}`));
  }
  if (groups.length > limit) lines.push('', `  … and ${groups.length - limit} more (--output json shows all)`);
  for (const { rule, ...explanation } of verdict.explanations ?? []) {
    const { title, description } = rule ?? {};
    lines.push('', ...explanationText({ ...explanation, title, description }).map((line) => `  ${printable(line)}`));
  }
  const used = exceptionLines(verdict);
  if (used.length > 0) lines.push('', ...used.map((line) => `  ${printable(line)}`));
  const aside = asides(verdict);
  if (aside.length > 0) lines.push('', ...aside.map((line) => `  ${printable(line)}`));
  lines.push('', `  ${printable(summary(verdict, report.seconds))}`);
  return lines.join('\n');
}

function headline({ change, base, head }: Verdict): string {
  const from = change.base === null ? 'nothing' : at(base ?? '', change.base);
  const commits = change.commits.length === 0 ? '' : `${counted(change.commits.length, 'commit')}, `;
  const changes =
    change.changes.length === 0 ? 'no object changed' : `${counted(change.changes.length, 'object')} changed`;
  return `${change.environment.name}   ${from} → ${at(head, change.head)}   ${commits}${changes}`;
}

/** `main 1f3c9a2`; just the name where it is the id, or where there is no commit. */
function at(name: string, id: string): string {
  return id === '' || id.startsWith(name) ? name : `${name} ${id.slice(0, 7)}`;
}

/** By what they are about, in the order of their first appearance. */
function grouped(violations: readonly Violation[], verdict: Verdict): [string, Violation[]][] {
  const groups = new Map<string, Violation[]>();
  for (const violation of violations) {
    const { source, object, commit } = violation;
    const subject = subjectOf(violation, verdict.change);
    const place = source && !commit ? `${source.path}:${source.line}` : undefined;
    const title = place && (object ?? commit) ? `${place}   ${subject}` : (place ?? subject);
    groups.set(title, [...(groups.get(title) ?? []), violation]);
  }
  return [...groups];
}

/** What one rule says about one subject: all messages, the rule once, each way to mend it once. */
function ruleLines(violations: readonly Violation[], environment: string): string[] {
  const [{ rule, place, controls, kind }] = violations;
  const prefix = kind === 'warn' ? 'warning: ' : kind === 'require' ? 'still needed: ' : '';
  const written = rule.startsWith('reading.') ? rule : `${rule} (${formatPlace(place)})`;
  const control = controls.length ? `      control  ${controls.join('  ')}` : '';
  const ask = kind === 'warn' ? null : requestCommand(violations[0], environment);
  const fixes = new Set(violations.flatMap(({ fix }) => (fix === undefined ? [] : [fix])));
  return [
    ...violations.flatMap(({ message }) => `${prefix}${message}`.split('\n')),
    `rule   ${written}${control}`,
    ...[...fixes].map((fix) => `fix    ${fix}`),
    ...(ask === null ? [] : [`${fixes.size > 0 ? 'or    ' : 'fix   '} ask for an exception: ${ask}`]),
  ];
}

/** What did not count, by the exception that covers it. */
function exceptionLines({ decision, change }: Verdict): string[] {
  return decision.exceptions.map(({ id, rule, scope, principal, ticket, expires }) => {
    const covered = decision.excepted.filter(({ exception }) => exception === id).length;
    const signed = `signed by ${principal}${ticket ? `, ${ticket}` : ''}, until ${expires.slice(0, 10)}`;
    return `exception  ${rule} for ${describeScope({ ...scope, environment: change.environment.name })}: ${counted(covered, 'finding')} not counted, ${signed}`;
  });
}

function byRule(violations: readonly Violation[]): Violation[][] {
  const rules = new Map<string, Violation[]>();
  for (const violation of violations) {
    const key = `${violation.kind} ${violation.rule}`;
    rules.set(key, [...(rules.get(key) ?? []), violation]);
  }
  return [...rules.values()];
}

function asides({ change }: Verdict): string[] {
  const lines: string[] = [];
  const { notRendered, otherDocuments } = change;
  if (notRendered.length > 0) {
    lines.push(`not rendered yet, so not judged: ${listed(notRendered)} (Kustomize or Helm)`);
  }
  if (otherDocuments.size > 0) {
    const documents = [...otherDocuments.values()].reduce((sum, count) => sum + count, 0);
    const files = [...otherDocuments.keys()];
    lines.push(`${counted(documents, 'document')} without apiVersion and kind: ${listed(files)}`);
  }
  return lines;
}

function summary({ decision, lawFrom }: Verdict, seconds: number): string {
  const said = [
    counted(decision.warnings.length, 'warning'),
    `${counted(decision.rulesPassed, 'rule')} passed`,
    `${counted(decision.exceptions.length, 'exception')} used`,
  ].join(', ');
  return `${said}   policy ${decision.bundleDigest.slice(0, 4)}… from ${lawFrom}   ${seconds.toFixed(2)} s`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
