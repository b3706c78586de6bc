import type { CountersignError } from '../errors.js';
import type { PolicyBundle } from './bundle.js';

/** Raw results of one evaluation: one member per result that a rule produced. */
export interface RuleResult {
  readonly package: string;
  readonly name: string;
  /** Position in input.changes of the object that an object-scoped rule was judging. */
  readonly change?: number;
  readonly value: unknown;
  readonly file: string;
  readonly row: number;
}

/**
 * Evaluates compiled policy on canonical JSON, in worker threads under limits (invariants 4, 7). Rules of scope `object` see
 * an input whose `changes` holds exactly one change and whose `commits` is empty, once for each change; rules of scope
 * `change` see all of it, once. Conftest's rules see each change's `after` as their whole input. Throws `policy-failed`,
 * `policy-timeout`, `policy-memory`, `policy-result`; a failed evaluation leaves the evaluator fit for the next one.
 */
export interface Evaluator {
  /** Results in a canonical order, the same on every machine. `input` is a `countersign.dev/v1` ProposedChange as JSON text. */
  evaluate(bundle: PolicyBundle, input: string): Promise<readonly RuleResult[]>;
  /** Many inputs at less cost each. An input that fails gives its error in its place; the others are not affected. */
  evaluateMany(
    bundle: PolicyBundle,
    inputs: readonly string[],
  ): Promise<readonly (readonly RuleResult[] | CountersignError)[]>;
  close(): Promise<void>;
}
