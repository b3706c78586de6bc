import { isJsonObject, type Json } from '../cluster/object.js';
import type { Rule } from '../policy/decision.js';

/** A rule as the page shows it: what it is, and the examples that its METADATA gives. */
export interface ListedRule extends Pick<
  Rule,
  'id' | 'kind' | 'scope' | 'title' | 'description' | 'severity' | 'controls' | 'place'
> {
  /** Which profiles it runs in: all, or strict only. */
  readonly profile: 'baseline' | 'strict';
  readonly bad?: string;
  readonly good?: string;
}

/** A METADATA block and the row after it. */
interface Annotated {
  readonly file?: string;
  readonly row?: number;
  readonly annotations: Json;
}

/** Rules with what their METADATA, or their package's, says beyond what deciding needs. */
export function listedRules(rules: readonly Rule[], annotated: readonly Annotated[]): readonly ListedRule[] {
  return rules.map((rule) => {
    const custom = (own: boolean): Readonly<Record<string, Json | undefined>> => {
      const found = annotated.find(({ file, row, annotations }) => {
        if (file !== rule.place.file || !isJsonObject(annotations)) return false;
        return own ? row === rule.place.line : annotations.scope === 'package';
      })?.annotations;
      return isJsonObject(found) && isJsonObject(found.custom) ? found.custom : {};
    };
    const { profile, bad, good } = { ...custom(false), ...custom(true) };
    return {
      ...rule,
      profile: profile === 'strict' ? 'strict' : 'baseline',
      ...(typeof bad === 'string' ? { bad } : {}),
      ...(typeof good === 'string' ? { good } : {}),
    };
  });
}

/** Rules by folder, as Markdown: one row a rule, whatever number of clauses it has. */
export function rulesPage(rules: readonly ListedRule[]): string {
  const folders = Map.groupBy(rules, ({ place }) => place.file.split('/').slice(-2, -1)[0] ?? '');
  const ids = new Set(rules.map(({ id }) => id));
  const strict = new Set(rules.filter(({ profile }) => profile === 'strict').map(({ id }) => id));
  return [
    '# Rules',
    '',
    `Made by \`make docs\` from the rules' own METADATA; not to be edited. ${ids.size} rules, ${ids.size - strict.size} of them in the profile`,
    '`baseline` and all in `strict`. What they are told (`policies.starter.data`) is in [policies/lib/settings.rego](../policies/lib/settings.rego).',
    ...[...folders].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([folder, list]) => section(folder, list)),
    '',
  ].join('\n');
}

const TITLES: Readonly<Record<string, string>> = {
  access: 'Access',
  change: 'Change control',
  'supply-chain': 'Supply chain',
  workload: 'Workloads',
};

function section(folder: string, rules: readonly ListedRule[]): string[] {
  const byId = new Map(rules.toReversed().map((rule) => [rule.id, rule]));
  const lines = [...byId.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)).flatMap(entry);
  return ['', `## ${TITLES[folder] ?? folder}`, ...lines];
}

function entry({ id, kind, scope, title, description, severity, controls, profile, bad, good }: ListedRule): string[] {
  const facts = [kind, severity, `scope ${scope}`, `profile ${profile}`, controls.join(', ')];
  return [
    '',
    `### ${id}`,
    '',
    `${title ?? ''}. ${(description ?? '').replaceAll('\n', ' ')}`.trim(),
    '',
    `*${facts.filter((fact) => fact !== '').join(' · ')}*`,
    ...(bad === undefined || good === undefined ? [] : ['', `- denied: ${code(bad)}`, `- allowed: ${code(good)}`]),
  ];
}

/** Inline code that may itself hold backticks. */
function code(text: string): string {
  const fence = text.includes('`') ? '``' : '`';
  return `${fence}${text}${fence}`;
}
