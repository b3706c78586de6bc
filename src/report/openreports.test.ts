import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { PolicyBundle } from '../policy/bundle.js';
import type { Decision, Rule, Violation } from '../policy/decision.js';
import type { ApiKind, Cluster, LiveObject } from '../reconcile/cluster.js';
import { ClusterReports } from './cluster-reports.js';
import { environmentReports, isSameReport, REPORT_APIS, type Reported } from './openreports.js';

const [OPEN, OLD] = REPORT_APIS;
const rule = (id: string): Rule => ({
  id,
  package: 'countersign.x',
  name: 'deny',
  kind: 'deny',
  scope: 'object',
  severity: 'high',
  controls: ['SOC2:CC8.1'],
  place: { file: 'x.rego', line: 1 },
  starter: false,
});
const configMap = (name: string, namespace?: string): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
});
const violation = (name: string, message = 'no'): Violation => ({
  rule: 'x.a',
  kind: 'deny',
  message,
  severity: 'high',
  controls: [],
  place: { file: 'x.rego', line: 1 },
  object: { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'shop', name },
});
const decision = (more: Partial<Decision>): Decision =>
  ({ outcome: 'allow', violations: [], warnings: [], required: [], excepted: [], exceptions: [], ...more }) as Decision;
const reported = (objects: readonly KubernetesObject[], more: Partial<Decision> = {}): Reported => ({
  live: {
    repository: 'shop',
    environment: 'Shop/Production!',
    target: 'prod',
    commit: 'a'.repeat(40),
    decision: 7,
    time: '2026-07-01T10:00:00.000Z',
    objects: objects.map((object) => ({ object, source: { path: 'x.yaml', line: 1 } })),
  },
  decision: decision(more),
  bundle: { digest: 'd', rules: [rule('x.b'), rule('x.a'), { ...rule('x.a') }] } as unknown as PolicyBundle,
});
interface Shown {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations: Record<string, string>;
  };
  readonly summary: Record<string, number>;
  readonly results: readonly { readonly rule: string; readonly result: string; readonly resources?: readonly object[]; readonly properties?: Record<string, string> }[]; // prettier-ignore
}
const shown = (all: readonly KubernetesObject[]): readonly Shown[] => all as unknown as Shown[];

describe('reports on an environment', () => {
  it('are one in each namespace and one for what is in none, under a name that Kubernetes takes', () => {
    const all = shown(environmentReports(reported([configMap('a', 'shop'), configMap('b', 'ops'), configMap('c')]), OPEN, 'log')); // prettier-ignore
    expect(all.map(({ kind, metadata }) => [kind, metadata.namespace])).toEqual([
      ['ClusterReport', undefined],
      ['Report', 'ops'],
      ['Report', 'shop'],
    ]);
    expect(new Set(all.map(({ metadata }) => metadata.name)).size).toBe(1);
    expect(all[0].metadata.name).toMatch(/^countersign-shop-production-[0-9a-f]{8}$/);
    const [old] = environmentReports(reported([configMap('a', 'shop')]), OLD, 'log');
    expect(old).toMatchObject({ apiVersion: 'wgpolicyk8s.io/v1alpha2', kind: 'PolicyReport' });
    expect(old).not.toHaveProperty('source');
  });

  it('hold no more than a report may, what passed being what is left out', () => {
    const objects = Array.from({ length: 40 }, (_, i) => configMap(`c${String(i).padStart(2, '0')}`, 'shop'));
    const violations = objects.slice(0, 30).map(({ metadata }) => violation(metadata.name, 'x'.repeat(5000)));
    const limits = { bytes: 20_000, subjects: 5, parts: 20 };
    const all = environmentReports(reported(objects, { violations }), OPEN, 'log', limits);
    expect(all.length).toBeGreaterThan(2);
    for (const report of all) expect(JSON.stringify(report).length).toBeLessThan(21_500);
    expect(all.map(({ metadata }) => metadata.name.replace(/^.*-[0-9a-f]{8}/, ''))).toEqual(['', '-2', '-3', '-4'].slice(0, all.length)); // prettier-ignore
    const results = shown(all).flatMap((report) => report.results);
    expect(results.filter(({ result }) => result === 'fail')).toHaveLength(30);
    const [a, b] = results.slice(-2);
    expect([a.rule, a.properties?.['passed'], a.resources?.length]).toEqual(['x.a', '10', 5]);
    expect([b.rule, b.properties?.['passed'], b.resources?.length]).toEqual(['x.b', '40', 5]);
    const few = shown(environmentReports(reported(objects, { violations }), OPEN, 'log', { ...limits, parts: 2 }));
    expect(few).toHaveLength(2);
    const told = few.flatMap((report) => report.results).length;
    expect(few[1].metadata.annotations['countersign.dev/left-out']).toBe(`${32 - told} results`);
  });

  it('say why where nothing could be judged', () => {
    const error = { code: 'policy-timeout', message: 'too slow', place: { file: 'x.rego', line: 3 } };
    const [report] = shown(environmentReports(reported([configMap('a', 'shop')], { outcome: 'error', error }), OPEN, 'log')); // prettier-ignore
    expect(report.summary).toEqual({ pass: 0, fail: 0, warn: 0, error: 1, skip: 0 });
    expect(report.results).toMatchObject([{ result: 'error', message: 'too slow', properties: { place: 'x.rego:3' } }]);
  });

  it('are the same for the same judgement, and not when somebody changed one', () => {
    const [report, again] = [0, 1].map(() => environmentReports(reported([configMap('a', 'shop')], { violations: [violation('a')] }), OPEN, 'log')[0]); // prettier-ignore
    const live = { ...again, metadata: { ...again.metadata, uid: 'u', resourceVersion: '1', managedFields: [] } };
    expect(isSameReport(report, live)).toBe(true);
    expect(isSameReport(report, { ...live, results: [] })).toBe(false);
  });
});

describe('a cluster that takes no reports right now', () => {
  it('is told of with its trouble, and gets them when it does', async () => {
    let refused = true;
    const applied: string[] = [];
    const troubles: string[] = [];
    const cluster: Partial<Cluster> = {
      name: 'prod',
      kind: async (identity): Promise<ApiKind> => {
        if (identity.group !== 'openreports.io') throw new CountersignError('kind-unknown', 'no such kind');
        return { ...identity, plural: `${identity.kind.toLowerCase()}s`, namespaced: identity.kind === 'Report' };
      },
      list: async () => ({ items: [], resourceVersion: '1' }),
      apply: async (object, options) => {
        if (refused) throw new CountersignError('cluster-unavailable', 'the cluster is away', { retry: true });
        applied.push(`${object.metadata.name} by ${options?.manager}`);
        return object as LiveObject;
      },
    };
    const keeper = new ClusterReports({
      cluster: cluster as Cluster,
      origin: 'log',
      environments: async () => [{ repository: 'shop', environment: 'prod' }],
      judge: async () => reported([configMap('a', 'shop')]),
      onTrouble: ({ message }) => void troubles.push(message),
    });
    keeper.start();
    while (!keeper.state.trouble) await sleep(5);
    expect(keeper.state).toMatchObject({ api: 'openreports.io/v1alpha1', reports: 0, lookedAt: null });
    refused = false;
    while (keeper.state.lookedAt === null) await sleep(5);
    expect(keeper.state).toMatchObject({ reports: 1, trouble: null });
    expect(applied).toEqual([expect.stringMatching(/^countersign-shop-production-.* by countersign-reports$/)]);
    expect(troubles).toEqual(['the cluster is away']);
    await keeper.stop();
  });
});
