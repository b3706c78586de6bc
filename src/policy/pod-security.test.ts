import { readFileSync } from 'node:fs';
import { RegoCompiler } from '../adapters/opa/compiler.js';
import { RegoEvaluator } from '../adapters/opa/evaluator.js';
import type { JsonObject } from '../cluster/object.js';
import type { PolicyBundle } from './bundle.js';
import { starterFiles } from './sources.js';

const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator();
afterAll(() => Promise.all([compiler.close(), evaluator.close()]));

/** Our rules by the name of the upstream check that each stands for, which is what names of cases begin with. */
const BASELINE: Readonly<Record<string, string>> = {
  apparmorprofile: 'workload.apparmor',
  capabilities_baseline: 'workload.capabilities',
  hostnamespaces: 'workload.host-namespaces',
  hostpathvolumes: 'workload.host-path',
  hostports: 'workload.host-ports',
  hostprobesandhostlifecycle: 'workload.host-probes',
  privileged: 'workload.privileged',
  procmount: 'workload.proc-mount',
  seccompprofile_baseline: 'workload.seccomp',
  selinuxoptions: 'workload.selinux',
  sysctls: 'workload.sysctls',
  windowshostprocess: 'workload.host-process',
};
const RESTRICTED: Readonly<Record<string, string>> = {
  allowprivilegeescalation: 'workload.privilege-escalation',
  capabilities_restricted: 'workload.drop-capabilities',
  procmount_restricted: 'workload.proc-mount-masked',
  restrictedvolumes: 'workload.volumes',
  runasnonroot: 'workload.non-root',
  runasuser: 'workload.root-user',
  seccompprofile_restricted: 'workload.seccomp-set',
};

/** Upstream's restricted checks that say what the baseline's do, and take their place: with us both speak. */
const OVERRIDES: Readonly<Record<string, string>> = {
  capabilities_restricted: 'workload.capabilities',
  restrictedvolumes: 'workload.host-path',
  seccompprofile_restricted: 'workload.seccomp',
};

interface Case {
  readonly level: 'baseline' | 'restricted';
  readonly expect: 'pass' | 'fail';
  readonly name: string;
  readonly pod: JsonObject & { readonly metadata: JsonObject; readonly spec: JsonObject };
}

const cases = readFileSync(new URL('../../test/vectors/pod-security/v1.37.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Case);

/** The same pod as whatever may hold one. */
const HOLDERS: Readonly<Record<string, (pod: Case['pod']) => JsonObject>> = {
  Pod: (pod) => pod,
  ...Object.fromEntries(
    [
      ['apps/v1', 'Deployment'],
      ['apps/v1', 'DaemonSet'],
      ['apps/v1', 'StatefulSet'],
      ['apps/v1', 'ReplicaSet'],
      ['v1', 'ReplicationController'],
      ['batch/v1', 'Job'],
      ['argoproj.io/v1alpha1', 'Rollout'],
    ].map(([apiVersion, kind]) => [
      kind,
      ({ metadata, spec }: Case['pod']) => ({ apiVersion, kind, metadata: {}, spec: { template: { metadata, spec } } }),
    ]),
  ),
  CronJob: ({ metadata, spec }) => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    spec: { jobTemplate: { spec: { template: { metadata, spec } } } },
  }),
  PodTemplate: ({ metadata, spec }) => ({ apiVersion: 'v1', kind: 'PodTemplate', template: { metadata, spec } }),
};

describe("Kubernetes' own cases of the Pod Security Standards", () => {
  let bundle: PolicyBundle;

  beforeAll(async () => {
    const files = [...starterFiles()].filter(([path]) => /\/policies\/(lib|workload)\//.test(`/${path.replace(':', '/')}`)); // prettier-ignore
    bundle = await compiler.compile({
      files: new Map(files.map(([path, text]) => [path.replace('countersign:', ''), text])),
      data: {},
    });
  });

  it('are here for every check of both levels', () => {
    const named = new Set(cases.filter(({ expect: to }) => to === 'fail').map(({ name }) => checkOf(name)));
    expect([...named].toSorted()).toEqual([...Object.keys(BASELINE), ...Object.keys(RESTRICTED)].toSorted());
    expect(cases.length).toBeGreaterThan(140);
  });

  it.each(Object.keys(HOLDERS))('are judged as there, in a %s', async (kind) => {
    const said = await judge(cases.map(({ pod }) => HOLDERS[kind](pod)));
    const wrong = cases.filter(({ level, expect: to, name }, i) => {
      const levels = level === 'baseline' ? BASELINE : { ...BASELINE, ...RESTRICTED };
      const check = checkOf(name);
      // What fails does so by the rule that the case is named after; no rule of the level may say anything of what passes.
      if (to === 'fail') return !said[i].has(levels[check]) && !said[i].has(OVERRIDES[check] ?? '');
      return Object.values(levels).some((id) => said[i].has(id));
    });
    expect(
      wrong.map((one) => `${one.level}/${one.expect}/${one.name}: ${[...said[cases.indexOf(one)]].join(' ')}`),
    ).toEqual([]);
  });

  async function judge(objects: readonly JsonObject[]): Promise<readonly ReadonlySet<string>[]> {
    const changes = objects.map((after) => ({ op: 'create', object: {}, before: null, after, patch: [] }));
    const input = { time: '2026-11-21T00:00:00Z', environment: { name: 'e', labels: {} }, commits: [], changes };
    const found = objects.map(() => new Set<string>());
    for (const { change, file, row } of await evaluator.evaluate(bundle, JSON.stringify(input))) {
      const rule = bundle.rules.find(({ place }) => place.file === file && place.line === row);
      if (change !== undefined) found[change].add(rule!.id);
    }
    return found;
  }
});

function checkOf(name: string): string {
  return name.replace(/\d+$/, '');
}
