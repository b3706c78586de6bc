import { RegoCompiler } from '../../adapters/opa/compiler.js';
import { RegoEvaluator } from '../../adapters/opa/evaluator.js';
import { CountersignError } from '../../errors.js';
import { type CaseResult, runSuite, suitesAmong } from './suite.js';

const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator({ threads: 1, timeLimit: 10_000 });
afterAll(() => Promise.all([compiler.close(), evaluator.close()]));

const files = new Map<string, string>([
  [
    'rules/template.yaml',
    `apiVersion: templates.gatekeeper.sh/v1beta1
kind: ConstraintTemplate
metadata: {name: onehost}
spec:
  crd:
    spec:
      names: {kind: OneHost}
      validation:
        legacySchema: false
        openAPIV3Schema: {type: object, properties: {suffix: {type: string}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package onehost
        violation[{"msg": msg}] {
          host := input.review.object.spec.host
          not endswith(host, input.parameters.suffix)
          msg := sprintf("%v is not below %v", [host, input.parameters.suffix])
        }
        violation[{"msg": msg}] {
          other := data.inventory.namespace[ns][_]["Host"][name]
          other.spec.host == input.review.object.spec.host
          name != input.review.object.metadata.name
          msg := sprintf("%v has it", [name])
        }
        violation[{"msg": "kept"}] { input.review.operation == "DELETE" }
`,
  ],
  [
    'rules/samples/constraint.yaml',
    'apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: OneHost\nmetadata: {name: a}\nspec: {parameters: {suffix: .example.org}}\n',
  ],
  [
    'rules/samples/broken.yaml',
    'apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: OneHost\nmetadata: {name: a}\nspec: {parameters: {suffix: 5}}\n',
  ],
  ['rules/samples/good.yaml', host('a', 'a.example.org')],
  ['rules/samples/bad.yaml', host('b', 'b.example.com')],
  ['rules/samples/two.yaml', `${host('a', 'a')}---\n${host('b', 'b')}`],
  ['rules/samples/same.yaml', host('c', 'a.example.org')],
  [
    'rules/samples/delete.yaml',
    `apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest:\n  operation: DELETE\n  kind: {group: "", version: v1, kind: Host}\n  oldObject: {apiVersion: v1, kind: Host, metadata: {name: a}, spec: {host: a.example.org}}\n`,
  ],
]);

function host(name: string, of: string): string {
  return `apiVersion: v1\nkind: Host\nmetadata: {name: ${name}, namespace: shop}\nspec: {host: ${of}}\n`;
}

async function run(tests: string, pattern?: RegExp): Promise<CaseResult[]> {
  const text = `apiVersion: test.gatekeeper.sh/v1alpha1\nkind: Suite\nmetadata: {name: s}\n${tests}`;
  const [suite] = suitesAmong([['rules/suite.yaml', text]]);
  return runSuite(suite, {
    compiler,
    evaluator,
    read: (path) => {
      const found = files.get(path);
      if (found === undefined) throw new CountersignError('usage', `there is no file ${path}`);
      return found;
    },
    ...(pattern ? { run: pattern } : {}),
  });
}

const test = (cases: string, constraint = 'samples/constraint.yaml') =>
  `tests:\n- name: hosts\n  template: template.yaml\n  constraint: ${constraint}\n  cases:\n${cases.replace(/^/gm, '  ')}`;

const one = (name: string, inventory: string) =>
  `- {name: ${name}, object: samples/same.yaml, inventory: [${inventory}], assertions: [{violations: 1, message: a has it}]}`;
const invalid = (constraint: string) =>
  `tests: [{name: t, template: template.yaml, constraint: samples/${constraint}.yaml, invalid: true}]`;

/** [case, what is asserted, passes?] */
const cases: readonly [string, string, boolean][] = [
  ['good', '[{violations: no}]', true],
  ['good', '[{violations: yes}]', false],
  ['good', '[{violations: 0}]', true],
  ['bad', '[{violations: yes}]', true],
  ['bad', '[{}]', true],
  ['bad', '[{violations: 1, message: "^b\\\\.example\\\\.com is"}]', true],
  ['bad', '[{violations: 2}]', false],
  ['bad', '[{violations: 1}, {violations: no, message: nothing}]', true],
  ['bad', '[{violations: 1}, {violations: 1, message: nothing}]', false],
  ['bad', '[{message: "("}]', false],
  ['bad', '[{violations: -1}]', false],
  ['bad', '[]', false],
  ['delete', '[{violations: 1, message: kept}]', true],
  ['two', '[{violations: no}]', false],
  ['missing', '[{violations: no}]', false],
];

describe('a suite', () => {
  it('judges each case by all that it asserts', async () => {
    const text = cases.map(
      ([file, assertions], i) => `- {name: c${i}, object: samples/${file}.yaml, assertions: ${assertions}}`,
    );
    const results = await run(test(text.join('\n')));
    expect(results.map(({ outcome }) => outcome === 'passed')).toEqual(cases.map(([, , passes]) => passes));
    const wrong = results.filter(({ outcome }) => outcome === 'failed').map(({ message }) => message);
    expect(wrong).toEqual([
      expect.stringMatching(/got 0 violations .*want at least 1/),
      expect.stringMatching(/got 1 violations .*want 2/),
      expect.stringMatching(/that match "nothing"/),
      expect.stringMatching(/no regular expression/),
      expect.stringMatching(/yes, no or a count/),
      expect.stringMatching(/asserts nothing/),
      expect.stringMatching(/holds 2 objects/),
      expect.stringMatching(/no file rules\/samples\/missing\.yaml/),
    ]);
    expect(results[0]).toMatchObject({ suite: 'rules/suite.yaml', test: 'hosts', case: 'c0', place: { line: 9 } });
  });

  it('gives the case the objects of its inventory', async () => {
    const results = await run(test([one('taken', 'samples/good.yaml'), one('free', 'samples/bad.yaml')].join('\n')));
    expect(results.map(({ outcome }) => outcome)).toEqual(['passed', 'failed']);
  });

  it('passes a test of an invalid constraint only if the schema refuses it', async () => {
    expect(await run(invalid('broken'))).toMatchObject([{ outcome: 'passed' }]);
    expect(await run(invalid('constraint'))).toMatchObject([{ outcome: 'failed' }]);
    expect(
      await run(test('- {name: c, object: samples/good.yaml, assertions: [{violations: no}]}', 'samples/broken.yaml')),
    ).toMatchObject([
      { outcome: 'failed', message: expect.stringMatching(/samples\/broken\.yaml:4 .*suffix: it must be text/) },
    ]);
  });

  it('skips what it is told to skip, or what was not asked for', async () => {
    const two =
      '- {name: a, skip: true, object: samples/good.yaml}\n- {name: b, object: samples/good.yaml, assertions: [{violations: no}]}';
    expect((await run(test(two))).map(({ outcome }) => outcome)).toEqual(['skipped', 'passed']);
    expect((await run(`skip: true\n${test(two)}`)).map(({ outcome }) => outcome)).toEqual(['skipped', 'skipped']);
    expect((await run(test(two), /hosts a/)).map(({ outcome }) => outcome)).toEqual(['skipped', 'skipped']);
    expect((await run(test(two), /hosts b/)).map(({ outcome }) => outcome)).toEqual(['skipped', 'passed']);
  });

  it('that has no tests has failed', async () => {
    expect(await run('')).toMatchObject([{ outcome: 'failed' }]);
  });
});
