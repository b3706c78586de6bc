import { CountersignError } from '../../errors.js';
import type { PolicyBundle } from '../../policy/bundle.js';
import type { RuleResult } from '../../policy/evaluator.js';
import { RegoCompiler } from './compiler.js';
import { RegoEvaluator } from './evaluator.js';

const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator({ timeLimit: 500 });
afterAll(() => Promise.all([compiler.close(), evaluator.close()]));

const OBJECT = '# METADATA\n# custom: {scope: object}\n';

function bundle(body: string, data = {}, header = 'package countersign.test'): Promise<PolicyBundle> {
  return compiler.compile({ files: new Map([['x.rego', `${header}\n\n${body}\n`]]), data });
}

function input(changes: readonly object[], more: object = {}): string {
  return JSON.stringify({ time: '2026-03-02T09:05:00.25Z', changes, commits: [{ id: 'c1' }], ...more });
}

const objects = (...names: string[]) =>
  names.map((name) => ({ op: 'create', object: { name }, after: { kind: 'Pod', name } }));
const values = (results: readonly RuleResult[]) => results.map((r) => r.value);

describe('evaluating policy', () => {
  it('shows object-scoped rules one change and no commits, change-scoped ones everything', async () => {
    const rules = await bundle(
      `${OBJECT}deny contains msg if msg := sprintf("%s %d %d", [input.changes[0].object.name, count(input.changes), count(object.get(input, ["commits"], []))])\n\nwarn contains msg if msg := sprintf("%d %d", [count(input.changes), count(input.commits)])`,
    );
    expect(await evaluator.evaluate(rules, input(objects('a', 'b')))).toEqual([
      { package: 'countersign.test', name: 'warn', value: '2 1', file: 'x.rego', row: 7 },
      { package: 'countersign.test', name: 'deny', change: 0, value: 'a 1 0', file: 'x.rego', row: 5 },
      { package: 'countersign.test', name: 'deny', change: 1, value: 'b 1 0', file: 'x.rego', row: 5 },
    ]);
  });

  it('gives results in one order, whatever the order of sets inside', async () => {
    const rules = await bundle(
      'deny contains {"msg": "x", "names": {n | some n in input.names}} if true\n\ndeny contains msg if some msg in input.names',
    );
    const names = ['m', 'z', 'a', 'k', 'é', 'B'];
    const one = await evaluator.evaluate(rules, input([], { names }));
    expect(await evaluator.evaluate(rules, input([], { names: names.toReversed() }))).toEqual(one);
    expect(values(one)).toContainEqual({ msg: 'x', names: ['B', 'a', 'k', 'm', 'z', 'é'] });
  });

  // Invariant 4: the only clock is the input's.
  it('takes the time from the input, in builtins of both kinds', async () => {
    const rules = await bundle(
      'deny contains msg if msg := sprintf("%d %s", [time.now_ns(), time.format([time.now_ns(), "Europe/Vienna", "RFC3339"])])',
    );
    expect(values(await evaluator.evaluate(rules, input([])))).toEqual([
      '1772442300250000000 2026-03-02T10:05:00+01:00',
    ]);
  });

  it('carries strings of any script and control characters unharmed', async () => {
    const rules = await bundle('deny contains msg if some msg in input.texts');
    const texts = ['ä€😀', 'a"b\\c', 'line\nbreak', '\u0000', '\u202e', ''];
    expect(new Set(values(await evaluator.evaluate(rules, input([], { texts }))))).toEqual(new Set(texts));
  });

  it('evaluates Conftest rules on each object itself, with their exceptions', async () => {
    const rules = await bundle(
      'deny_root contains "root" if input.kind == "Pod"\n\nviolation contains {"msg": "v"} if input.name == "b"\n\nwarn contains "w" if input.name == "a"\n\nexception contains ["root"] if input.name == "a"',
      {},
      'package main',
    );
    const results = await evaluator.evaluate(rules, input(objects('a', 'b')));
    expect(results.map((r) => [r.change, r.name, r.value])).toEqual([
      [0, 'warn', 'w'],
      [1, 'deny_root', 'root'],
      [1, 'violation', { msg: 'v' }],
    ]);
  });

  it('evaluates many inputs, and a bad one harms only itself', async () => {
    const rules = await bundle('deny contains input.value');
    const inputs = [...Array(200).keys()].map((i) => input([], { value: i === 77 ? i : `v${i}` }));
    const results = await evaluator.evaluateMany(rules, inputs);
    expect(results[77]).toMatchObject({ code: 'policy-result', place: { file: 'x.rego', line: 3 } });
    expect(results.filter((r) => r instanceof CountersignError)).toHaveLength(1);
    expect(results[199]).toEqual([expect.objectContaining({ value: 'v199' })]);
  });
});

// Invariant 7: each of these is an error, never an allow, and the next evaluation is as if nothing had been.
describe('policy that misbehaves', () => {
  let good: PolicyBundle;
  beforeAll(async () => {
    good = await bundle('deny contains "still here"');
  });

  async function failure(body: string, text = input([])): Promise<CountersignError> {
    const rules = await bundle(body);
    const beside = evaluator.evaluate(good, input([]));
    const error: unknown = await evaluator.evaluate(rules, text).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CountersignError);
    expect(values(await beside)).toEqual(['still here']);
    expect(values(await evaluator.evaluate(good, input([])))).toEqual(['still here']);
    return error as CountersignError;
  }

  it.each([
    ['combinations', 'deny contains "x" if { some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000); a + b + c == 0 }'], // prettier-ignore
    ['calls', `f0(n) := n + 1\n\n${[...Array(30).keys()].map((i) => `f${i + 1}(n) := f${i}(n) + f${i}(n + 1)\n`).join('\n')}\ndeny contains "x" if f30(1) == 0`], // prettier-ignore
  ])('is stopped when it loops for ever in %s', async (_, body) => {
    expect(['policy-timeout', 'policy-memory']).toContain((await failure(body)).code);
  });

  it('is told of by the rule that took the time, and the line of the one it took it for', async () => {
    const body = `deny contains "x" if slow == 0\n\nslow := count([1 | some a in numbers.range(1, 2000); some b in numbers.range(1, 2000); a + b == 0])`;
    const impatient = new RegoEvaluator({ timeLimit: 200 });
    const error: unknown = await impatient.evaluate(await bundle(body), input([])).catch((e: unknown) => e);
    await impatient.close();
    expect(error).toMatchObject({
      code: expect.stringMatching(/^policy-(timeout|memory)$/) as string,
      message: expect.stringContaining('in the rule countersign.test.slow') as string,
      place: { file: 'x.rego', line: 3 },
    });
  });

  // V8 ends the whole process where one allocation goes far past a thread's limit.
  it.each([
    ['numbers', 'count(numbers.range_step(1, 1000000000000, 1))'],
    [
      'padding',
      'count(sprintf(concat("", ["%1000000s" | some _ in numbers.range(1, 400)]), ["€" | some _ in numbers.range(1, 400)]))',
    ],
    [
      'pairs',
      'count(net.cidr_contains_matches(["10.0.0.0/8" | some _ in numbers.range(1, 9000)], ["10.0.0.0/8" | some _ in numbers.range(1, 9000)]))',
    ],
    ['pieces', 'count(regex.split("", concat("", ["abcdefgh" | some _ in numbers.range(1, 200000)])))'],
    ['places', 'count(indexof_n(concat("", ["aaaaaaaa" | some _ in numbers.range(1, 200000)]), "a"))'],
    [
      'words for a builtin',
      'count(sprintf("%v", [[concat("", ["abcdefgh" | some _ in numbers.range(1, 200000)]) | some _ in numbers.range(1, 30)]]))',
    ],
  ])('ends alone, and not with the process, when it asks for too many %s', async (_, expression) => {
    const { code, message } = await failure(`deny contains "x" if 0 == ${expression}`);
    expect(code).toMatch(/^policy-(memory|timeout)$/);
    expect(code === 'policy-timeout' ? '' : message).toMatch(/^$|in the rule countersign\.test\.deny/);
  });

  it('is no matter when its patterns would be slow elsewhere, or its numbers have no end', async () => {
    const body = `long := concat("", ["a" | some _ in numbers.range(1, 20000)])

deny contains "harmless" if {
	not regex.match("^(a+)+$", concat("", [long, "!"]))
	count(regex.find_n("(.*)*(.*)*(.*)*x", long, -1)) == 0
	regex.replace(long, "(a*)*(b|a*)*c", "x") == long
	not units.parse("1e1000000000")
	not sprintf("%d", [to_number("1e1000000000")]) == "1"
}`;
    expect(values(await evaluator.evaluate(await bundle(body), input([])))).toEqual(['harmless']);
  });

  it.each([
    ['a range', 'deny contains "x" if count(numbers.range(1, 100000000)) == 0'],
    [
      'a comprehension',
      'deny contains "x" if count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000)]) == 0',
    ],
    ['a string that grows in a builtin of the host', `s0 := "xxxxxxxxxxxxxxxx"\n\n${[...Array(28).keys()].map((i) => `s${i + 1} := sprintf("%s%s", [s${i}, s${i}])\n`).join('\n')}\ndeny contains "x" if count(s28) == 0`], // prettier-ignore
    [
      'data that leads back to itself',
      'deny contains "x" if count(graph.reachable_paths({a: numbers.range(1, 14) | some a in numbers.range(1, 14)}, [1])) == 0',
    ],
    ['a string that doubles', `s0 := "xxxxxxxxxxxxxxxx"\n\n${[...Array(28).keys()].map((i) => `s${i + 1} := concat("", [s${i}, s${i}])\n`).join('\n')}\ndeny contains "x" if count(s28) == 0`], // prettier-ignore
  ])('ends at the memory limit with %s', async (_, body) => {
    expect(['policy-memory', 'policy-timeout']).toContain((await failure(body)).code);
  });

  it.each([
    ['a number', '1', 'gave 1'],
    ['true', 'true', 'gave true'],
    ['null', 'null', 'gave null'],
    ['a list', '["x"]', 'gave a list'],
    ['an object without msg', '{"message": "x"}', 'msg is missing'],
    ['an object whose msg is a number', '{"msg": 7}', 'msg is 7'],
    ['a fix that is no text', '{"msg": "x", "fix": 1}', 'gave 1 as fix'],
  ])('is refused when its result is %s', async (_, value, message) => {
    const error = await failure(`deny contains value if value := ${value}`);
    expect([error.code, error.place]).toEqual(['policy-result', { file: 'x.rego', line: 3 }]);
    expect(error.message).toContain(message);
  });

  it.each([
    [
      'a rule',
      'port := 1 if input.time\n\nport := 2 if input.changes\n\ndeny contains "x" if port == 3',
      5,
      /rules conflict/,
    ],
    ['a function', 'f(x) := 1 if x > 0\n\nf(x) := 2 if x > 1\n\ndeny contains "x" if f(3) == 3', 5, /rules conflict/],
    [
      'an object',
      'o := {"a": v | some v in [input.time, 1]}\n\ndeny contains "x" if o.a == 3',
      3,
      /two values for one key/,
    ],
  ])('fails where %s contradicts itself, with the place', async (_, body, line, says) => {
    const { code, message, place, remedy } = await failure(body);
    expect({ code, place }).toEqual({ code: 'policy-failed', place: { file: 'x.rego', line, column: expect.any(Number) as number } }); // prettier-ignore
    expect(message).toMatch(says);
    expect(remedy).toMatch(/^Let /);
  });

  it('is not evaluated where its entry point is undefined', async () => {
    const files = new Map([['x.rego', 'package countersign.test\n\ndeny contains "x"\n']]);
    const wasm = await compiler.compileRaw(files, ['countersign/test/deny']);
    const error: unknown = await evaluator
      .evaluate({ ...good, wasm, wasmDigest: 'raw', digest: 'raw' }, input([]))
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'policy-failed',
      message: 'the compiled policy has no entry point countersign__run/change',
      remedy: expect.stringContaining('compile it again') as string,
    });
  });

  it('fails on input that is no input', async () => {
    expect((await failure('deny contains "x"', '[]')).code).toBe('policy-failed');
    expect((await failure('deny contains "x"', '{"changes":[]}')).message).toContain('no time');
    expect((await failure('deny contains "x"', '{"time":"2026-01-01T00:00:00Z",')).code).toBe('policy-failed');
  });

  it('survives input nested 200,000 levels deep', async () => {
    const deep = `{"time":"2026-01-01T00:00:00Z","changes":[],"x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    expect(['policy-memory', 'policy-failed', 'policy-timeout']).toContain(
      (await failure('deny contains "x" if walk(input, [_, 7])', deep)).code,
    );
  });
});
