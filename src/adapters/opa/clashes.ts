import { CountersignError } from '../../errors.js';
import type { PolicySources } from '../../policy/bundle.js';
import type { Rule } from '../../policy/decision.js';
import { given } from '../../policy/given.js';

/** Where in data a rule writes. */
export interface RulePath {
  readonly path: readonly string[];
  readonly file: string;
  readonly row: number;
}

/**
 * Throws `rego-invalid` for data where a rule writes, or in place of what holds rules: evaluated, the rule would win, and nobody
 * would see that the data counts for nothing.
 */
export function refuseShadowedData(paths: readonly RulePath[], { data, dataPlace }: PolicySources): void {
  for (const { path, file, row } of paths) {
    const there = given(data, path);
    if (!there) continue;
    throw new CountersignError(
      'rego-invalid',
      `data.${there.join('.')} is given by data, and by the rule at ${file}:${row}`,
      {
        place: dataPlace?.(there) ?? { file, line: row },
        remedy: 'Give one of the two another name',
      },
    );
  }
}

/** Throws `rego-invalid` where Rego names a rule as a constraint is named: exceptions and reports could not tell them apart. */
export function refuseSharedIds(rules: readonly Rule[], constraints: readonly Rule[]): void {
  const ids = new Map(constraints.map((rule) => [rule.id, rule]));
  for (const { id, place } of rules) {
    const constraint = ids.get(id);
    if (!constraint) continue;
    throw new CountersignError(
      'rego-invalid',
      `the id ${id} is that of the constraint at ${constraint.place.file}, too`,
      {
        place,
        remedy: 'Give the rule another custom.id: exceptions and reports name rules by it',
      },
    );
  }
}
