import { RegoCompiler } from './compiler.js';

const compiler = new RegoCompiler();
afterAll(() => compiler.close());

const object = '# METADATA\n# title: x\n# custom: {id: x, scope: object}\n';
const sources = (files: Record<string, string>) => ({ files: new Map(Object.entries(files)), data: {}, strict: true });
const findings = async (files: Record<string, string>) =>
  (await compiler.lint(sources(files)))
    .filter(({ code }) => code === 'input_schema')
    .map(({ place, message, remedy }) => `${place.file}:${place.line} ${message}. ${remedy}`);

/** Each a rule of its own, so that one answer tells of all. */
const wrong: readonly [rule: string, said: RegExp][] = [
  ['input.comits', /input\.comits does not exist\. Did you mean input\.commits\?/],
  ['input.changes[0].objekt.kind == "X"', /input\.changes\[_\]\.objekt does not exist\. Did you mean input\.changes\[_\]\.object\?/],
  ['{ some c in input.changes; c.object.nam == "x" }', /input\.changes\[_\]\.object\.nam does not exist/],
  ['{ c := input.changes[_]; o := c.object; o.knd }', /input\.changes\[_\]\.object\.knd does not exist/],
  ['input["changes"][0]["opp"]', /input\.changes\[_\]\.opp does not exist/],
  ['{ every c in input.commits { c.signature.principle == "a" } }', /signature\.principle does not exist\. Did you mean .*principal\?/],
  ['object.get(input, ["environment", "label"], {}) == {}', /input\.environment\.label does not exist\. Did you mean input\.environment\.labels\?/],
  ['input.head.id == "x"', /input\.head has no members, and input\.head\.id is read/],
  ['input.operation == "deploy"', /input\.operation is never "deploy"\. It is one of adoption, break_glass/],
  ['input.changes[_].op != "deleted"', /op is never "deleted"\. Did you mean "delete"\?/],
  ['count([1 | input.commits[_].sig]) > 0', /input\.commits\[_\]\.sig does not exist\. input\.commits\[_\] has author, committer/],
  ['startswith(input.push, "x")', /invalid argument/],
  ['input.commits[0].signature.mergetags[_].signature.kind == "rsa"', /signature\.kind is never "rsa"/],
  ['not input.aprovals', /input\.aprovals does not exist/],
  ['input.review.object.kind == "Pod"', /input\.review does not exist\. input has apiVersion/],
]; // prettier-ignore

const right: readonly string[] = [
  'input.base == null',
  'not input.base',
  'input.changes[_].after.spec.template.spec.containers[_].image == "x"',
  'input.changes[_].before == null',
  'input.environment.labels.tier == "production"',
  'input.groups["a/b"][_] == "x"',
  'input.commits[_].trailers.Ticket[_] == "x"',
  'input.commits[0].signature.mergetags[_].signature.mergetags[_].object == "x"',
  'input.push.pusher == "x"',
  'object.get(input, "reason", "") == ""',
  '{ some key; input[key] == 1 }',
  '{ walk(input, [_, v]); v == 1 }',
  'input.inventory.namespace.shop',
  '{ some i; input.changes[i].live.object.spec.x }',
  'x_of(input.changes[0].after) == "x"',
];

describe('strict mode', () => {
  it('finds what the input does not have, with its line and what to write', async () => {
    const text = wrong.map(([body]) => `deny contains "x" if ${body}\n`).join('');
    const found = await findings({ 'policies/x.rego': `package countersign.x\n${text}` });
    expect(found).toHaveLength(wrong.length);
    for (const [i, [, said]] of wrong.entries()) {
      expect(found[i]).toMatch(said);
      expect(found[i]).toContain(`policies/x.rego:${i + 2} `);
    }
  });

  it('has nothing against what the input has, and what nobody can know', async () => {
    const text = right.map((body) => `deny contains "x" if ${body}\n`).join('');
    const helpers = 'x_of(object) := object.metadata.name\n';
    expect(await findings({ 'policies/x.rego': `package countersign.x\n${text}\n${helpers}` })).toEqual([]);
  });

  it('follows a change into helpers of other packages, and tells the place there', async () => {
    const found = await findings({
      'rule.rego': `package countersign.x\n\nimport data.lib.h\n\n${object}deny contains "x" if {\n\tsome change in input.changes\n\th.bad(change)\n}\n`,
      'lib.rego': 'package lib.h\n\nbad(change) if inner(change.object)\n\ninner(object) if object.name_space == "x"\n',
    });
    expect(found).toEqual([
      'lib.rego:5 input.changes[_].object.name_space does not exist. Did you mean input.changes[_].object.namespace?',
    ]);
  });

  it('knows nothing of the input of Conftest, nor of what both use', async () => {
    const found = await findings({
      'main.rego':
        'package main\n\nimport data.lib.shared\n\ndeny contains "x" if {\n\tinput.kind == "Pod"\n\tshared.named\n}\n',
      'native.rego': `package countersign.x\n\n${object}deny contains "x" if input.changes[0].op == "create"\n`,
      'lib.rego': 'package lib.shared\n\nnamed if input.metadata.name\n',
    });
    expect(found).toEqual([]);
  });

  it('refuses to compile such a policy, and compiles it otherwise', async () => {
    const files = new Map([['p/x.rego', 'package countersign.x\n\ndeny contains "x" if input.comits\n']]);
    await expect(compiler.compile({ files, data: {}, strict: true })).rejects.toMatchObject({
      code: 'rego-invalid',
      place: { file: 'p/x.rego', line: 3 },
      remedy: 'Did you mean input.commits?',
    });
    const lax = await compiler.compile({ files, data: {} });
    expect(lax.rules).toHaveLength(1);
  });

  it('gives the same module as without where there is nothing to refuse', async () => {
    const files = new Map([['p/x.rego', 'package countersign.x\n\ndeny contains "x" if input.commits == []\n']]);
    const [strict, lax] = [await compiler.compile({ files, data: {}, strict: true }), await compiler.compile({ files, data: {} })]; // prettier-ignore
    expect(strict.wasmDigest).toBe(lax.wasmDigest);
    expect(strict.digest).not.toBe(lax.digest);
  });

  // A policy may be written so that following it takes for ever.
  it('ends on recursion of data and on functions that call many', async () => {
    const many = Array.from({ length: 40 }, (_, i) => `f${i}(x) := y if {\n\ty := [f${i + 1}(x.a), f${i + 1}(x.b), f${i + 1}([x])]\n}\n`).join(''); // prettier-ignore
    const found = await findings({ 'x.rego': `package countersign.x\n\ndeny contains "x" if count(f0(input.changes[0].after)) > 0\n\n${many}f40(x) := x\n` }); // prettier-ignore
    expect(found).toEqual([]);
  });
});
