/** What `conftest test` tells of one file under one namespace. */
export interface ConftestCheck {
  readonly filename: string;
  readonly namespace: string;
  readonly successes: number;
  readonly warnings: readonly ConftestResult[];
  readonly failures: readonly ConftestResult[];
  readonly exceptions: readonly ConftestResult[];
  /** What print() wrote, with its place. */
  readonly prints: readonly string[];
}

export interface ConftestResult {
  readonly msg: string;
  readonly loc?: { readonly file: string; readonly line: string };
  /** Compact JSON by name: numbers keep the text that Rego gave them. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface ConftestTotals {
  readonly successes: number;
  readonly warnings: number;
  readonly failures: number;
  readonly exceptions: number;
}

/** A package of the policies: its rules are asked one by one, its clauses are what successes are counted against. */
export interface ConftestNamespace {
  readonly name: string;
  readonly clauses: number;
  readonly rules: readonly string[];
}

/** What one rule gave for one input. */
export interface ConftestAnswer {
  readonly rule: string;
  /** Undefined where the rule is; a result without a message is one that passed. */
  readonly results: readonly ConftestResult[];
  /** How often the rule is excepted. */
  readonly exceptions: number;
}

/** Conftest's own counting (policy/engine.go): an exception silences its rule, what is not counted otherwise is a success. */
export function conftestCheck(
  filename: string,
  { name: namespace, clauses }: ConftestNamespace,
  answers: readonly ConftestAnswer[],
  prints: readonly string[],
): ConftestCheck {
  const warnings: ConftestResult[] = [];
  const failures: ConftestResult[] = [];
  const exceptions: ConftestResult[] = [];
  let successes = 0;
  for (const answer of answers) {
    const query = `data.${namespace}.exception[_][_] == ${JSON.stringify(ruleSuffix(answer.rule))}`;
    for (let i = 0; i < answer.exceptions; i++) exceptions.push({ msg: query });
    if (answer.exceptions > 0) continue;
    for (const result of answer.results) {
      if (result.msg === '') successes++;
      else (answer.rule.startsWith('warn') ? warnings : failures).push(result);
    }
  }
  const counted = warnings.length + failures.length + exceptions.length + successes;
  return {
    filename,
    namespace,
    successes: successes + Math.max(0, clauses - counted),
    warnings,
    failures,
    exceptions,
    prints,
  };
}

/** Several documents of one file are told of as one. */
export function joinChecks(checks: readonly ConftestCheck[], filename: string, namespace: string): ConftestCheck {
  if (checks.length === 1) return checks[0];
  return {
    filename,
    namespace,
    successes: checks.reduce((sum, check) => sum + check.successes, 0),
    warnings: checks.flatMap((check) => check.warnings),
    failures: checks.flatMap((check) => check.failures),
    exceptions: checks.flatMap((check) => check.exceptions),
    prints: checks.flatMap((check) => check.prints),
  };
}

/** What an exception names a rule by: its name without `deny_`, `violation_` or `warn_`; '' for a bare one. */
export function ruleSuffix(rule: string): string {
  if (rule === 'violation' || rule === 'deny' || rule === 'warn') return '';
  return rule
    .replace(/^violation_/, '')
    .replace(/^deny_/, '')
    .replace(/^warn_/, '');
}

export function totalsOf(checks: readonly ConftestCheck[]): ConftestTotals {
  const totals = { successes: 0, warnings: 0, failures: 0, exceptions: 0 };
  for (const check of checks) {
    totals.successes += check.successes;
    totals.warnings += check.warnings.length;
    totals.failures += check.failures.length;
    totals.exceptions += check.exceptions.length;
  }
  return totals;
}

export function conftestExitCode({ failures, warnings }: ConftestTotals, failOnWarn: boolean): number {
  if (!failOnWarn) return failures > 0 ? 1 : 0;
  return failures > 0 ? 2 : warnings > 0 ? 1 : 0;
}
