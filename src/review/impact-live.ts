import { identityKey, identityOf, type ObjectIdentity, type Source } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { PolicyBundle } from '../policy/bundle.js';
import type { Violation } from '../policy/decision.js';
import type { Evaluator } from '../policy/evaluator.js';
import { judgeLive, type LiveEnvironment } from './judge-live.js';
import { add, sorted } from './impact-tally.js';

export interface LiveImpact {
  readonly environments: number;
  readonly objects: number;
  /** Objects of which a rule would say something that the policy that allowed them does not say, and the other way round. */
  readonly newly: number;
  readonly noLonger: number;
  /** Findings that are new. */
  readonly byRule: Readonly<Record<string, number>>;
  /** By owner of the file; by repository where nobody owns it. */
  readonly byTeam: Readonly<Record<string, number>>;
  readonly byEnvironment: Readonly<Record<string, number>>;
  /** Environments whose objects are from a fresh listing of their cluster; and those whose cluster was asked in vain, with the reason. */
  readonly listed: number;
  readonly unlisted: readonly { readonly environment: string; readonly message: string }[];
  readonly examples: readonly { readonly environment: string; readonly teams: readonly string[]; readonly rule: string; readonly message: string; readonly object: ObjectIdentity; readonly source: Source }[]; // prettier-ignore
}

export const NOTHING_LIVE: LiveImpact = { environments: 0, objects: 0, newly: 0, noLonger: 0, byRule: {}, byTeam: {}, byEnvironment: {}, listed: 0, unlisted: [], examples: [] }; // prettier-ignore
const EXAMPLES = 50;

/** Judges what runs as if it came today, by the rules about objects: who signed and approved it is long decided. */
export async function liveImpact(
  before: LiveImpact,
  { repository, environment, objects, input, bundle, listing }: LiveEnvironment,
  proposed: PolicyBundle,
  evaluator: Evaluator,
  owners: ReadonlyMap<string, readonly string[]> = new Map(),
): Promise<LiveImpact> {
  const said = async (by: PolicyBundle): Promise<Map<string, Violation>> => {
    const { violations, required, error } = await judgeLive({ objects, input }, by, evaluator);
    if (error) throw new CountersignError('policy-failed', error.message, error);
    return new Map([...violations, ...required].flatMap((one) => (one.object ? [[`${one.rule} ${identityKey(one.object)}`, one]] : []))); // prettier-ignore
  };
  const [old, fresh] = [await said(bundle), await said(proposed)];
  const newly = [...fresh].filter(([key]) => !old.has(key)).map(([, one]) => one);
  const noLonger = [...old].filter(([key]) => !fresh.has(key)).length;
  const where = `${repository} ${environment}`;
  const sources = new Map(objects.map(({ object, source }) => [identityKey(identityOf(object)), source]));
  const findings = newly.map(({ rule, message, object, source: said }) => {
    const source = said ?? sources.get(identityKey(object!))!;
    return {
      environment: where,
      teams: owners.get(source.path) ?? [repository],
      rule,
      message,
      object: object!,
      source,
    };
  });
  const shown = findings.slice(0, Math.max(0, EXAMPLES - before.examples.length));
  return {
    environments: before.environments + 1,
    objects: before.objects + objects.length,
    newly: before.newly + newly.length,
    noLonger: before.noLonger + noLonger,
    byRule: counted(before.byRule, findings.map(({ rule }) => rule)), // prettier-ignore
    byTeam: counted(before.byTeam, findings.flatMap(({ teams }) => teams)), // prettier-ignore
    byEnvironment: { ...before.byEnvironment, ...(newly.length > 0 ? { [where]: newly.length } : {}) },
    listed: before.listed + (listing === 'listed' ? 1 : 0),
    unlisted: [...before.unlisted, ...(listing instanceof CountersignError ? [{ environment: where, message: listing.message }] : [])], // prettier-ignore
    examples: [...before.examples, ...shown],
  };
}

/** Most first. */
function counted(before: Readonly<Record<string, number>>, names: readonly string[]): Record<string, number> {
  const counts = new Map(Object.entries(before));
  for (const name of names) add(counts, name);
  return sorted(counts, (count) => count);
}
