import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CountersignError } from '../../errors.js';
import { policySources } from '../../policy/sources.js';
import { RegoCompiler } from './compiler.js';
import { programVersion } from './program.js';

const native = (body: string) => `package countersign.test\n\n${body}\n`;
const sourcesOf = (body: string, file = 'x.rego') => ({ files: new Map([[file, `package x\n\n${body}\n`]]), data: {} });
const rulesOf = (count: number) => [...Array(count).keys()].map((i) => `x${i} if input.a == "${i}"\n`).join('\n');
const compiler = new RegoCompiler();
afterAll(() => compiler.close());

async function refusal(text: string, file = 'policies/x.rego'): Promise<CountersignError> {
  const error: unknown = await compiler.compile({ files: new Map([[file, text]]), data: {} }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(CountersignError);
  return error as CountersignError;
}

describe('compiling policy', () => {
  it('names OPA and our own sources as its version', () => {
    expect(programVersion()).toMatch(/^opa-1\.\d+\.\d+\+[0-9a-f]{16}$/);
  });

  it('tells file and line of what does not compile', async () => {
    const error = await refusal('package countersign.test\n\ndeny contains := 1\n');
    expect([error.code, error.place?.file, error.place?.line]).toEqual(['rego-invalid', 'policies/x.rego', 3]);
  });

  it('tells every fault of every file at once', async () => {
    const files = new Map([
      ['a.rego', native('deny contains x if y')],
      ['b.rego', native('deny contains z if w')],
    ]);
    await expect(compiler.compile({ files, data: {} })).rejects.toThrow(/x is unsafe.*b\.rego:3/);
  });

  it('is strict: an unused variable is a fault', async () => {
    const error = await refusal(native('deny contains "x" if {\n\tunused := 1\n}'));
    expect(error.message).toContain('unused');
    expect(error.place?.line).toBe(4);
  });

  // Invariant 4: whatever is not a pure function of the input would make a decision that cannot be replayed.
  it.each(['http.send({})', 'net.lookup_ip_addr("x")', 'opa.runtime()', 'rand.intn("x", 2)', 'uuid.rfc4122("x")'])(
    'refuses %s with its place and what to do instead',
    async (call) => {
      const error = await refusal(native(`helper := ${call}\n\ndeny contains "x" if helper == 1`));
      expect(error.code).toBe('rego-invalid');
      expect(error.message).toMatch(/is refused: a decision must give the same result/);
      expect(error.place).toEqual({ file: 'policies/x.rego', line: 3, column: 11 });
      expect(error.remedy).toMatch(/data\.yaml|from the input/);
    },
  );

  it('refuses them deep inside of other expressions, too', async () => {
    const error = await refusal(
      native('deny contains msg if msg := sprintf("%v", [[x | x := http.send({"url": input.url})]])'),
    );
    expect(error.message).toContain('http.send is refused');
  });

  it('refuses a rule that could never deny anything', async () => {
    const error = await refusal(native('deny if input.kind == "Secret"'));
    expect([error.place?.line, error.remedy]).toEqual([3, 'Write `deny contains message if { … }`']);
  });

  it('refuses metadata that makes no sense', async () => {
    const error = await refusal(native('# METADATA\n# custom:\n#   severity: terrible\ndeny contains "x" if true'));
    expect(error.message).toContain('custom.severity terrible');
  });

  it('refuses an object-scoped rule that looks at commits, which it would never see', async () => {
    const text = native(
      '# METADATA\n# custom: {scope: object}\ndeny contains "x" if helper\n\nhelper if input.commits[_].signature.status != "verified"',
    );
    expect((await refusal(text)).message).toContain('sees no commits');
  });

  it('gives a rule that says no scope all there is to see', async () => {
    const { rules } = await compiler.compile({
      files: new Map([['x.rego', native('deny contains "x" if true')]]),
      data: {},
    });
    expect(rules).toEqual([
      expect.objectContaining({ id: 'countersign.test.deny', scope: 'change', severity: 'medium', controls: [], place: { file: 'x.rego', line: 3 } }), // prettier-ignore
    ]);
  });

  it('gives the same Wasm for the same sources, whatever their order', async () => {
    const a: [string, string] = ['a.rego', native('deny contains "a" if true')];
    const b: [string, string] = ['b.rego', native('warn contains "b" if true')];
    const one = await compiler.compile({ files: new Map([a, b]), data: {} });
    const other = await compiler.compile({ files: new Map([b, a]), data: {} });
    expect(other.digest).toBe(one.digest);
    const changed = await compiler.compile({ files: new Map([a, b]), data: { x: 1 } });
    expect(changed.wasmDigest).toBe(one.wasmDigest);
    expect(changed.digest).not.toBe(one.digest);
  });

  it('refuses an entry point that is undefined', async () => {
    const files = new Map([['x.rego', native('deny contains "x" if true')]]);
    await expect(compiler.compileRaw(files, ['countersign/test/denny'])).rejects.toMatchObject({
      code: 'rego-invalid',
      message: expect.stringContaining('countersign/test/denny') as string,
    });
  });

  it('says so where OPA itself fails', async () => {
    const endless = 'g(x) := x\n\nf(x) := g(x)\n\ndeny contains "x" if f(1) with g as f';
    expect((await refusal(native(endless))).message).toContain('OPA cannot handle these sources');
    expect((await refusal(native('deny contains "x" if data.countersign.test[input.x]'))).message).toContain(
      'recursive',
    );
  });
});

// Invariant 7, where policy runs in OPA's own interpreter: tests, explanations, constants that the compiler computes.
describe('Rego without end', () => {
  const impatient = new RegoCompiler({ timeLimit: 1000, maxPages: 4096 });
  afterAll(() => impatient.close());
  const numbers =
    'some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000)';
  const doubling = [...Array(27).keys()].map((i) => `s${i + 1} := concat("", [s${i}, s${i}])`).join('\n\n');
  const evaluate = (body: string) =>
    impatient.evaluate(sourcesOf(body), 'data.x.found', { text: '0123456789abcdef' }, 0n);

  it.each([
    ['at rules nested without end', 60_000, 16_384, `x := ${'['.repeat(20_000)}${']'.repeat(20_000)}`],
    ['at more than it has memory for', 60_000, 600, rulesOf(500)],
    ['at more than it has time for', 100, 16_384, rulesOf(3000)],
  ])('is stopped %s while it compiles, and tells of the largest file', async (_, timeLimit, maxPages, body) => {
    const limited = new RegoCompiler({ timeLimit, maxPages });
    const small = native('deny contains "x"');
    const files = new Map([['a.rego', small], ['z.rego', `${small}\n${body}\n`]]); // prettier-ignore
    await expect(limited.compile({ files, data: {} })).rejects.toMatchObject({
      code: expect.stringMatching(/^policy-(timeout|memory)$/) as unknown,
      place: { file: 'z.rego' },
    });
    await limited.close();
  });

  it.each([
    [
      'a test that never ends',
      () => impatient.test(sourcesOf(`test_x if {\n\t${numbers}\n\ta + b + c == 0\n}`, 'x_test.rego')),
    ],
    ['a string of 2 GB', () => evaluate(`s0 := input.text\n\n${doubling}\n\nfound := count(s27)`)],
  ])('is stopped at %s, and the next request is served', async (_, request) => {
    await expect(request()).rejects.toMatchObject({
      code: expect.stringMatching(/^policy-(timeout|memory)$/) as unknown,
    });
    expect(await evaluate('found := 1 + 1')).toBe(2);
  });
});

describe('compiled bundles on disk', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bundles-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const sources = { files: new Map([['x.rego', native('deny contains "x" if true')]]), data: { a: 1 } };

  it('make the compiler unnecessary the second time, and are not trusted when damaged', async () => {
    const first = new RegoCompiler({ cache: folder });
    const bundle = await first.compile(sources);
    await first.close();
    // One that cannot compile anything: it is out of time before it begins.
    const second = new RegoCompiler({ cache: folder, timeLimit: 0 });
    expect(await second.compile(sources)).toEqual(bundle);
    const [wasm] = readdirSync(folder).filter((name) => name.endsWith('.wasm'));
    writeFileSync(join(folder, wasm), 'nonsense');
    await expect(second.compile(sources)).rejects.toMatchObject({ code: 'policy-timeout' });
    await second.close();
  });
});

const sameId = (pkg: string) =>
  `package countersign.${pkg}\n\n# METADATA\n# custom: {id: shop.same}\ndeny contains "x" if true\n`;

describe('faults that would be silent elsewhere', () => {
  it('names a rule of another package that has custom.scope', async () => {
    const error = await refusal(
      'package mistyped.area\n\n# METADATA\n# custom: {scope: object}\ndeny contains "x" if true\n',
    );
    expect(error.message).toContain('custom.scope counts only in a package countersign.<area>');
    expect(error.place).toMatchObject({ file: 'policies/x.rego', line: 3 });
  });

  it('names both rules of one id', async () => {
    const files = new Map([['a.rego', sameId('a')], ['b.rego', sameId('b')]]); // prettier-ignore
    await expect(compiler.compile({ files, data: {} })).rejects.toMatchObject({
      message: expect.stringContaining('the id shop.same is that of the rule at a.rego:5, too') as string,
      place: { file: 'b.rego', line: 5 },
    });
  });

  it('says which version Rego is of, if it is of another', async () => {
    const error = await refusal('package countersign.x\n\ndeny[msg] { msg := "x" }\n');
    expect([error.place?.line, error.remedy]).toEqual([3, expect.stringContaining('This is Rego v0')]);
  });

  it.each([
    [
      'metadata that is no YAML',
      '# METADATA\n# title: [\ndeny contains "x" if true',
      4,
      /METADATA block is not as it should be: did not/,
    ],
    [
      'metadata of another form',
      '# METADATA\n# title: x\n# custom: [1]\ndeny contains "x" if true',
      5,
      /METADATA block is not as it should be: cannot/,
    ],
    ['metadata of nothing', 'deny contains "x" if true\n\n# METADATA\n# title: x', 5, /describes nothing/],
    ['conflicting rules', 'a := 1\n\na contains 2 if true', 3, /conflicting rules/],
  ])('tells the place of %s', async (_, text, line, says) => {
    const { code, place, message, remedy } = await refusal(native(text));
    expect([code, place?.file, place?.line]).toEqual(['rego-invalid', 'policies/x.rego', line]);
    expect(message).toMatch(says);
    expect(remedy).toBeTruthy();
  });

  it.each([
    ['a rule writes', 'countersign:\n  test: {y: 1}\n', 2, 'data.countersign.test.y'],
    ['rules of a package lie', 'other: 1\ncountersign: {test: 7}\n', 2, 'data.countersign.test'],
  ])('refuses data where %s, with both places', async (_, text, line, path) => {
    const files = { 'x.rego': native('deny contains "x" if y == 2\n\ny := 2'), 'data.yaml': text };
    const sources = policySources(new Map(Object.entries(files)), { profile: 'off' });
    for (const work of [() => compiler.compile(sources), () => compiler.check(sources)]) {
      await expect(work()).rejects.toMatchObject({
        code: 'rego-invalid',
        message: expect.stringContaining(`${path} is given by data, and by the rule at x.rego:`) as string,
        place: { file: 'data.yaml', line },
      });
    }
  });
});

describe('linting', () => {
  it('finds what is slow or unstable as Wasm, and what has no metadata, with place and remedy', async () => {
    const text = native(
      'names := {c.name | some c in input.list}\n\nobjects contains {"name": n} if some n in names\n\nlist := [n | some n in names]\n\nsorted := sort([n | some n in names])\n\njoined := concat(",", names)\n\ndeny contains "x" if count(objects) > count(list) + count(sorted) + count(joined)',
    );
    const findings = await compiler.lint({ files: new Map([['x.rego', text]]), data: {} });
    expect(findings.map(({ code, place }) => [code, place.line])).toEqual([
      ['objects-in-set', 5],
      ['unsorted', 7],
      ['unsorted', 11],
      ['metadata', 13],
    ]);
  });
});
