import { CountersignError } from '../../errors.js';
import type { PolicyBundle } from '../../policy/bundle.js';
import { builtinOf } from './builtins/registry.js';
import { RegoCompiler } from './compiler.js';
import { Evaluation } from './evaluation.js';

const compiler = new RegoCompiler();
afterAll(() => compiler.close());

const rules = `package countersign.test

# METADATA
# custom: {scope: object}
deny contains msg if {
	keys := [key | some key, _ in input]
	paths := [path | walk(input, [path, _])]
	msg := sprintf("%v %v %d %v", [keys, count(paths), count(object.get(input, ["commits"], [])), input.changes[0].object.name])
}

warn contains msg if msg := sprintf("%d %d", [count(input.changes), count(input.commits)])

# METADATA
# custom: {scope: object}
warn contains input.changes[0].object.name if {
	replaced := count(input.changes) with input.changes as []
	replaced == 0
	count(input.changes) == 1
}
`;
const conftest = 'package main\n\ndeny contains sprintf("%v", [input])\n';

function evaluationOf(bundle: PolicyBundle, more: object = {}): Evaluation {
  const module = new WebAssembly.Module(bundle.wasm as Uint8Array<ArrayBuffer>);
  return new Evaluation(
    { module, data: JSON.stringify(bundle.data), outputs: bundle.outputs },
    { maxPages: 2048, builtin: (name) => builtinOf(name, () => () => undefined), onStep: () => undefined, ...more },
  );
}

const change = (i: number) => ({
  op: i % 5 === 4 ? 'delete' : 'create',
  object: { name: `ä"{[\\${i}` },
  after: i % 5 === 4 ? null : { kind: 'Pod', name: `n${i}`, note: ']},"changes":[{' },
});
const text = (count: number, commits: object = { commits: [{ id: 'c1' }, { id: 'c2' }] }) =>
  JSON.stringify({
    changes: Array.from({ length: count }, (_, i) => change(i)),
    ...commits,
    environment: { name: 'e', 'tier"': null },
    time: '2026-03-02T09:05:00.25Z',
  });

// Invariant 4: the size of an input decides how it reaches the guest, and nothing else.
describe('an input parsed as a whole, and one cut into its changes', () => {
  let whole: Evaluation;
  let cut: Evaluation;
  beforeAll(async () => {
    const files = new Map([
      ['x.rego', rules],
      ['y.rego', conftest],
    ]);
    const bundle = await compiler.compile({ files, data: {} });
    whole = evaluationOf(bundle);
    cut = evaluationOf(bundle, { openBelow: 0 });
  });

  it.each([0, 1, 2, 30, 200])('show the rules the same, with %d changes', (count) => {
    const results = whole.run(text(count));
    expect(results).toHaveLength(1 + 2 * count + (count - Math.floor(count / 5)));
    expect(results[0].value).toBe(`${count} 2`);
    expect(cut.run(text(count))).toEqual(results);
  });

  it('show no commits where there are none, and forget the input before', () => {
    for (const commits of [{}, { commits: [] }]) {
      expect(whole.run(text(3, commits)).filter(({ name }) => name === 'deny')).toHaveLength(3 + 3);
      expect(whole.run(text(3, commits))).toEqual(cut.run(text(3, commits)));
    }
  });

  it.each([
    ['', 'could not'],
    ['[]', 'not a JSON object'],
    ['{"time":1,"changes":[],"commits":[]}', 'no time'],
    ['{"changes":[],"commits":[]}', 'no time'],
    ['{"time":"2026-03-02T09:05:00.25Z","commits":[],"changes":{}}', 'not a JSON object'],
    ['{"time":"2026-03-02T09:05:00.25Z","commits":[],"changes":[', 'could not'],
    ['{"time":"2026-03-02T09:05:00.25Z","commits":[],"changes":[{"after":"}', 'could not'],
  ])('refuse %s', (input, message) => {
    const before = whole.run(text(2));
    expect(() => whole.run(input)).toThrow(message);
    expect(() => cut.run(input)).toThrow(CountersignError);
    expect(whole.run(text(2))).toEqual(before);
    expect(cut.run(text(2))).toEqual(before);
  });
});

describe('an evaluation that needs more memory than its predecessors left', () => {
  it('is given all of it, and the input again', async () => {
    const greedy =
      'package countersign.test\n\n# METADATA\n# custom: {scope: object}\ndeny contains msg if {\n\tmsg := sprintf("%s %d", [input.changes[0].object.name, count(numbers.range(1, 60000))])\n}\n';
    const bundle = await compiler.compile({ files: new Map([['x.rego', greedy]]), data: {} });
    // 16 MiB: one evaluation takes a good part of them.
    const results = evaluationOf(bundle, { maxPages: 256 }).run(text(20));
    expect(results.map(({ value }) => value)).toEqual(
      expect.arrayContaining(Array.from({ length: 20 }, (_, i) => `ä"{[\\${i} 60000`)),
    );
  });
});
