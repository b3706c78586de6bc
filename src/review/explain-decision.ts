import type { ContentReference } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import { CountersignError } from '../errors.js';
import type { BundleSources, PolicyBundle } from '../policy/bundle.js';
import type { RuleResult } from '../policy/evaluator.js';
import { explain, type Explainer, type Explanation } from '../policy/explain.js';
import type { PolicyInput } from '../policy/input.js';
import type { DecisionRecord } from './records.js';

/**
 * Explains a recorded decision from what the log keeps of it: input, result, policy and its Rego. Throws `content-missing` for one whose
 * contents were erased, or that was recorded before Rego was kept; `policy-result` as `explain` does.
 */
export async function explainDecision(
  decision: Pick<DecisionRecord, 'index' | 'violations' | 'warnings' | 'required' | 'excepted'>,
  ledger: Ledger,
  explainer: Explainer,
  trace: boolean,
): Promise<readonly Explanation[]> {
  const { index, violations, warnings, required, excepted } = decision;
  if (index === null) throw missing('the decision has no place in the log yet', true);
  const { predicate } = await ledger.entry(index);
  const contents = predicate['contents'] as unknown as Readonly<Record<string, ContentReference | undefined>>;
  const read = async <T>(role: string): Promise<T> => {
    const reference = contents[role];
    if (!reference) throw missing(`decision ${index} was recorded without its ${role}`, false);
    return JSON.parse((await ledger.content(reference)).toString('utf8')) as T;
  };
  const [bundle, sources, input, results] = await Promise.all([
    read<Omit<PolicyBundle, 'wasm'>>('policy'),
    read<BundleSources>('rego'),
    read<PolicyInput>('input'),
    read<readonly RuleResult[]>('result'),
  ]);
  const all = [...violations, ...required, ...warnings, ...excepted];
  return explain(explainer, { bundle, sources, input, results, violations: all, trace });
}

function missing(message: string, retry: boolean): CountersignError {
  return new CountersignError('content-missing', message, {
    remedy: retry
      ? 'Ask again in a moment'
      : 'It can still be read and verified; only why each rule was true cannot be shown',
    retry,
  });
}
