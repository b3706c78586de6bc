import { policySources } from '../../policy/sources.js';
import { describedRule } from '../../report/described-rule.js';
import { RegoCompiler } from './compiler.js';

const compiler = new RegoCompiler();
afterAll(() => compiler.close());

const describeRule = async (body: string, more: Record<string, string> = {}) => {
  const files = new Map(Object.entries({ ...more, 'x.rego': `package countersign.x\n\n${body}\n` }));
  const [rule] = await compiler.describe({ files, data: {} });
  return rule;
};

describe('what a rule reads and calls', () => {
  it('is followed through variables, comprehensions, functions and rules of other packages', async () => {
    const rule = await describeRule(
      `import data.lib.pods

deny contains msg if {
	some change in input.changes
	some container in pods.containers(change.after)
	startswith(container.image, data.registries[_])
	not exempt[change.object.name]
	msg := sprintf("%s", [object.get(change, ["object", "namespace"], "")])
}

exempt contains name if name := input.environment.labels.exempt`,
      {
        'lib.rego':
          'package lib.pods\n\ncontainers(object) := array.concat(specs(object).containers, specs(object).initContainers)\n\nspecs(object) := object.spec.template.spec\n',
      },
    );
    expect(rule.input).toEqual([
      'input.changes[_].after.spec.template.spec.containers[_].image',
      'input.changes[_].after.spec.template.spec.initContainers[_].image',
      'input.changes[_].object.name',
      'input.changes[_].object.namespace',
      'input.environment.labels.exempt',
    ]);
    expect(rule.data).toEqual(['data.registries[_]']);
    expect(rule.builtins).toEqual(['array.concat', 'object.get', 'sprintf', 'startswith']);
    expect(rule.uses).toEqual(['countersign.x.exempt', 'lib.pods.containers', 'lib.pods.specs']);
  });

  it('leaves out what is read of another input, and ends where a path is computed', async () => {
    const rule = await describeRule(
      'deny contains "x" if {\n\tinput.commits[0][input.reason].name == "a"\n\tother with input as {"mine": input.head}\n}\n\nother if input.mine',
    );
    expect(rule.input).toEqual(['input.commits[_][_].name', 'input.head', 'input.reason']);
  });

  it('tells whose clause it is, by file and line', async () => {
    const rules = await compiler.describe({
      files: new Map([
        ['p/x.rego', 'package main\n\ndeny contains "a" if input.kind\n\ndeny contains "b" if input.spec.x\n'],
      ]),
      data: {},
    });
    expect(rules.map(({ place, input }) => [place.file, place.line, input])).toEqual([
      ['p/x.rego', 3, ['input.kind']],
      ['p/x.rego', 5, ['input.spec.x']],
    ]);
  });

  it('is nothing of a constraint, which is named with its template', async () => {
    const template = {
      apiVersion: 'templates.gatekeeper.sh/v1',
      kind: 'ConstraintTemplate',
      metadata: { name: 'k8sno' },
      spec: {
        crd: { spec: { names: { kind: 'K8sNo' } } },
        targets: [{ target: 'admission.k8s.gatekeeper.sh', rego: 'package k8sno\nviolation[{"msg": "no"}] { true }' }],
      },
    };
    const constraint = { apiVersion: 'constraints.gatekeeper.sh/v1beta1', kind: 'K8sNo', metadata: { name: 'never' } };
    const text = [template, constraint].map((one) => JSON.stringify(one)).join('\n---\n');
    const [rule] = await compiler.describe(policySources(new Map([['p/no.yaml', text]]), { profile: 'off' }));
    expect(rule).toMatchObject({ id: 'K8sNo/never', place: { file: 'p/no.yaml', line: 3 }, input: [], uses: [] });
    const about = { ...rule, places: ['p/no.yaml:3'], profile: null, bad: null, good: null, exceptions: [] };
    expect(describedRule(about)).toMatch(/a constraint of Gatekeeper\n.*\n.*the template K8sNo, once for each object/);
  });
});
