import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { allowedSigners } from '../../src/adapters/git/scratch-repository.js';
import { signWithSsh } from '../../src/adapters/keys/ssh-keygen.js';
import type { JsonObject } from '../../src/cluster/object.js';
import { EXCEPTION_NAMESPACE, exceptionText } from '../../src/policy/exception.js';
import type { LiveObject } from '../../src/reconcile/cluster.js';
import type { LiveImpact } from '../../src/review/impact-live.js';
import { runCli } from '../support/cli.js';
import { Person } from '../support/cluster.js';
import { oneWorld } from '../support/one-world.js';
import { configMap, eventually, PRODUCTION, settings } from '../support/world.js';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const OPEN = ['openreports.io_reports', 'openreports.io_clusterreports'];
const OLD = ['wgpolicyk8s.io_policyreports', 'wgpolicyk8s.io_clusterpolicyreports'];

const values = (most: number): string => `package countersign.values

# METADATA
# title: Values are small
# custom: {id: values.small, scope: object, severity: high, controls: ["SOC2:CC8.1"]}
deny contains {"msg": sprintf("%v is too much", [value]), "fix": "write less"} if {
	value := to_number(input.changes[0].after.data.value)
	value > ${most}
}

# METADATA
# custom: {id: values.odd, scope: object, severity: low}
warn contains "it is odd" if to_number(input.changes[0].after.data.value) % 2 == 1
`;

/** As Gatekeeper's library has it, in short. */
const uniqueHost = `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: uniquehost}
spec:
  crd: {spec: {names: {kind: UniqueHost}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package uniquehost
        same(a, b) { a.metadata.namespace == b.metadata.namespace; a.metadata.name == b.metadata.name }
        violation[{"msg": msg}] {
          host := input.review.object.spec.rules[_].host
          other := data.inventory.namespace[_][api].Ingress[_]
          startswith(api, "networking.k8s.io/")
          other.spec.rules[_].host == host
          not same(other, input.review.object)
          msg := sprintf("%v is the host of %v/%v", [host, other.metadata.namespace, other.metadata.name])
        }
---
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: UniqueHost
metadata: {name: all}
spec: {match: {kinds: [{apiGroups: [networking.k8s.io], kinds: [Ingress]}]}}
`;
const synced = `apiVersion: syncset.gatekeeper.sh/v1alpha1
kind: SyncSet
metadata: {name: ingresses}
spec: {gvks: [{group: networking.k8s.io, version: v1, kind: Ingress}, {group: example.org, version: v1, kind: NotServed}]}
---
apiVersion: config.gatekeeper.sh/v1alpha1
kind: Config
metadata: {name: config}
spec: {match: [{processes: [sync], excludedNamespaces: ["left-out-*"]}]}
`;
const ingress = (name: string, host: string) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name },
  spec: { rules: [{ host }], defaultBackend: { service: { name: 'cart', port: { number: 80 } } } },
});
const ownRule = `package countersign.hosts

# METADATA
# custom: {id: hosts.known, scope: object}
warn contains sprintf("there are %d ingresses in all", [count(all)]) if {
	input.changes[0].object.kind == "Ingress"
	all := [1 | some objects in data.inventory.namespace; some _ in objects["networking.k8s.io/v1"].Ingress]
}
`;

interface Result extends JsonObject {
  readonly rule: string;
  readonly result: string;
  readonly resources: readonly { readonly kind: string; readonly name: string }[];
}

const resultsOf = (report: LiveObject): readonly Result[] => report['results'] as unknown as Result[];
const said = (report: LiveObject): readonly string[] =>
  resultsOf(report).map(({ rule, result, resources }) => `${rule} ${result} ${resources.map(({ name }) => name).join()}`); // prettier-ignore

describe('policy and the live cluster', () => {
  let admin: Person;
  const here = oneWorld(async (plane) => {
    admin = new Person(plane, 'admin');
    await define(OPEN);
    return {
      starter: 'profile: "off"',
      files: {
        'policies/values.rego': values(5),
        'environments/production/odd.yaml': configMap('odd', '3'),
        'environments/production/even.yaml': configMap('even', '4'),
        '.countersign/owners': 'odd.yaml odd@example.org\n',
      },
    };
  });
  afterAll(() => admin?.close());

  async function define(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const crd = load(readFileSync(new URL(`../vectors/openreports/${name}.yaml`, import.meta.url), 'utf8')) as JsonObject; // prettier-ignore
      await admin.create(CRDS, crd);
    }
    for (const name of names) {
      const [group, plural] = name.split('_');
      const version = group === 'openreports.io' ? 'v1alpha1' : 'v1alpha2';
      // Before it is served, and for a moment after that, the API server has no answer.
      await eventually(`${plural} to be served`, () =>
        admin.get(`/apis/${group}/${version}/${plural}`).catch(() => null),
      );
    }
  }

  const reports = async (plural = 'reports', api = 'openreports.io/v1alpha1'): Promise<readonly LiveObject[]> => {
    const namespace = plural.startsWith('cluster') ? '' : `/namespaces/${here.world.namespace}`;
    return ((await admin.get(`/apis/${api}${namespace}/${plural}`)) as unknown as { items: LiveObject[] } | null)?.items ?? []; // prettier-ignore
  };
  const reported = (what: string, test: (report: LiveObject) => boolean): Promise<LiveObject> =>
    eventually(`a report in which ${what}`, async () => (await reports()).find(test), async () => JSON.stringify([await reports(), here.world.said.slice(-5)])); // prettier-ignore

  it('is told there, object by object and rule by rule', async () => {
    const { world } = here;
    const report = await reported('the odd one is told', (one) => said(one).includes('values.odd warn odd'));
    expect(report).toMatchObject({
      kind: 'Report',
      source: 'countersign',
      summary: { pass: 2, fail: 0, warn: 1, error: 0, skip: 0 },
      metadata: {
        labels: { 'app.kubernetes.io/managed-by': 'countersign' },
        annotations: {
          'countersign.dev/environment': PRODUCTION,
          'countersign.dev/repository': 'shop',
          'countersign.dev/commit': world.genesis,
        },
        managedFields: [{ manager: 'countersign-reports', operation: 'Apply' }],
      },
    });
    expect(said(report)).toEqual([
      'values.odd warn odd',
      'values.odd pass cart,even',
      'values.small pass cart,even,odd',
    ]);
    expect(resultsOf(report)[2]).toMatchObject({
      policy: 'countersign.values',
      category: 'values',
      severity: 'high',
      message: 'Values are small',
      source: 'countersign',
      properties: { controls: 'SOC2:CC8.1', passed: '3' },
    });
    const cluster = await eventually('the report on the namespace', async () => (await reports('clusterreports'))[0]);
    expect(said(cluster)).toContain(`values.small pass ${world.namespace}`);
    const { targets } = await world.query<{ targets: object[] }>('{ targets { name reports { api count lookedAt trouble { message } } } }'); // prettier-ignore
    expect(targets).toMatchObject([{ name: 'prod', reports: { api: 'openreports.io/v1alpha1', count: 2, trouble: null } }]); // prettier-ignore
  });

  it('is held against another policy before that is switched on', async () => {
    const { world } = here;
    const folder = join(world.root, 'stricter');
    await mkdir(folder);
    await writeFile(join(folder, 'values.rego'), values(2));
    const args = ['policy', 'impact', '--policies', folder, '--since', '2026-01-01', '--data', world.data, '--database', world.databaseUrl]; // prettier-ignore
    const { code, stdout, stderr } = await runCli([...args, '--again', '--output', 'json']);
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout.trim().split('\n').map((line) => JSON.parse(line) as { repository?: string; live: LiveImpact }); // prettier-ignore
    const { live } = lines.find(({ repository }) => repository === 'shop')!;
    expect(live).toMatchObject({ environments: 1, objects: 4, newly: 2, byRule: { 'values.small': 2 }, byEnvironment: { [`shop ${PRODUCTION}`]: 2 } }); // prettier-ignore
    expect(live.examples.map(({ rule, message, object, source }) => [rule, message, object.name, source.path]).toSorted(([, a], [, b]) => (a < b ? -1 : 1))).toEqual([
      ['values.small', '3 is too much', 'odd', 'environments/production/odd.yaml'],
      ['values.small', '4 is too much', 'even', 'environments/production/even.yaml'],
    ]); // prettier-ignore
    expect(live).toMatchObject({ byTeam: { shop: 1, 'odd@example.org': 1 }, listed: 0, unlisted: [] });

    // As it is right now: somebody has changed one object and deleted another, and the service has not seen it.
    await world.stop();
    const path = `/api/v1/namespaces/${world.namespace}/configmaps`;
    await admin.edit(`${path}/odd`, { data: { value: '9' } });
    await admin.delete(`${path}/even`);
    const kubeconfig = ['--kubeconfig', here.plane.kubeconfig('admin')];
    const now = await runCli([...args, ...kubeconfig, '--output', 'json']);
    expect([now.code, now.stderr]).toEqual([0, '']);
    const listed = (JSON.parse(now.stdout.trim().split('\n').find((line) => line.includes('"repository":"shop"'))!) as { live: LiveImpact }).live; // prettier-ignore
    // The policy that is in force finds too much in it, too: new is nothing.
    expect(listed).toMatchObject({ listed: 1, environments: 1, objects: 3, newly: 0 });
    await writeFile(join(folder, 'values.rego'), values(2).replaceAll('values.small', 'values.tiny'));
    const other = await runCli([...args, ...kubeconfig]);
    expect(other.stdout).toMatch(
      /live: 3 objects in 1 environments, 1 findings newly, 1 no longer {3}\(listed just now\)/,
    );
    expect(other.stdout).toMatch(/live, by team\n {4}odd@example\.org +1\n/);
    expect(other.stdout).toMatch(
      /ConfigMap [^ ]*\/odd {2}values\.tiny {2}environments\/production\/odd\.yaml:1 {2}9 is too much/,
    );
    const wrong = await runCli([...args, ...kubeconfig, '--target', 'staging']);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringMatching(/nothing runs in a target staging.*--target prod/),
    ]);
    await world.start();

    // The service lists its own clusters.
    const asked = () =>
      world.query<{ policyImpact: { progress: string; live: LiveImpact } }>(
        'query ($commit: String!) { policyImpact(repository: "shop", commit: $commit, since: "2026-01-01") { progress live } }',
        { commit: world.genesis },
      );
    const service = await eventually('the analysis to end', async () => {
      const { policyImpact } = await asked();
      return policyImpact.progress === 'finished' ? policyImpact : null;
    });
    expect(service.live).toMatchObject({ listed: 1, environments: 1, newly: 0, unlisted: [] });
  });

  it('is told anew when policy changes, with what is excepted as skipped', async () => {
    const { world } = here;
    const { bo } = world;
    await world.push({ files: { 'policies/values.rego': values(3) }, author: bo });
    const strict = await reported('4 is too much', (one) => said(one).includes('values.small fail even'));
    expect(strict['summary']).toMatchObject({ fail: 1, warn: 1, pass: 2 });
    expect(resultsOf(strict).find(({ result }) => result === 'fail')).toMatchObject({
      message: '4 is too much',
      scored: true,
      properties: { fix: 'write less', source: 'environments/production/even.yaml:1', controls: 'SOC2:CC8.1' },
    });
    const text = exceptionText({
      repository: 'shop',
      rule: 'values.small',
      scope: { environment: PRODUCTION, kind: 'ConfigMap', namespace: world.namespace, name: 'even' },
      owner: 'shop team',
      reason: 'sale',
      ticket: 'OPS-7',
      expires: new Date(Date.now() + 3_600_000).toISOString(),
    });
    const signature = await signWithSsh(bo.keyFile, EXCEPTION_NAMESPACE, text);
    const path = '.countersign/exceptions/sale.yaml';
    const signers = [allowedSigners([world.ann]), allowedSigners([bo]).replace(/namespaces="[^"]*"/, `namespaces="git,${EXCEPTION_NAMESPACE}"`)]; // prettier-ignore
    await world.push({ files: { '.countersign/allowed_signers': signers.join('') }, author: bo });
    await world.push({ files: { [path]: text, [`${path}.sig`]: signature }, author: bo });
    const excepted = await reported('it is excepted', (one) => said(one).includes('values.small skip even'));
    expect(excepted['summary']).toMatchObject({ fail: 0, skip: 1, warn: 1 });
    expect(resultsOf(excepted).find(({ result }) => result === 'skip')).toMatchObject({
      properties: { ticket: 'OPS-7', by: 'bo@example.org' },
    });
  });

  it('writes no report that says what it said, and one that somebody deleted', async () => {
    const { world } = here;
    const [cluster] = await reports('clusterreports');
    const [report] = await reports();
    await admin.delete(`/apis/openreports.io/v1alpha1/clusterreports/${cluster.metadata.name}`);
    await world.stop();
    await world.start();
    const again = await eventually('the report on the namespace', async () => (await reports('clusterreports'))[0]);
    expect(again['results']).toEqual(cluster['results']);
    expect((await reports())[0].metadata.resourceVersion).toBe(report.metadata.resourceVersion);
  });

  it('is judged with what runs beside it, of the kinds that the repository names, and replays', async () => {
    const { world } = here;
    for (const [namespace, name, host] of [
      ['theirs', 'shop', 'shop.example.org'],
      ['left-out-1', 'old', 'old.example.org'],
    ]) {
      // prettier-ignore
      await admin.create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
      await admin.create(`/apis/networking.k8s.io/v1/namespaces/${namespace}/ingresses`, ingress(name, host));
    }
    const file = 'environments/production/ingress.yaml';
    const files = { 'policies/gatekeeper/unique.yaml': uniqueHost, 'policies/gatekeeper/sync.yaml': synced, 'policies/hosts.rego': ownRule }; // prettier-ignore
    await world.push({ files, author: world.bo });
    const taken = await world.push({ files: { [file]: JSON.stringify(ingress('own', 'shop.example.org')) } });
    const denied = await world.decision(taken);
    expect(denied).toMatchObject({ outcome: 'deny', error: null });
    expect(denied.violations.map(({ rule, message }) => [rule, message])).toEqual([
      ['UniqueHost/all', 'shop.example.org is the host of theirs/shop'],
    ]);
    const { decision } = await world.query<{ decision: { warnings: { message: string }[] } }>(
      'query ($id: ID!) { decision(id: $id) { warnings { message } } }',
      { id: denied.id },
    );
    expect(decision.warnings.map(({ message }) => message)).toContain('there are 2 ingresses in all');
    const free = await world.push({ files: { [file]: JSON.stringify(ingress('own', 'old.example.org')) } });
    await world.live(free);
    await admin.delete('/apis/networking.k8s.io/v1/namespaces/theirs/ingresses/shop');
    await eventually('it to be gone', async () => (await admin.get('/apis/networking.k8s.io/v1/namespaces/theirs/ingresses/shop')) === null); // prettier-ignore
    const now = await world.push({ files: { [file]: JSON.stringify(ingress('own', 'shop.example.org')) } });
    await world.live(now);
    await world.check({ replay: true });
  });

  it('is told by the older kind where only that is there, and not at all where there is none', async () => {
    const { world } = here;
    await world.stop();
    for (const name of OPEN) {
      const [group, plural] = name.split('_');
      await admin.delete(`${CRDS}/${plural}.${group}`);
    }
    const state = async () =>
      (await world.query<{ targets: { reports: { api: string | null; count: number; lookedAt: string | null } }[] }>('{ targets { reports { api count lookedAt } } }')).targets[0].reports; // prettier-ignore
    await eventually('no kind of report', async () => (await admin.get('/apis/openreports.io/v1alpha1/reports')) === null); // prettier-ignore
    await world.start();
    await eventually('a look', async () => (await state()).lookedAt !== null);
    expect(await state()).toMatchObject({ api: null, count: 0 });
    await world.stop();
    await define(OLD);
    await world.start();
    const old = await eventually('a PolicyReport', async () => (await reports('policyreports', 'wgpolicyk8s.io/v1alpha2'))[0]); // prettier-ignore
    expect(old).toMatchObject({ kind: 'PolicyReport', summary: { skip: 1 } });
    expect(said(old)).toContain('values.small skip even');
  });

  it('is no longer told of an environment that goes', async () => {
    const { world } = here;
    const text = settings(world.namespace, [], 'profile: "off"').replace(`name: ${PRODUCTION}`, 'name: shop/other');
    await world.push({ files: { 'countersign.yaml': text.replace('environments/production,', 'environments/other,') }, author: world.bo }); // prettier-ignore
    await eventually(
      'no report',
      async () => (await reports('policyreports', 'wgpolicyk8s.io/v1alpha2')).length === 0,
      async () =>
        JSON.stringify([
          await world.decisions('governance').then((all) => all[0]),
          await world.query(
            '{environments{nodes{name status trouble{message}}} targets{reports{count trouble{message}}}}',
          ),
          world.said.slice(-5),
        ]),
    );
    expect(await reports('clusterpolicyreports', 'wgpolicyk8s.io/v1alpha2')).toEqual([]);
  });
});
