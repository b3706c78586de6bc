import { canonicalJson } from '../cluster/canonical.js';
import type { Json, JsonObject } from '../cluster/object.js';
import { CountersignError, type Place } from '../errors.js';
import type { BundleSources, PolicyBundle, RuleSet } from './bundle.js';
import type { Rule, Violation } from './decision.js';
import type { RuleResult } from './evaluator.js';
import { requestCommand } from './exception.js';
import type { PolicyInput } from './input.js';
import { rulesByPlace } from './rules.js';

/** One input as the rules of one scope see it. */
export interface View {
  readonly scope: 'object' | 'change' | 'conftest' | 'admission';
  readonly input: Json;
}

/** A rule that was true on the way, where it is written, and what its variables stood for. */
export interface FiredRule {
  readonly name: string;
  readonly place: Place;
  readonly values: Readonly<Record<string, Json>>;
}

export interface ExplainedView {
  /** By output of that scope, what its rules gave: value, file and row. */
  readonly sets: readonly (readonly (readonly [Json, string, number])[])[];
  readonly outputs: readonly RuleSet[];
  /** Without `result` for rules that only help; `uses` are the places, `file:line`, of those that may have. */
  readonly fired: readonly (FiredRule & { readonly result?: Json; readonly uses?: readonly string[] })[];
  /** Empty unless asked for. */
  readonly trace: readonly string[];
  /** Lines of the trace that were left out. */
  readonly more: number;
}

/** The reference evaluator: OPA's own interpreter over the sources of a bundle. */
export interface Explainer {
  explain(
    sources: BundleSources,
    data: Json,
    views: readonly View[],
    time: Date,
    trace: boolean,
  ): Promise<readonly ExplainedView[]>;
}

/** Why a rule said what it said. */
export interface Explanation {
  readonly violation: Violation;
  /** Undefined for what could not be read: no rule said that. */
  readonly rule?: Rule;
  /** What the variables of the rule stood for when it was true. */
  readonly values: Readonly<Record<string, Json>>;
  /** The rules that it rests on, in the order in which they were true. */
  readonly fired: readonly FiredRule[];
  /** The command that asks for the exception that would apply. */
  readonly exceptionRequest: string | null;
  readonly trace: readonly string[];
  readonly more: number;
}

export interface Explained {
  readonly bundle: Pick<PolicyBundle, 'rules' | 'data' | 'outputs' | 'digest'>;
  readonly sources: BundleSources;
  readonly input: PolicyInput;
  /** What the Wasm gave for it. */
  readonly results: readonly RuleResult[];
  /** Of the decision, in any order. */
  readonly violations: readonly Violation[];
  readonly trace: boolean;
}

/**
 * Explains what a decision says by evaluating it again in OPA's own interpreter. Throws `policy-result` when that gives anything but what
 * the compiled policy gave: then neither is an explanation.
 */
export async function explain(explainer: Explainer, explained: Explained): Promise<readonly Explanation[]> {
  const { bundle, sources, input, results, violations, trace } = explained;
  const rules = rulesByPlace(bundle as PolicyBundle);
  const groups = new Map<string, { view: View; results: RuleResult[] }>();
  const constraints = new Set(bundle.outputs.gatekeeper?.map(({ package: pkg, name }) => `${pkg} ${name}`));
  for (const result of results) {
    if (constraints.has(`${result.package} ${result.name}`)) continue; // its template is no Rego of these sources
    const scope = rules.get(`${result.file}:${result.row}`)?.scope as string | undefined;
    const view = scope === undefined ? undefined : viewOf(input, scope, result.change);
    if (!view) continue;
    const key = `${scope} ${result.change ?? ''}`;
    groups.set(key, { view, results: [...(groups.get(key)?.results ?? []), result] });
  }
  const views = [...groups.values()];
  const { inventory } = input;
  const data = inventory === undefined ? bundle.data : { ...(bundle.data as JsonObject), inventory };
  const found = await explainer.explain(sources, data, views.map(({ view }) => view), new Date(input.time), trace); // prettier-ignore
  views.forEach((one, i) => requireSame(one.view, one.results, found[i]));
  return violations.map((violation) => {
    const exceptionRequest = requestCommand(violation, input.environment.name);
    const rule = rules.get(`${violation.place.file}:${violation.place.line}`);
    const at = views.findIndex(({ results: said }) => said.some((result) => isOf(result, violation)));
    const empty = { violation, ...(rule ? { rule } : {}), values: {}, fired: [], exceptionRequest, trace: [], more: 0 };
    if (at < 0) return empty;
    const { fired, trace: lines, more } = found[at];
    const own = views[at].results.find((result) => isOf(result, violation))!;
    const wanted = canonicalJson([own.value, own.file, own.row] as Json);
    const itself = fired.find(({ result }) => result !== undefined && canonicalJson(result) === wanted);
    const uses = new Set(itself?.uses);
    const others = fired.filter(
      ({ result, place, values }) =>
        result === undefined && uses.has(`${place.file}:${place.line}`) && Object.keys(values).length > 0,
    );
    return {
      ...empty,
      values: besides(itself?.values ?? {}, own.value as Json),
      fired: others.map(({ name, place, values }) => ({ name, place, values })),
      trace: lines,
      more,
    };
  });
}

/** Without what only repeats the finding. */
function besides(values: FiredRule['values'], result: Json): FiredRule['values'] {
  const said = canonicalJson(result);
  return Object.fromEntries(Object.entries(values).filter(([, value]) => canonicalJson(value) !== said));
}

function viewOf(input: PolicyInput, scope: string, change: number | undefined): View | undefined {
  const { inventory: _data, ...whole } = input as unknown as JsonObject;
  if (scope === 'change') return { scope, input: whole };
  const one = change === undefined ? undefined : input.changes[change];
  if (!one) return undefined;
  if (scope === 'object') return { scope, input: { ...whole, commits: [], changes: [one as unknown as Json] } };
  if (scope === 'admission') return { scope, input: one as unknown as Json };
  return scope === 'conftest' && one.after ? { scope, input: one.after } : undefined;
}

/** Conftest's own exceptions take results away that its rules gave; of other rules the interpreter gives neither more nor less. */
function requireSame({ scope }: View, results: readonly RuleResult[], { sets, outputs }: ExplainedView): void {
  const said = sets.flatMap((set, i) => set.map(([value, file, row]) => keyOf(outputs[i], value, file, row)));
  const known = new Set(said);
  const recorded = results.map(({ package: pkg, name, value, file, row }) => keyOf({ package: pkg, name }, value as Json, file, row)); // prettier-ignore
  const same =
    recorded.every((key) => known.has(key)) && (scope === 'conftest' || known.size === new Set(recorded).size);
  if (same) return;
  throw new CountersignError(
    'policy-result',
    `OPA's own interpreter gives ${known.size} results where the compiled policy gave ${recorded.length}`,
    { remedy: 'Please report this with the decision’s evidence: one of the two is wrong' },
  );
}

const keyOf = (of: RuleSet, value: Json, file: string, row: number): string =>
  canonicalJson([of.package, of.name, value, file, row]);

/** A finding does not keep the result that it was made of, but its place, its words and its object. */
function isOf(result: RuleResult, { place, message }: Violation): boolean {
  if (result.file !== place.file || result.row !== place.line) return false;
  const { value } = result;
  return value === message || (value as { msg?: unknown } | null)?.msg === message;
}
