import { identityKey, identityOf, type ObjectIdentity, type Source } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { PolicyBundle } from '../policy/bundle.js';
import type { Violation } from '../policy/decision.js';
import type { Evaluator } from '../policy/evaluator.js';
import { judgeLive, type LiveEnvironment } from './judge-live.js';

export interface LiveImpact {
  readonly environments: number;
  readonly objects: number;
  /** Objects of which a rule would say something that the policy that allowed them does not say, and the other way round. */
  readonly newly: number;
  readonly noLonger: number;
  readonly byRule: Readonly<Record<string, number>>;
  readonly byEnvironment: Readonly<Record<string, number>>;
  readonly examples: readonly { readonly environment: string; readonly rule: string; readonly message: string; readonly object: ObjectIdentity; readonly source: Source }[]; // prettier-ignore
}

export const NOTHING_LIVE: LiveImpact = { environments: 0, objects: 0, newly: 0, noLonger: 0, byRule: {}, byEnvironment: {}, examples: [] }; // prettier-ignore
const EXAMPLES = 50;

/** Judges what runs as if it came today, by the rules about objects: who signed and approved it is long decided. */
export async function liveImpact(
  before: LiveImpact,
  { repository, environment, objects, input, bundle }: LiveEnvironment,
  proposed: PolicyBundle,
  evaluator: Evaluator,
): Promise<LiveImpact> {
  const said = async (by: PolicyBundle): Promise<Map<string, Violation>> => {
    const { violations, required, error } = await judgeLive({ objects, input }, by, evaluator);
    if (error) throw new CountersignError('policy-failed', error.message, error);
    return new Map([...violations, ...required].flatMap((one) => (one.object ? [[`${one.rule} ${identityKey(one.object)}`, one]] : []))); // prettier-ignore
  };
  const [old, fresh] = [await said(bundle), await said(proposed)];
  const newly = [...fresh].filter(([key]) => !old.has(key)).map(([, one]) => one);
  const noLonger = [...old].filter(([key]) => !fresh.has(key)).length;
  const byRule = new Map(Object.entries(before.byRule));
  for (const { rule } of newly) byRule.set(rule, (byRule.get(rule) ?? 0) + 1);
  const where = `${repository} ${environment}`;
  const sources = new Map(objects.map(({ object, source }) => [identityKey(identityOf(object)), source]));
  const shown = newly
    .slice(0, Math.max(0, EXAMPLES - before.examples.length))
    .map(({ rule, message, object, source }) => ({
      environment: where,
      rule,
      message,
      object: object!,
      source: source ?? sources.get(identityKey(object!))!,
    }));
  return {
    environments: before.environments + 1,
    objects: before.objects + objects.length,
    newly: before.newly + newly.length,
    noLonger: before.noLonger + noLonger,
    byRule: Object.fromEntries([...byRule].toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))),
    byEnvironment: { ...before.byEnvironment, ...(newly.length > 0 ? { [where]: newly.length } : {}) },
    examples: [...before.examples, ...shown],
  };
}
