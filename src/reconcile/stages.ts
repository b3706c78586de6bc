import { CountersignError } from '../errors.js';
import { describeIdentity, identityKey, type ObjectIdentity } from '../cluster/object.js';
import type { Directives } from './directives.js';
import { rank } from './order.js';

/** What has a place in the order: an object with what its manifest asks. */
export interface Staged {
  readonly identity: ObjectIdentity;
  readonly directives: Directives;
}

/** One wave of a phase: what is in it is written together, and is healthy before the next begins. */
export interface Stage<T extends Staged> {
  readonly wave: number;
  /** How many others of its wave come before it, by `depends-on`. */
  readonly depth: number;
  /** In order; those of one batch may go at once. */
  readonly batches: readonly (readonly T[])[];
}

/**
 * By wave, then by what depends on what, then by kind. Throws `object-invalid` for a dependency that can never be met: on an
 * object that is not here, on one of a later wave, or on itself by way of others.
 */
export function stagesOf<T extends Staged>(items: readonly T[]): Stage<T>[] {
  const depths = depthsOf(items);
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = `${item.directives.wave} ${depths.get(identityKey(item.identity))}`;
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return [...groups]
    .map(([name, group]) => {
      const [wave, depth] = name.split(' ').map(Number);
      return { wave, depth, batches: batchesOf(group) };
    })
    .toSorted((a, b) => a.wave - b.wave || a.depth - b.depth);
}

/** Objects of one rank need nothing of each other. */
function batchesOf<T extends Staged>(items: readonly T[]): T[][] {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const at = rank(item.identity);
    const group = groups.get(at);
    if (group) group.push(item);
    else groups.set(at, [item]);
  }
  return [...groups].toSorted(([a], [b]) => a - b).map(([, group]) => group);
}

function depthsOf(items: readonly Staged[]): Map<string, number> {
  const all = new Map(items.map((item) => [identityKey(item.identity), item]));
  const depths = new Map<string, number>();
  const walk = (key: string, item: Staged, way: readonly string[]): number => {
    const known = depths.get(key);
    if (known !== undefined) return known;
    if (way.includes(key)) {
      throw impossible(
        item,
        `depends on itself, by way of ${way.slice(way.indexOf(key) + 1).join(', ') || 'nothing else'}`,
      );
    }
    let depth = 0;
    for (const other of item.directives.dependsOn) {
      const found = all.get(other);
      if (!found) throw impossible(item, `depends on ${other}, which this environment does not have`);
      if (found.directives.wave > item.directives.wave) {
        throw impossible(item, `depends on ${other}, which is of a later wave`);
      }
      const before = walk(other, found, [...way, key]);
      if (found.directives.wave === item.directives.wave) depth = Math.max(depth, before + 1);
    }
    depths.set(key, depth);
    return depth;
  };
  for (const [key, item] of all) walk(key, item, []);
  return depths;
}

function impossible({ identity }: Staged, why: string): CountersignError {
  return new CountersignError('object-invalid', `${describeIdentity(identity)} ${why}`, {
    remedy: 'Correct its annotation config.kubernetes.io/depends-on, or the waves',
  });
}
