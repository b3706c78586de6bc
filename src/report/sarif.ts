import { createHash } from 'node:crypto';
import { identityKey, type Json } from '../cluster/object.js';
import type { Rule, Severity, Violation } from '../policy/decision.js';
import type { InputException } from '../policy/input.js';
import { findings, type Report, subjectOf, type Verdict } from './verdict.js';

/** What code-scanning services sort by, from 0 to 10. */
const securitySeverity: Readonly<Record<Severity, string>> = {
  critical: '9.5',
  high: '8.0',
  medium: '5.5',
  low: '3.0',
  info: '0.0',
};

/** SARIF 2.1.0 (OASIS), one run for all environments. */
export function sarifReport(report: Report): Json {
  const { rules, index } = ruleTable(report);
  const results = report.verdicts.flatMap((verdict) =>
    [...findings(verdict), ...verdict.decision.excepted].map((one) => result(one, verdict, index)),
  );
  const notifications = report.verdicts.flatMap(({ decision, change }) =>
    decision.error
      ? [
          {
            level: 'error',
            message: { text: `${change.environment.name} could not be judged: ${decision.error.message}` },
            descriptor: { id: decision.error.code },
          },
        ]
      : [],
  );
  return {
    $schema: 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: { name: 'Countersign', version: report.version, informationUri: 'https://countersign.dev', rules },
        },
        invocations: [{ executionSuccessful: notifications.length === 0, toolExecutionNotifications: notifications }],
        originalUriBaseIds: { ROOT: { description: { text: 'The root of the repository' } } },
        columnKind: 'utf16CodeUnits',
        results,
      },
    ],
  };
}

function ruleTable({ verdicts }: Report): { rules: Json[]; index: ReadonlyMap<string, number> } {
  const rules: Json[] = [];
  const index = new Map<string, number>();
  const add = (id: string, rule: Json) => {
    if (index.has(id)) return;
    index.set(id, rules.length);
    rules.push(rule);
  };
  for (const verdict of verdicts) {
    for (const rule of verdict.rules) add(rule.id, described(rule));
    for (const { rule, severity } of [...findings(verdict), ...verdict.decision.excepted]) {
      add(rule, { id: rule, properties: { 'security-severity': securitySeverity[severity] } });
    }
  }
  return { rules, index };
}

function described({ id, title, description, severity, controls }: Rule): Json {
  return {
    id,
    shortDescription: { text: title ?? id },
    ...(description ? { fullDescription: { text: description } } : {}),
    properties: { tags: ['security', ...controls], 'security-severity': securitySeverity[severity] },
  };
}

function result(violation: Violation, { change, decision }: Verdict, index: ReadonlyMap<string, number>): Json {
  const { rule, kind, message, fix, source, commit, object, controls } = violation;
  const subject = subjectOf(violation, change);
  // A place is required by most readers: what is about a commit is shown at a file that the commit touched.
  const touched = change.commits.find((one) => one.commit.id === commit)?.files[0]?.path;
  const exception = decision.exceptions.find(({ id }) => id === violation.exception);
  const path = source?.path ?? touched ?? 'countersign.yaml';
  const identity = object ? identityKey(object) : (commit ?? path);
  return {
    ruleId: rule,
    ruleIndex: index.get(rule)!,
    level: kind === 'warn' ? 'warning' : 'error',
    message: { text: `${subject}: ${message}${fix ? `\nFix: ${fix}` : ''}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: path.split('/').map(encodeURIComponent).join('/'), uriBaseId: 'ROOT' },
          region: { startLine: source?.line ?? 1 },
        },
        logicalLocations: [{ name: subject, fullyQualifiedName: identity, kind: object ? 'object' : 'resource' }],
      },
    ],
    // The same finding keeps its fingerprint when lines above it move.
    partialFingerprints: {
      'countersign/v1': createHash('sha256')
        .update(JSON.stringify([change.environment.name, rule, identity, path, message]))
        .digest('hex'),
    },
    // Section 3.35: shown as suppressed, with who suppressed it and why.
    ...(exception ? { suppressions: [suppression(exception)] } : {}),
    properties: { environment: change.environment.name, controls },
  };
}

function suppression({ id, owner, reason, ticket, principal, expires }: InputException): Json {
  const why = [reason, ticket].filter(Boolean).join(', ');
  return {
    kind: 'external',
    status: 'accepted',
    justification: `${why ? `${why}; ` : ''}signed by ${principal}, until ${expires}`,
    properties: { exception: id, ...(owner ? { owner } : {}) },
  };
}
