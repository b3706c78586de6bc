import { diffObjects, jsonEqual, type JsonPatchOperation } from './diff.js';
import type { Json } from './object.js';

/** RFC 6902 as another would write it: only what diffObjects makes. */
function apply(document: Json, operations: readonly JsonPatchOperation[]): Json {
  const root: { '': Json } = structuredClone({ '': document });
  for (const { op, path, value } of operations) {
    const segments = [
      '',
      ...path
        .split('/')
        .slice(1)
        .map((s) => s.replaceAll('~1', '/').replaceAll('~0', '~')),
    ];
    const last = segments.pop()!;
    const parent = segments.reduce((at, s) => at[s] as never, root as unknown as Record<string, unknown>);
    const list = Array.isArray(parent) ? (parent as unknown[]) : undefined;
    if (op !== 'add' && !Object.hasOwn(parent, last)) throw new Error(`${op} of nothing at ${path}`);
    if (op === 'remove' && list) list.splice(Number(last), 1);
    else if (op === 'remove') delete parent[last];
    else if (op === 'add' && list) list.splice(Number(last), 0, structuredClone(value));
    else parent[last] = structuredClone(value);
  }
  return root[''];
}

/** A seeded generator (mulberry32), so that a failure can be seen again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const keys = ['a', 'b/c', 'd~e', '~1', '', '0', '-'];
function value(next: () => number, depth: number): Json {
  const kind = Math.floor(next() * (depth > 0 ? 6 : 4));
  if (kind < 2) return Math.floor(next() * 3);
  if (kind === 2) return next() < 0.5 ? null : true;
  if (kind === 3) return 'xyz'.slice(Math.floor(next() * 3));
  const size = Math.floor(next() * 5);
  if (kind === 4) return Array.from({ length: size }, () => value(next, depth - 1));
  return Object.fromEntries(
    Array.from({ length: size }, () => [keys[Math.floor(next() * keys.length)], value(next, depth - 1)]),
  );
}

describe('diffObjects', () => {
  it('gives operations that turn one value into the other, for thousands of random pairs', () => {
    const next = random(20261121);
    for (let i = 0; i < 5000; i++) {
      const before = value(next, 4);
      const after = value(next, 4);
      expect(apply(before, diffObjects(before, after))).toEqual(after);
    }
  });

  it('gives nothing exactly when both are equal', () => {
    const next = random(7);
    for (let i = 0; i < 2000; i++) {
      const [a, b] = [value(next, 2), value(next, 2)];
      expect(diffObjects(a, b).length === 0).toBe(jsonEqual(a, b));
    }
  });

  it('when a container is inserted in front, adds it and touches no other', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => ({ name }));
    expect(diffObjects({ containers: [a, b] }, { containers: [c, a, b] })).toEqual([
      { op: 'add', path: '/containers/0', value: { name: 'c' } },
    ]);
  });

  it('escapes pointers as RFC 6901 says', () => {
    expect(diffObjects({ 'a/b~c': 1 }, { 'a/b~c': 2 })).toEqual([{ op: 'replace', path: '/a~1b~0c', value: 2 }]);
  });
});
