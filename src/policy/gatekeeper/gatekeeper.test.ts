import { RegoCompiler } from '../../adapters/opa/compiler.js';
import { RegoEvaluator } from '../../adapters/opa/evaluator.js';
import { SdkEvaluator } from '../../adapters/opa/sdk-evaluator.js';
import { canonicalJson } from '../../cluster/canonical.js';
import type { Json, KubernetesObject } from '../../cluster/object.js';
import { CountersignError } from '../../errors.js';
import type { PolicyBundle } from '../bundle.js';
import { readResult } from '../rules.js';
import { policySources } from '../sources.js';
import { inventoryOf, readGatekeeper } from './gatekeeper.js';

const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator({ timeLimit: 10_000 });
afterAll(() => Promise.all([compiler.close(), evaluator.close()]));

/** A template whose rule is given, its Rego beginning at line 15 of the file. */
const template = (
  kind: string,
  rego: string,
  parameters = '{type: object, x-kubernetes-preserve-unknown-fields: true}',
) =>
  `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata:
  name: ${kind.toLowerCase()}
spec:
  crd:
    spec:
      names:
        kind: ${kind}
      validation:
        openAPIV3Schema: ${parameters}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package ${kind.toLowerCase()}

${rego.replace(/^(?=.)/gm, '        ')}
`;

const OWNER = template(
  'NeedsOwner',
  `violation[{"msg": msg, "details": {"wanted": key}}] {
  key := input.parameters.label
  not input.review.object.metadata.labels[key]
  msg := sprintf("%v has no label %v", [input.review.object.metadata.name, key])
}`,
  '{type: object, required: [label], properties: {label: {type: string, pattern: "^[a-z]+$"}, level: {type: integer, default: 3}}}',
);

const constraint = (name: string, spec = '{}', kind = 'NeedsOwner') =>
  `apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${spec}\n`;

const object = (kind: string, name: string, more: { namespace?: string; labels?: Json; spec?: Json } = {}) => {
  const { namespace, labels, spec } = more;
  const apiVersion = kind === 'Deployment' ? 'apps/v1' : kind === 'Job' ? 'batch/v1' : 'v1';
  const metadata = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels }),
  };
  return { apiVersion, kind, metadata, ...(spec === undefined ? {} : { spec }) } as KubernetesObject;
};

const scoped = (point: string) =>
  `{enforcementAction: scoped, scopedEnforcementActions: [{action: warn, enforcementPoints: [{name: ${point}}]}]}`;

const written = (kind: string, word: string) => `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: ${kind.toLowerCase()}}
spec:
  crd: {spec: {names: {kind: ${kind}}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      code:
        - engine: K8sNativeValidation
          source: {}
        - engine: Rego
          source:
            version: v1
            rego: |
              package a
              import data.lib.words
              violation contains {"msg": msg} if { some msg in words.said; data.lib.words.yes }
            libs:
              - |
                package lib.words
                said := ["${word}"]
                yes if true
`;

const service = (name: string, host: string) => object('Service', name, { namespace: 'shop', spec: { host } });

const expansion = (
  name: string,
  kind: string,
  group: string,
  more: string,
  generated = '{group: "", version: v1, kind: Pod}',
) =>
  `apiVersion: expansion.gatekeeper.sh/v1beta1
kind: ExpansionTemplate
metadata: {name: ${name}}
spec:
  applyTo: [{groups: [${group}], versions: [v1], kinds: [${kind}]}]
  templateSource: spec.template
  generatedGVK: ${generated}
${more}`;

const workload = (kind: string, privilege: boolean) =>
  object(kind, 'web', { namespace: 'shop', spec: { template: { metadata: {}, spec: { privileged: privilege } } } });

const compile = async (files: Record<string, string>): Promise<PolicyBundle> =>
  compiler.compile(policySources(new Map(Object.entries(files)), { profile: 'off' }));

interface Said {
  readonly rule: string;
  readonly kind: string;
  readonly msg: string;
  readonly details: Record<string, unknown>;
}

const inAnyOrder = (results: readonly unknown[]): string[] =>
  results.map((one) => canonicalJson(JSON.parse(JSON.stringify(one)) as Json)).toSorted();

async function judge(
  bundle: PolicyBundle,
  changes: readonly (
    KubernetesObject | { op: string; before: KubernetesObject | null; after: KubernetesObject | null }
  )[],
  inventory: readonly KubernetesObject[] = [],
): Promise<Said[]> {
  const input = {
    time: '2026-03-02T09:05:00Z',
    changes: changes.map((one) => ('op' in one ? one : { op: 'create', before: null, after: one })),
    ...(bundle.inventory ? { inventory: inventoryOf(inventory, bundle.inventory) } : {}),
  };
  const text = canonicalJson(input);
  const results = await evaluator.evaluate(bundle, text);
  // Open Policy Agent's own SDK says the same of the same Wasm.
  expect(inAnyOrder(await new SdkEvaluator().evaluate(bundle, text))).toEqual(inAnyOrder(results));
  return results.map((result) => {
    const rule = bundle.rules.find(({ place }) => place.file === result.file && place.line === result.row)!;
    const { msg, details } = readResult(result);
    return { rule: rule.id, kind: rule.kind, msg, details: details };
  });
}

describe('constraints', () => {
  it('say of each object what their template says, with their name and the place of the Rego', async () => {
    const bundle = await compile({ 'p/t.yaml': OWNER, 'p/c.yaml': constraint('team', '{parameters: {label: team}}') });
    expect(await judge(bundle, [object('Pod', 'a'), object('Pod', 'b', { labels: { team: 'x' } })])).toEqual([
      {
        rule: 'NeedsOwner/team',
        kind: 'deny',
        msg: 'a has no label team',
        details: { details: { wanted: 'team' }, template: { file: 'p/t.yaml', line: 17 } },
      },
    ]);
    expect(bundle.rules).toMatchObject([
      { id: 'NeedsOwner/team', place: { file: 'p/c.yaml', line: 1 }, scope: 'object' },
    ]);
  });

  it('get the defaults of their schema, and objects as a request would show them', async () => {
    const rego = `violation[{"msg": msg}] {
  msg := sprintf("%v %v %v", [input.parameters.level, input.review.operation, input.review.kind.group])
}`;
    const bundle = await compile({
      'p/t.yaml': template('Says', rego, '{type: object, properties: {level: {type: integer, default: 3}}}'),
      'p/c.yaml': constraint('a', '{}', 'Says'),
    });
    const [before, after] = [object('Deployment', 'a'), object('Deployment', 'a', { labels: { a: 'b' } })];
    const msgs = (await judge(bundle, [{ op: 'update', before, after }])).map(({ msg }) => msg);
    expect(msgs).toEqual(['3 UPDATE apps']);
  });

  it('are not asked about deletes, unless their template looks for them', async () => {
    const bundle = await compile({
      'p/t.yaml': template('Any', 'violation[{"msg": "no"}] { true }'),
      'p/u.yaml': template('Kept', 'violation[{"msg": "kept"}] { input.review.operation == "DELETE" }'),
      'p/c.yaml': [constraint('any', '{}', 'Any'), constraint('kept', '{}', 'Kept')].join('---\n'),
    });
    const gone = { op: 'delete', before: object('Pod', 'a'), after: null };
    expect((await judge(bundle, [gone])).map(({ rule }) => rule)).toEqual(['Kept/kept']);
  });

  it('deny, warn or only tell, as their enforcement action says', async () => {
    const actions = ['deny', 'warn', 'dryrun'];
    const bundle = await compile({
      'p/t.yaml': template('Any', 'violation[{"msg": "no"}] { true }'),
      'p/c.yaml': [
        ...actions.map((action) => constraint(action, `{enforcementAction: ${action}}`, 'Any')),
        constraint('here', scoped('validation.gatekeeper.sh'), 'Any'),
        constraint('audit', scoped('audit.gatekeeper.sh'), 'Any'),
        constraint('elsewhere', scoped('vap.k8s.io'), 'Any'),
      ].join('---\n'),
    });
    const said = await judge(bundle, [object('Pod', 'a')]);
    expect(said.map(({ rule, kind, details }) => [rule, kind, details['enforcementAction']])).toEqual([
      ['Any/audit', 'warn', 'dryrun'],
      ['Any/deny', 'deny', undefined],
      ['Any/dryrun', 'warn', 'dryrun'],
      ['Any/here', 'warn', undefined],
      ['Any/warn', 'warn', undefined],
    ]);
  });

  it('cannot be judged by a result without a message: it is no pass', async () => {
    const bundle = await compile({
      'p/t.yaml': template('Odd', 'violation[{"message": "no"}] { true }'),
      'p/c.yaml': constraint('odd', '{}', 'Odd'),
    });
    await expect(judge(bundle, [object('Pod', 'a')])).rejects.toThrow(/an object whose msg is null/);
  });

  it('may be written in Rego v1, with libs that other templates have, too', async () => {
    const bundle = await compile({
      'p/t.yaml': [written('One', 'one'), written('Two', 'two')].join('---\n'),
      'p/c.yaml': [constraint('a', '{}', 'One'), constraint('b', '{}', 'Two')].join('---\n'),
    });
    expect((await judge(bundle, [object('Pod', 'a')])).map(({ msg }) => msg)).toEqual(['one', 'two']);
  });
});

describe('match', () => {
  const pod = (name: string, namespace = 'shop', labels?: Json) => object('Pod', name, { namespace, labels });
  const things = [
    pod('a-pod'),
    pod('system', 'kube-system', { app: 'x' }),
    object('Deployment', 'web', { namespace: 'shop', labels: { app: 'web', tier: '' } }),
    object('Namespace', 'shop', { labels: { team: 'a' } }),
    object('Namespace', 'kube-system'),
    object('PersistentVolume', 'disk'),
  ];
  const named = things.map(({ metadata }, i) =>
    things[i].kind === 'Namespace' ? `ns/${metadata.name}` : metadata.name,
  );
  const all = named;
  const cases: readonly [string, readonly string[]][] = [
    ['{}', all],
    ['{kinds: [{apiGroups: [""], kinds: [Pod]}]}', ['a-pod', 'system']],
    ['{kinds: [{apiGroups: ["*"], kinds: [Deployment, Namespace]}]}', ['web', 'ns/shop', 'ns/kube-system']],
    ['{kinds: [{apiGroups: [apps]}]}', ['web']],
    ['{kinds: [{kinds: [Pod]}, {apiGroups: [apps], kinds: ["*"]}]}', ['a-pod', 'system', 'web']],
    ['{kinds: [{apiGroups: [apps], kinds: [Pod]}]}', []],
    ['{namespaces: [shop]}', ['a-pod', 'web', 'ns/shop', 'disk']],
    ['{namespaces: [kube-*]}', ['system', 'ns/kube-system', 'disk']],
    ['{namespaces: ["*-system"]}', ['system', 'ns/kube-system', 'disk']],
    ['{namespaces: ["*be-sy*"]}', ['system', 'ns/kube-system', 'disk']],
    ['{excludedNamespaces: [kube-*]}', ['a-pod', 'web', 'ns/shop', 'disk']],
    ['{scope: Namespaced}', ['a-pod', 'system', 'web']],
    ['{scope: Cluster}', ['ns/shop', 'ns/kube-system', 'disk']],
    ['{scope: "*"}', all],
    ['{name: "a-*"}', ['a-pod']],
    ['{name: web}', ['web']],
    ['{source: Generated}', []],
    ['{source: Original}', all],
    ['{labelSelector: {matchLabels: {app: x}}}', ['system']],
    ['{labelSelector: {matchExpressions: [{key: app, operator: In, values: [x, web]}]}}', ['system', 'web']],
    [
      '{labelSelector: {matchExpressions: [{key: app, operator: NotIn, values: [x]}]}}',
      all.filter((name) => name !== 'system'),
    ],
    ['{labelSelector: {matchExpressions: [{key: tier, operator: Exists}]}}', ['web']],
    [
      '{labelSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}}',
      ['a-pod', 'ns/shop', 'ns/kube-system', 'disk'],
    ],
    ['{namespaceSelector: {matchLabels: {team: a}}}', ['a-pod', 'web', 'ns/shop', 'disk']],
    [
      '{namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}',
      ['system', 'ns/kube-system', 'disk'],
    ],
    ['{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}', ['a-pod', 'web', 'disk']],
  ];
  let found: Map<string, string[]>;
  beforeAll(async () => {
    const rego = 'violation[{"msg": msg}] { msg := input.review.object.metadata.name; input.review.object.kind != "Namespace" }\nviolation[{"msg": msg}] { input.review.object.kind == "Namespace"; msg := concat("/", ["ns", input.review.object.metadata.name]) }'; // prettier-ignore
    const constraints = cases.map(([match], i) => constraint(`c${i}`, `{match: ${match}}`, 'Tells'));
    const bundle = await compile({ 'p/t.yaml': template('Tells', rego), 'p/c.yaml': constraints.join('---\n') });
    found = new Map(cases.map((_, i) => [`Tells/c${i}`, []]));
    for (const { rule, msg } of await judge(bundle, things, things)) found.get(rule)!.push(msg);
  });

  it.each(cases.map(([match, expected], i) => [match, expected, i] as const))('%s', (_match, expected, i) => {
    expect(found.get(`Tells/c${i}`)).toEqual(expected);
  });

  it('says that it cannot tell where it selects by labels of a namespace that nobody described', async () => {
    const bundle = await compile({
      'p/t.yaml': template('Fine', 'violation[{"msg": "no"}] { false }'),
      'p/c.yaml': constraint('labelled', '{match: {namespaceSelector: {matchLabels: {team: a}}}}', 'Fine'),
    });
    const said = await judge(bundle, [pod('a', 'elsewhere'), object('PersistentVolume', 'disk')]);
    expect(said).toMatchObject([{ rule: 'Fine/labelled', kind: 'deny', msg: expect.stringMatching(/cannot be told/) }]);
  });
});

describe('inventory', () => {
  it('shows templates the other objects of the environment', async () => {
    const rego = `violation[{"msg": msg}] {
  other := data.inventory.namespace[ns][_]["Service"][name]
  other.spec.host == input.review.object.spec.host
  not same(name, ns)
  msg := sprintf("%v is taken by %v/%v", [other.spec.host, ns, name])
}

same(name, ns) {
  name == input.review.object.metadata.name
  ns == input.review.object.metadata.namespace
}`;
    const bundle = await compile({ 'p/t.yaml': template('Unique', rego), 'p/c.yaml': constraint('u', '{}', 'Unique') });
    expect(bundle.inventory).toBe('all');
    const services = [service('a', 'x'), service('b', 'x'), service('c', 'y')];
    const msgs = async (inventory: readonly KubernetesObject[]) =>
      (await judge(bundle, [services[0]], inventory)).map(({ msg }) => msg);
    expect(await msgs(services)).toEqual(['x is taken by shop/b']);
    // Nothing of the one evaluation is left for the next.
    expect(await msgs([])).toEqual([]);
  });
});

describe('expansion', () => {
  const privileged = template(
    'Plain',
    'violation[{"msg": msg}] { input.review.object.spec.privileged; msg := sprintf("%v/%v of %v", [input.review.object.metadata.namespace, input.review.object.metadata.name, input.review.object.metadata.ownerReferences[0].kind]) }',
  );
  const pods = '{match: {kinds: [{apiGroups: [""], kinds: [Pod]}]}}';

  it('judges what a workload gives rise to, in the name of the constraint', async () => {
    const bundle = await compile({
      'p/t.yaml': privileged,
      'p/c.yaml': constraint('plain', pods, 'Plain'),
      'p/e.yaml': expansion('deployments', 'Deployment', 'apps', ''),
    });
    expect(await judge(bundle, [workload('Deployment', false), workload('Job', true)])).toEqual([]);
    expect(await judge(bundle, [workload('Deployment', true)])).toMatchObject([
      { rule: 'Plain/plain', kind: 'deny', msg: '[Implied by deployments] shop/web-pod of Deployment' },
    ]);
  });

  it('goes on with what was generated, and may have an enforcement action of its own', async () => {
    const bundle = await compile({
      'p/t.yaml': privileged,
      'p/c.yaml': constraint('plain', pods, 'Plain'),
      'p/e.yaml': [
        expansion('pods', 'Job', 'batch', ''),
        expansion('jobs', 'CronJob', 'batch', '  enforcementAction: warn\n', '{group: batch, version: v1, kind: Job}'),
        expansion('soft', 'Deployment', 'apps', '  enforcementAction: warn\n'),
      ].join('\n---\n'),
    });
    const cron = { ...object('CronJob', 'nightly', { namespace: 'shop' }), apiVersion: 'batch/v1' };
    const inner = { spec: { template: { spec: { privileged: true } } } };
    const said = await judge(bundle, [{ ...cron, spec: { template: inner } }, workload('Deployment', true)]);
    expect(said.map(({ rule, kind, msg, details }) => [rule, kind, msg, details['constraint']])).toEqual([
      ['Plain/plain', 'deny', '[Implied by pods] shop/nightly-job-pod of Job', undefined],
      ['ExpansionTemplate/soft', 'warn', '[Implied by soft] shop/web-pod of Deployment', 'Plain/plain'],
    ]);
  });

  it('denies what it cannot expand', async () => {
    const bundle = await compile({ 'p/e.yaml': expansion('deployments', 'Deployment', 'apps', '') });
    const said = await judge(bundle, [object('Deployment', 'web', { spec: {} })]);
    expect(said).toMatchObject([
      { rule: 'ExpansionTemplate/deployments', kind: 'deny', msg: expect.stringMatching(/spec\.template/) },
    ]);
  });

  it('refuses templates that feed each other', async () => {
    const files = {
      'p/e.yaml': [
        expansion('a', 'A', 'x', '', '{group: x, version: v1, kind: B}'),
        expansion('b', 'B', 'x', '', '{group: x, version: v1, kind: A}'),
      ].join('\n---\n'),
    };
    await expect(compile(files)).rejects.toThrow('a, b feed each other');
  });
});

describe('bad input', () => {
  const ANY = template('Any', 'violation[{"msg": "no"}] { true }');
  const refused: readonly [string, Record<string, string>, string, number, RegExp][] = [
    [
      'a constraint whose template is missing',
      { 'p/c.yaml': constraint('a') },
      'p/c.yaml',
      2,
      /no template of NeedsOwner/,
    ],
    [
      'parameters that break the schema',
      { 'p/t.yaml': OWNER, 'p/c.yaml': `${constraint('a', '')}  parameters:\n    label: X\n    level: high\n` },
      'p/c.yaml',
      6,
      /parameters\.label: it does not match \^\[a-z\]\+\$ \(also: p\/c\.yaml:7 parameters\.level: it must be an integer\)/,
    ],
    [
      'parameters that are missing',
      { 'p/t.yaml': OWNER, 'p/c.yaml': constraint('a') },
      'p/c.yaml',
      4,
      /label is missing/,
    ],
    [
      'a parameter that the schema does not have',
      { 'p/t.yaml': OWNER, 'p/c.yaml': constraint('a', '{parameters: {label: a, lable: b}}') },
      'p/c.yaml',
      4,
      /parameters\.lable: there is no such parameter \(there are label, level\)/,
    ],
    [
      'a template that does not compile',
      {
        'p/t.yaml': template('Broken', 'violation[{"msg": msg}] {\n  msg := unknown\n}'),
        'p/c.yaml': constraint('a', '{}', 'Broken'),
      },
      'p/t.yaml',
      18,
      /unknown is unsafe/,
    ],
    [
      'a template that is no Rego of its version',
      { 'p/t.yaml': template('Broken', 'violation contains {"msg": "x"} if true') },
      'p/t.yaml',
      17,
      /./,
    ],
    [
      'a template without violation',
      { 'p/t.yaml': template('Nothing', 'deny[{"msg": "x"}] { true }') },
      'p/t.yaml',
      15,
      /no rule violation/,
    ],
    [
      'a template that reaches out',
      { 'p/t.yaml': template('Out', 'violation[{"msg": "x"}] { http.send({"url": "x"}) }') },
      'p/t.yaml',
      17,
      /http\.send is refused/,
    ],
    [
      'a template that asks a provider',
      { 'p/t.yaml': template('Out', 'violation[{"msg": "x"}] { external_data({"provider": "x"}) }') },
      'p/t.yaml',
      17,
      /external_data/,
    ],
    [
      'a template that reads data of others',
      { 'p/t.yaml': template('Out', 'violation[{"msg": "x"}] { data.settings.a }') },
      'p/t.yaml',
      17,
      /out of a template's reach/,
    ],
    [
      'two templates of one kind',
      { 'p/t.yaml': ANY, 'p/u.yaml': ANY },
      'p/u.yaml',
      1,
      /written twice, here and at p\/t\.yaml:1/,
    ],
    [
      'two constraints of one name',
      { 'p/t.yaml': ANY, 'p/c.yaml': [constraint('a', '{}', 'Any'), constraint('a', '{}', 'Any')].join('---\n') },
      'p/c.yaml',
      6,
      /written twice/,
    ],
    [
      'a rule in Rego that is called like a constraint',
      {
        'p/t.yaml': ANY,
        'p/c.yaml': constraint('a', '{}', 'Any'),
        'p/x.rego': 'package main\n\n# METADATA\n# custom: {id: Any/a}\ndeny contains "x" if input.kind\n',
      },
      'p/x.rego',
      5,
      /the id Any\/a is that of the constraint at p\/c\.yaml, too/,
    ],
    [
      'a match field that is not known',
      { 'p/t.yaml': ANY, 'p/c.yaml': constraint('a', '\n  match:\n    namespace: [a]', 'Any') },
      'p/c.yaml',
      6,
      /spec\.match has no field namespace \(did you mean "namespaces"\?\)/,
    ],
    [
      'an enforcement action that is not known',
      { 'p/t.yaml': ANY, 'p/c.yaml': constraint('a', '{enforcementAction: refuse}', 'Any') },
      'p/c.yaml',
      4,
      /"refuse" is none of deny, warn, dryrun/,
    ],
    [
      'a template for another engine',
      { 'p/t.yaml': ANY.replace(/rego: \|[^]*$/, 'code: [{engine: K8sNativeValidation, source: {}}]\n') },
      'p/t.yaml',
      14,
      /"K8sNativeValidation", and only Rego/,
    ],
    [
      'a template whose name is not its kind',
      { 'p/t.yaml': ANY.replace('name: any', 'name: other') },
      'p/t.yaml',
      4,
      /must be called any/,
    ],
    ['malformed YAML', { 'p/t.yaml': `${ANY}\n  - a: [\n` }, 'p/t.yaml', 19, /malformed YAML/],
  ];
  it.each(refused)('refuses %s, with its place', async (_what, files, file, line, message) => {
    const error: unknown = await compile(files).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CountersignError);
    const { place, message: said, remedy } = error as CountersignError;
    expect(said).toMatch(message);
    expect(place).toMatchObject({ file, line });
    expect(remedy).toBeTruthy();
  });
});

const read = (text: string) => readGatekeeper(new Map([['policies/sync.yaml', text]]));

describe('what is synced', () => {
  it('is what Config and SyncSets name together, and namespaces that Config exempts are no constraint’s', () => {
    const sources = read(`apiVersion: syncset.gatekeeper.sh/v1alpha1
kind: SyncSet
metadata: {name: a}
spec: {gvks: [{group: "", version: v1, kind: Namespace}, {group: apps, version: v1, kind: Deployment}]}
---
apiVersion: config.gatekeeper.sh/v1alpha1
kind: Config
metadata: {name: config, namespace: gatekeeper-system}
spec:
  sync: {syncOnly: [{group: "", version: v1, kind: Namespace}]}
  match:
    - {processes: ["*"], excludedNamespaces: ["kube-*"]}
    - {processes: [sync], excludedNamespaces: [big]}
    - {processes: [audit], excludedNamespaces: [seen]}
  validation: {traces: []}
---
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: "no"}
spec:
  crd: {spec: {names: {kind: "No"}}}
  targets: [{target: admission.k8s.gatekeeper.sh, rego: "package no\\n\\nviolation[{\\"msg\\": \\"no\\"}] { true }"}]
---
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: "No"
metadata: {name: all}
spec: {match: {excludedNamespaces: [own]}}
`);
    expect(sources?.sync).toEqual({
      kinds: [
        { group: '', version: 'v1', kind: 'Namespace' },
        { group: 'apps', version: 'v1', kind: 'Deployment' },
      ],
      excludedNamespaces: ['big', 'kube-*'],
    });
    expect(sources?.inventory).toBe('all');
    expect(sources?.glue).toContain('gk_in_some(["own","kube-*"], namespace)');
  });

  it('is refused with its place where it names no kind, or a process that there is not', () => {
    const wrong = `apiVersion: config.gatekeeper.sh/v1alpha1
kind: Config
metadata: {name: config}
spec:
  sync: {syncOnly: [{group: apps, kind: Deployment}]}
  match: [{processes: [webhooks], excludedNamespaces: [a]}]
`;
    expect(() => read(wrong)).toThrow(/needs a version and a kind.*sync\.yaml:6 there is no process webhooks/);
    expect(() => read('apiVersion: syncset.gatekeeper.sh/v1\nkind: SyncSet\nmetadata: {name: a}\n')).toThrow(
      /syncset\.gatekeeper\.sh has no SyncSet of v1/,
    );
  });
});
