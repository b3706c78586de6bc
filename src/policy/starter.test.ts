import { readFileSync } from 'node:fs';
import { loadPolicy } from '@open-policy-agent/opa-wasm';
import { RegoCompiler } from '../adapters/opa/compiler.js';
import { RegoEvaluator } from '../adapters/opa/evaluator.js';
import { digestOf } from '../cluster/canonical.js';
import type { Json, JsonObject } from '../cluster/object.js';
import type { PolicyBundle } from './bundle.js';
import type { RuleResult } from './evaluator.js';
import { rulesByControl, shippedCatalogues, unknownControls } from '../report/controls.js';
import { controlsPage } from '../report/controls-page.js';
import { listedRules, rulesPage } from '../report/rules-page.js';
import { policySources, readStarterFolder, starterFiles } from './sources.js';

const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator();
afterAll(() => Promise.all([compiler.close(), evaluator.close()]));

describe('the files that a profile leaves out', () => {
  it('hold no rule that would run', async () => {
    const baseline = policySources(new Map(), { profile: 'baseline' });
    const all = { ...baseline, files: starterFiles() };
    expect(baseline.files.size).toBeLessThan(all.files.size);
    expect(await compiler.check(baseline)).toEqual(await compiler.check(all));
  });
});

const NAMES = [
  'lib.examples as e',
  'access.rbac_test as r',
  'access.admission_test as a',
  'supply_chain.images_test as i',
  'supply_chain.sources_test as s',
  'change.protected_test as p',
  'change.people_test as m',
  'workload.secrets_test as t',
  'workload.network_test as n',
]
  .map((name) => `import data.countersign.${name}\n`)
  .join('');

/** Real-looking inputs by the rule that they should make say something, or '' for none. */
/** A deployment, and an attestation of its image. */
function attested(more: string): string {
  const attestation = `object.union({"path": "attestations/cart.intoto.jsonl", "line": 1, "attester": "build",
    "predicateType": "https://slsa.dev/provenance/v1", "subjects": [{"name": "cart", "sha256": split(e.pinned, "@sha256:")[1]}]}, ${more})`;
  return `object.union(e.one(e.create(e.deployment(e.pod))), {"attestations": [${attestation}]})`;
}

const EXAMPLES: readonly (readonly [rule: string, input: string])[] = [
  ['', 'e.one(e.create(e.deployment(e.pod)))'],
  ['', 'e.one(e.update(e.deployment(e.pod), e.deployment(e.pod_with({"hostNetwork": false}))))'],
  ['', 'e.many([e.delete(e.deployment(e.pod)), e.update(e.deployment(e.pod), e.deployment(e.pod))])'],
  ['commits.signed', 'e.with_commits([e.commit, e.commit_with(e.unsigned)])'],
  ['commits.signed', 'e.with_commits([e.commit_with({"signature": {"kind": "ssh", "status": "expired"}})])'],
  [
    'paths.protected',
    'e.with_commits([e.commit_with(object.union(p.touching("policies", "add", "120000"), e.unsigned))])',
  ],
  ['deletion.guard', 'e.many([e.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})])'],
  ['deletion.many', 'e.many([e.delete(e.deployment(e.pod)) | some _ in numbers.range(1, 11)])'],
  ['approvals.required', 'e.many([])'],
  [
    'approvals.owners',
    'object.union(e.many([]), {"owners": [{"pattern": "*", "line": 1, "section": "", "approvals": 1, "owners": ["b@x"], "people": ["b@x"], "files": 1, "paths": ["a"]}]})',
  ],
  ['break-glass.named', 'object.union(e.many([]), {"operation": "break_glass", "reason": "fire"})'],
  ['images.pinned', 'e.one(e.create(i.with_image("registry.example.org/cart:latest")))'],
  ['images.pinned', 'e.one(e.create(e.list([e.cron_job(e.pod_and("ephemeralContainers", {"image": "busybox"}))])))'],
  ['images.registries', 'e.one(e.create(i.with_image(i.pin("registry.example.org.evil.com/cart"))))'],
  [
    'workload.privileged',
    'e.one(e.create(e.rollout(e.pod_and("initContainers", {"securityContext": {"privileged": true}}))))',
  ],
  [
    'workload.host-namespaces',
    'e.one(e.create(e.deployment(e.pod_with({"hostPID": true, "volumes": [{"name": "x", "hostPath": {"path": "/"}}]}))))',
  ],
  [
    'workload.resources',
    'e.one(e.create(e.deployment(e.pod_with({"containers": [{"name": "x", "image": e.pinned}]}))))',
  ],
  ...(
    [
      ['workload.capabilities', '{"capabilities": {"add": ["SYS_TIME"]}}'],
      ['workload.proc-mount', '{"procMount": "Unmasked"}'],
      ['workload.host-process', '{"windowsOptions": {"hostProcess": true}}'],
      ['workload.seccomp', '{"seccompProfile": {"type": "Unconfined"}}'],
      ['workload.apparmor', '{"appArmorProfile": {"type": "Unconfined"}}'],
      ['workload.selinux', '{"seLinuxOptions": {"user": "u"}}'],
      ['workload.privilege-escalation', '{"allowPrivilegeEscalation": true}'],
      ['workload.non-root', '{"runAsNonRoot": false}'],
      ['workload.root-user', '{"runAsUser": 0}'],
      ['workload.drop-capabilities', '{"capabilities": {"drop": []}}'],
    ] as const
  ).map(
    ([rule, context]) =>
      [rule, `e.one(e.create(e.cron_job(e.pod_and("initContainers", {"securityContext": ${context}}))))`] as const,
  ),
  [
    'workload.host-path',
    'e.one(e.create(e.deployment(e.pod_with({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}))))',
  ],
  ['workload.host-ports', 'e.one(e.create(e.deployment(e.pod_and("initContainers", {"ports": [{"hostPort": 80}]}))))'],
  [
    'workload.host-probes',
    'e.one(e.create(e.deployment(e.pod_and("initContainers", {"livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}))))',
  ],
  [
    'workload.sysctls',
    'e.one(e.create(e.deployment(e.pod_with({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}))))',
  ],
  ['workload.volumes', 'e.one(e.create(e.deployment(e.pod_with({"volumes": [{"name": "x", "nfs": {}}]}))))'],
  ['workload.seccomp-set', 'e.one(e.create(e.bare_pod({"containers": [{"name": "x", "image": e.pinned}]})))'],
  [
    'workload.proc-mount-masked',
    'e.one(e.create(e.deployment(object.union(e.pod_and("initContainers", {"securityContext": {"procMount": "Unmasked"}}), {"hostUsers": false}))))',
  ],
  ['rbac.growth', 'e.one(e.update(r.role("ClusterRole", [r.modest]), r.role("ClusterRole", [r.everything])))'],
  ['rbac.cluster-admin', 'e.one(e.create(e.list([r.binding("cluster-admin", [r.account])])))'],
  ['rbac.anonymous', 'e.one(e.create(r.binding("cart-reader", [{"kind": "Group", "name": "system:anonymous"}])))'],
  ...(
    [
      ['workload.probes', 'e.deployment(e.pod_with({"containers": [object.remove(e.container, ["readinessProbe"])]}))'],
      ['workload.replicas', 'object.union(e.deployment(e.pod), {"spec": {"replicas": 1}})'],
      ['workload.spread', 'e.deployment(object.remove(e.pod, ["topologySpreadConstraints"]))'],
      ['workload.disruption-budget', 'e.thing("policy/v1", "PodDisruptionBudget", {"spec": {"maxUnavailable": 0}})'],
      [
        'workload.read-only-root',
        'e.cron_job(e.pod_and("initContainers", {"securityContext": {"readOnlyRootFilesystem": false}}))',
      ],
      [
        'workload.service-account',
        'e.rollout(e.pod_with({"serviceAccountName": "default", "automountServiceAccountToken": true}))',
      ],
      ['workload.system-priority', 'e.deployment(e.pod_with({"priorityClassName": "system-node-critical"}))'],
      ['objects.default-namespace', 'object.union(e.deployment(e.pod), {"metadata": {"namespace": "default"}})'],
      ['objects.system-namespace', 'object.union(e.deployment(e.pod), {"metadata": {"namespace": "kube-system"}})'],
      ['objects.labels', 'e.list([object.union(e.deployment(e.pod), {"metadata": {"labels": {"app": ""}}})])'],
      ['objects.removed-api', 'e.thing("policy/v1beta1", "PodDisruptionBudget", {"spec": {}})'],
      ['workload.bare-pod', 'e.bare_pod(e.pod)'],
      ['storage.class', 'e.thing("v1", "PersistentVolumeClaim", {"spec": {}})'],
      ['secrets.leaked', 'e.thing("v1", "ConfigMap", {"data": {"c": t.tokens[0]}})'],
      ['secrets.environment', 'e.deployment(t.with_env("DB_PASSWORD", "hunter2"))'],
      ['secrets.in-git', 'e.thing("v1", "Secret", {"data": {"a": "b"}})'],
      ['network.exposed', 'n.service({"type": "NodePort"})'],
      ['network.external-ips', 'n.service({"externalIPs": ["203.0.113.7"]})'],
      ['network.ingress-tls', 'n.ingress({"rules": [{"host": "a.example.org"}]})'],
      ['network.ingress-host', 'n.ingress({"rules": [{}], "tls": [{}]})'],
      ['network.policy-open', 'n.policy({"podSelector": {}, "ingress": [{}]})'],
      ['network.policy-missing', 'a.namespace({})'],
      ['namespace.pod-security', 'a.namespace({})'],
      ['images.ephemeral', 'i.with_image("ttl.sh/cart:1h")'],
      ['images.retired', 'i.with_image("k8s.gcr.io/pause:3.2")'],
      ['images.tagged', 'i.with_image("nginx")'],
      ['images.pull-policy', 'i.with_image("nginx:1")'],
      ['sources.transport', 's.flux("HelmRepository", {"url": "http://charts.example.org"})'],
      ['sources.allowed', 's.argo({"repoURL": "https://github.com/a/b"})'],
      ['sources.pinned', 's.argo({"repoURL": "https://git.example.org/a"})'],
      ['rbac.secrets', 'r.role("Role", [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}])'],
      [
        'rbac.sensitive',
        'r.role("Role", [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create"]}])',
      ],
      ['rbac.everybody', 'r.binding("reader", [{"kind": "Group", "name": "system:authenticated"}])'],
      ['rbac.default-account', 'r.binding("reader", [{"kind": "ServiceAccount", "name": "default"}])'],
      ['access.lasting-token', 'e.thing("v1", "Secret", {"type": "kubernetes.io/service-account-token"})'],
    ] as const
  ).map(([rule, manifest]) => [rule, `e.many([e.create(${manifest})])`] as const),
  ['admission.weakened', 'e.one(e.delete(a.policy("Fail")))'],
  [
    'namespace.pod-security-lowered',
    'e.one(e.update(a.namespace(a.level("restricted")), a.namespace(a.level("baseline"))))',
  ],
  ['commits.ticket', 'e.with_commits([e.commit])'],
  ['commits.message', 'e.with_commits([e.commit_with({"message": "WIP"})])'],
  ['commits.revert-reason', 'e.with_commits([e.commit_with({"message": "Revert \\"x\\"\\n"})])'],
  ['operation.reason', 'object.union(e.many([]), {"operation": "rollback"})'],
  ['push.forced', 'object.union(e.many([]), {"push": {"ref": "refs/heads/main", "forced": true}})'],
  ['change.size', 'e.many([e.create(e.deployment(e.pod)) | some _ in numbers.range(1, 13)])'],
  ['checks.passed', 'e.many([])'],
  ['change.freeze', 'object.union(e.many([]), {"time": "2026-12-24T00:00:00Z"})'],
  ['approvals.production', 'e.many([])'],
  ['governance.approved', 'object.union(e.many([]), {"environment": {"name": "governance"}})'],
  ['commits.forge-signed', 'e.with_commits([e.commit_with(m.forge)])'],
  ['commits.committer', 'e.with_commits([e.commit_with({"committer": {"email": "eve@example.org"}})])'],
  ['merges.clean', 'm.made_of([m.feature, m.merge_of([m.base, "feature"], [m.file("a"), m.file("evil")])])'],
  ['files.keys', 'e.with_commits([e.commit_with({"files": [m.file("id_ed25519")]})])'],
  ['settings.readable', 'e.many([])'],
  [
    'provenance.genuine',
    attested('{"status": "rejected", "fault": "unknown-key", "reason": "nobody known signed it"}'),
  ],
  ['provenance.required', 'object.union(e.one(e.create(e.deployment(e.pod))), {"attestations": []})'],
  [
    'provenance.sources',
    attested('{"status": "verified", "sources": [{"uri": "git+https://github.com/somebody/fork"}]}'),
  ],
];

/** With the settings below, these always have something to say of a whole change. */
const ALWAYS = new Set([
  'approvals.required',
  'approvals.production',
  'checks.passed',
  'commits.ticket',
  'settings.readable',
]);

describe('the starter rules', () => {
  const settings = {
    registries: ['registry.example.org'],
    approvals: 1,
    sources: ['https://git.example.org'],
    ticket: 'SHOP-[0-9]+',
    message: '^[a-z]',
    labels: ['app'],
    kubernetes: '1.34',
    max_changes: 12,
    build_sources: ['git+https://github.com/acme'],
    checks: ['tests'],
    freezes: [{ from: '2026-12-20T00:00:00Z', until: '2027-01-04T00:00:00Z' }],
    break_glass: [], // is to be an object
  };
  let bundle: PolicyBundle;
  let inputs: readonly string[];

  beforeAll(async () => {
    bundle = await compiler.compile(policySources(new Map(), { profile: 'strict', data: settings }));
    const list = `package made\n\n${NAMES}\nexamples := [${EXAMPLES.map(([, expression]) => expression).join(',\n')}]\n`;
    const files = new Map([...readStarterFolder(), ['made.rego', list]]);
    const made = (await compiler.evaluate({ files, data: {} }, 'data.made.examples', {}, 0n)) as readonly Json[];
    inputs = made.map((input) => JSON.stringify(input));
  });

  it('pass their own tests', async () => {
    const results = await compiler.test({ files: readStarterFolder(), data: {} });
    expect(results.length).toBeGreaterThan(60);
    expect(results.filter(({ outcome }) => outcome !== 'passed')).toEqual([]);
  });

  it('read nothing that the input does not have', async () => {
    const sources = { ...policySources(new Map(), { profile: 'strict' }), strict: true };
    const found = await compiler.lint(sources);
    expect(found.filter(({ code }) => code === 'input_schema')).toEqual([]);
  });

  it('say of each what they are for, by title, control and severity', () => {
    expect(new Set(bundle.rules.map(({ id }) => id)).size).toBeGreaterThanOrEqual(80);
    for (const rule of bundle.rules) {
      expect(rule).toMatchObject({ starter: true, title: expect.stringMatching(/./) as string });
      expect(rule.controls.length).toBeGreaterThan(0);
      expect(rule.id).not.toContain('countersign.');
    }
  });

  it('name controls that a catalogue has, as the page docs/controls.md shows', () => {
    expect(unknownControls(bundle.rules, shippedCatalogues())).toEqual([]);
    const page = controlsPage(shippedCatalogues(), rulesByControl(bundle.rules, shippedCatalogues()));
    expect(readFileSync(new URL('../../docs/controls.md', import.meta.url), 'utf8')).toBe(page); // else: make docs
  });

  it('say what they should of real-looking inputs', async () => {
    const said = await evaluator.evaluateMany(bundle, inputs);
    const wrong = EXAMPLES.flatMap(([expected, expression], i) => {
      const ids = idsIn(said[i] as readonly RuleResult[]).filter((id) => !ALWAYS.has(id) || expected === id);
      return (expected === '' ? ids.length === 0 : ids.includes(expected)) ? [] : [{ expected, ids, expression }];
    });
    expect(wrong).toEqual([]);
  });

  it('have an input here for each of them', async () => {
    const said = await evaluator.evaluateMany(bundle, inputs);
    const all = new Set(said.flatMap((results) => idsIn(results as readonly RuleResult[])));
    expect(bundle.rules.map(({ id }) => id).filter((id) => !all.has(id))).toEqual([]);
  });

  it('say the same by the official SDK', async () => {
    // The SDK knows no clock; this is as much of one as the examples need.
    const clock = { 'time.parse_rfc3339_ns': (text: string) => Date.parse(text) * 1e6 };
    const sdk = await loadPolicy(bundle.wasm, undefined, clock);
    sdk.setData(bundle.data as object);
    const said = await evaluator.evaluateMany(bundle, inputs);
    inputs.forEach((input, i) => expect(bySdk(sdk, bundle, input)).toEqual(plain(said[i] as readonly RuleResult[])));
  });

  it("say the same in OPA's own interpreter", async () => {
    const said = await evaluator.evaluateMany(bundle, inputs);
    const reference = await byReference(bundle, inputs, settings);
    inputs.forEach((_, i) => expect(reference[i]).toEqual(valuesByPackage(said[i] as readonly RuleResult[])));
  });

  function idsIn(results: readonly RuleResult[]): string[] {
    return results.map(({ file, row }) =>
      String(bundle.rules.find(({ place }) => place.file === file && place.line === row)?.id),
    );
  }

  it('give every result a text and a way to mend it', async () => {
    for (const results of await evaluator.evaluateMany(bundle, inputs)) {
      for (const { value } of results as readonly RuleResult[]) {
        expect(value).toMatchObject({
          msg: expect.stringMatching(/./) as string,
          fix: expect.stringMatching(/./) as string,
        });
      }
    }
  });

  it('are all on the page docs/rules.md, as they are now', async () => {
    const sources = policySources(new Map(), { profile: 'strict' });
    const [rules, annotations] = [await compiler.check(sources), await compiler.inspect(sources.files)];
    const page = rulesPage(listedRules(rules, annotations));
    expect(readFileSync(new URL('../../docs/rules.md', import.meta.url), 'utf8')).toBe(page); // else: make docs
    for (const { id, bad, good } of listedRules(rules, annotations)) expect([id, bad, good]).not.toContain(undefined);
  });

  it('run as profile and switches say', async () => {
    expect(await idsOf(new Map(), { profile: 'off' })).toEqual(new Set());
    const baseline = await idsOf(new Map());
    expect(baseline.has('workload.resources')).toBe(false);
    expect(await idsOf(new Map(), { profile: 'baseline', off: ['images.pinned'] })).toEqual(
      new Set([...baseline].filter((id) => id !== 'images.pinned')),
    );
  });
});

async function idsOf(...args: Parameters<typeof policySources>): Promise<ReadonlySet<string>> {
  return new Set((await compiler.check(policySources(...args))).map(({ id }) => id));
}

type Comparable = readonly { readonly output: string; readonly change: number | undefined; readonly member: unknown }[];

/** Results in an order that does not depend on who made them. */
function inOrder(list: Comparable): Comparable {
  return list.toSorted((a, b) => (digestOf(a as unknown as Json) < digestOf(b as unknown as Json) ? -1 : 1));
}

function plain(results: readonly RuleResult[]): Comparable {
  return inOrder(
    results.map(({ package: pkg, name, change, value, file, row }) => ({
      output: `${pkg}.${name}`,
      change: change ?? -1,
      member: [value, file, row],
    })),
  );
}

/** The same Wasm in the second evaluator. */
function bySdk(policy: Awaited<ReturnType<typeof loadPolicy>>, bundle: PolicyBundle, text: string): Comparable {
  const input = JSON.parse(text) as { readonly changes: readonly unknown[] };
  const found: { output: string; change: number; member: unknown }[] = [];
  const gather = (scope: 'object' | 'change', change: number, judged: unknown) => {
    const [set] = policy.evaluate(judged, `countersign__run/${scope}`) as [{ result: unknown[][] }];
    bundle.outputs[scope].forEach(({ package: pkg, name }, i) => {
      for (const member of set.result[i]) found.push({ output: `${pkg}.${name}`, change, member });
    });
  };
  gather('change', -1, input);
  input.changes.forEach((one, i) => gather('object', i, { ...input, commits: [], changes: [one] }));
  return inOrder(found);
}

/** The rules themselves, not their located twins, in OPA's interpreter: for each input, digests of results by rule. */
async function byReference(
  bundle: PolicyBundle,
  inputs: readonly string[],
  settings: JsonObject,
): Promise<readonly Record<string, string[]>[]> {
  const [ofObject, ofChange] = (['object', 'change'] as const).map((scope) => {
    const names = bundle.outputs[scope].map(({ package: pkg, name }) => `${pkg}.${name}`);
    return `{${names.map((name) => `"${name}": data.${name}`).join(', ')}}`;
  });
  const files = new Map([
    ...starterFiles(),
    [
      'reference.rego',
      `package reference
by_change := ${ofChange}
by_object := ${ofObject}
one(changes) := [x | some c in changes; x := by_object with input.changes as [c] with input.commits as []]
all := [values | some i in data.inputs; values := array.concat([by_change], one(i.changes)) with input as i]
`,
    ],
  ]);
  const data = { countersign: { settings }, inputs: inputs.map((input) => JSON.parse(input) as Json) };
  const answers = await compiler.evaluate({ files, data }, 'data.reference.all', {}, 0n);
  return (answers as readonly (readonly JsonObject[])[]).map((answer) => {
    const found: Record<string, string[]> = {};
    for (const values of answer) {
      for (const [rule, list] of Object.entries(values)) {
        for (const value of list as readonly Json[]) (found[rule] ??= []).push(digestOf(value));
      }
    }
    for (const list of Object.values(found)) list.sort();
    return found;
  });
}

function valuesByPackage(results: readonly RuleResult[]): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const { package: pkg, name, value } of results) (found[`${pkg}.${name}`] ??= []).push(digestOf(value as Json));
  for (const list of Object.values(found)) list.sort();
  return found;
}
