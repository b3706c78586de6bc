import { canonicalJson } from '../cluster/canonical.js';
import { identityOf, type Json, type KubernetesObject, type Source } from '../cluster/object.js';
import type { CountersignError } from '../errors.js';
import type { PolicyBundle } from '../policy/bundle.js';
import { decision as decide, judgedIn } from '../policy/decide.js';
import type { Decision } from '../policy/decision.js';
import type { Evaluator } from '../policy/evaluator.js';
import { inventoryOf } from '../policy/gatekeeper/gatekeeper.js';
import type { InputException, PolicyInput } from '../policy/input.js';

/** What runs in one environment as our runs left it: the last known state of its objects, and the input that they were approved with. */
export interface LiveEnvironment {
  readonly repository: string;
  readonly environment: string;
  readonly target: string;
  /** Whether the objects are from a listing of the cluster, or why not; absent where nobody asked it. */
  readonly listing?: 'listed' | CountersignError;
  /** The commit that was approved, the log index of the decision that allowed it, and when that was. */
  readonly commit: string;
  readonly decision: number;
  readonly time: string;
  /** Redacted. */
  readonly objects: readonly { readonly object: KubernetesObject; readonly source: Source }[];
  readonly input: string;
  /** The policy that allowed it. */
  readonly bundle: PolicyBundle;
}

/** Reads them one after the other. */
export interface LiveEnvironments {
  all(repository: string | null, environment?: string): AsyncIterable<LiveEnvironment>;
  /** By path of a file, who owned it when what runs of it was decided; without those that nobody owns. */
  teams(live: Pick<LiveEnvironment, 'repository' | 'environment'>): Promise<ReadonlyMap<string, readonly string[]>>;
}

/** In place of what was so when it was approved. */
export interface Now {
  readonly time?: Date;
  readonly exceptions?: readonly InputException[];
}

/**
 * Judges what runs as if it came now, by the rules about objects: who signed and approved it is long decided. A failed evaluation
 * comes back as a decision of outcome `error`.
 */
export async function judgeLive(
  { objects, input }: Pick<LiveEnvironment, 'objects' | 'input'>,
  bundle: PolicyBundle,
  evaluator: Evaluator,
  now: Now = {},
): Promise<Decision> {
  const recorded = JSON.parse(input) as PolicyInput;
  const changes = objects.map(({ object, source }) => {
    const { apiVersion, kind } = object;
    const { namespace, name } = identityOf(object);
    const named = { apiVersion, kind, namespace, name };
    return { op: 'create', object: named, before: null, after: object, patch: [], source, live: null };
  });
  const text = canonicalJson({
    ...recorded,
    ...(now.time ? { time: now.time.toISOString() } : {}),
    ...(now.exceptions ? { exceptions: now.exceptions } : {}),
    ...(bundle.inventory && !recorded.inventory
      ? { inventory: inventoryOf(objects.map(({ object }) => object), bundle.inventory) } // prettier-ignore
      : {}),
    operation: 'adoption',
    commits: [],
    changes,
  } as unknown as Json);
  const judged = judgedIn({ changes } as unknown as PolicyInput);
  const [results] = await evaluator.evaluateMany(bundle, [text]);
  return decide(bundle, text, judged, Array.isArray(results) ? results.filter(({ change }) => change !== undefined) : results); // prettier-ignore
}
