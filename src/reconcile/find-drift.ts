import type { Environment } from '../change/environment.js';
import type { Cluster, LiveObject } from './cluster.js';
import type { Comparison } from './drift.js';
import type { Finding } from './finding.js';
import type { Inventory } from './inventory.js';
import { differences, driftMode } from './judged.js';
import { isKept, type Desired, type DesiredObject } from './plan.js';

export interface DriftSearch {
  readonly keys: Iterable<string>;
  readonly inventory: Inventory;
  /** What is approved now. */
  readonly desired: Desired;
  /** What the last complete run applied: a change made before a new one was approved is still recorded. */
  readonly before: Desired;
  readonly live: ReadonlyMap<string, LiveObject | null>;
  /** The server's answers to our own applies; what had to be asked is added. */
  readonly expected: Map<string, LiveObject>;
  readonly environment: Environment;
  readonly cluster: Cluster;
}

/** Governed objects that are not as our last run left them, but for those whose drift is not looked for. */
export async function findDrift(search: DriftSearch): Promise<Finding[]> {
  const { inventory, desired, before, live, environment } = search;
  const findings: Finding[] = [];
  for (const key of search.keys) {
    const entry = inventory.get(key);
    const now = desired.get(key);
    if (!entry || entry.hook !== null) continue; // not yet ours, or not there to stay
    const basis = before.get(key) ?? (now?.digest === entry.digest ? now : undefined);
    const asked = basis ?? now;
    if (asked && (!isKept(asked) || driftMode(entry.identity, environment) === 'off')) continue;
    const object = live.get(key) ?? null;
    if (object === null) {
      if (asked) findings.push({ key, type: 'deleted', basis: asked, live: null, differences: [] });
      continue;
    }
    const { uid, resourceVersion } = object.metadata;
    if (!basis || (uid === entry.uid && resourceVersion === entry.resourceVersion)) continue;
    const found = await compared(key, basis, object, search);
    if (uid !== entry.uid) findings.push({ key, type: 'replaced', basis, live: object, differences: found });
    else if (found.length > 0) findings.push({ key, type: 'modified', basis, live: object, differences: found });
  }
  return findings;
}

async function compared(
  key: string,
  basis: DesiredObject,
  live: LiveObject,
  { expected, environment, cluster }: DriftSearch,
): Promise<Comparison['differences']> {
  const first = differences(basis, live, expected.get(key), environment);
  if (!first.uncertain) return first.differences;
  // Asked at most once for each object after a restart: the answer is remembered.
  const answer = await cluster.apply(basis.sent, { dryRun: true });
  expected.set(key, answer);
  return differences(basis, live, answer, environment).differences;
}
