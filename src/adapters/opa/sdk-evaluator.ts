import { loadPolicy } from '@open-policy-agent/opa-wasm';
import { CountersignError } from '../../errors.js';
import type { BundleOutputs, PolicyBundle } from '../../policy/bundle.js';
import type { Evaluator, RuleResult } from '../../policy/evaluator.js';

type Policy = Awaited<ReturnType<typeof loadPolicy>>;

interface SdkInput {
  readonly inventory?: unknown;
  readonly changes?: readonly { readonly after?: unknown }[];
}

/**
 * The same Wasm in Open Policy Agent's own SDK, which shares no code with our host: a second opinion for whoever does not want to rely
 * on the first (`countersign replay --with opa-wasm`). It runs in this thread without limits, lacks some builtins (`policy-failed`
 * then), and forgets which lists were sets: their order means nothing here.
 */
export class SdkEvaluator implements Evaluator {
  private readonly policies = new Map<string, Promise<Policy>>();

  async evaluate(bundle: PolicyBundle, input: string): Promise<readonly RuleResult[]> {
    const policy = await this.policyOf(bundle);
    try {
      return resultsOf(policy, bundle, JSON.parse(input) as SdkInput);
    } catch (cause) {
      if (cause instanceof CountersignError) throw cause;
      // It throws texts as well as errors.
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CountersignError('policy-failed', `opa-wasm could not evaluate the policy: ${why}`, { cause });
    }
  }

  async evaluateMany(
    bundle: PolicyBundle,
    inputs: readonly string[],
  ): Promise<readonly (readonly RuleResult[] | CountersignError)[]> {
    const results: (readonly RuleResult[] | CountersignError)[] = [];
    for (const input of inputs) {
      try {
        results.push(await this.evaluate(bundle, input));
      } catch (error) {
        if (!(error instanceof CountersignError)) throw error;
        results.push(error);
      }
    }
    return results;
  }

  async close(): Promise<void> {}

  private policyOf(bundle: PolicyBundle): Promise<Policy> {
    let policy = this.policies.get(bundle.digest);
    if (!policy) {
      policy = loadPolicy(bundle.wasm).then((loaded) => {
        loaded.setData(bundle.data as object);
        return loaded;
      });
      this.policies.clear(); // decisions come in the order of their bundles
      this.policies.set(bundle.digest, policy);
    }
    return policy;
  }
}

function resultsOf(policy: Policy, { outputs, data }: PolicyBundle, all: SdkInput): RuleResult[] {
  const { inventory, ...input } = all;
  // What rules see of other objects is data, as in Gatekeeper.
  if (inventory !== undefined) policy.setData({ ...(data as object), inventory });
  const changes = input.changes ?? [];
  const found: RuleResult[] = [];
  if (outputs.change.length) gather(policy, outputs, 'change', input, undefined, found);
  for (const [i, one] of changes.entries()) {
    if (outputs.object.length) gather(policy, outputs, 'object', { ...input, commits: [], changes: [one] }, i, found);
    if (outputs.conftest.length && one.after) gather(policy, outputs, 'conftest', one.after, i, found);
  }
  for (const scope of ['admission', 'gatekeeper'] as const) {
    if (!outputs[scope]?.length) continue;
    for (const [i, one] of changes.entries()) gather(policy, outputs, scope, one, i, found);
  }
  if (inventory !== undefined) policy.setData(data as object);
  return found;
}

function gather(
  policy: Policy,
  outputs: BundleOutputs,
  scope: keyof BundleOutputs,
  input: unknown,
  change: number | undefined,
  into: RuleResult[],
): void {
  const entry = scope === 'gatekeeper' ? 'countersign__gatekeeper/results' : `countersign__run/${scope}`;
  const [{ result: sets }] = policy.evaluate(input, entry) as [{ result: unknown[][] }];
  const names = outputs[scope] ?? [];
  const excepted = new Set<string>();
  for (const [i, { package: pkg, name }] of names.entries()) {
    if (scope !== 'conftest' || name !== 'exception') continue;
    for (const suffix of sets[i].flat()) excepted.add(`${pkg} ${String(suffix)}`);
  }
  for (const [i, { package: pkg, name }] of names.entries()) {
    if (scope === 'conftest' && (name === 'exception' || excepted.has(`${pkg} ${suffixOf(name)}`))) continue;
    for (const member of sets[i]) {
      const [value, file, row] = member as [unknown, string, number];
      into.push({ package: pkg, name, ...(change === undefined ? {} : { change }), value, file, row });
    }
  }
}

const suffixOf = (name: string): string => name.replace(/^(deny|violation|warn)_?/, '');
