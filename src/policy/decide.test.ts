import { RegoCompiler } from '../adapters/opa/compiler.js';
import { RegoEvaluator } from '../adapters/opa/evaluator.js';
import type { ObjectChange, ProposedChange } from '../change/proposed-change.js';
import { identityOf, type KubernetesObject } from '../cluster/object.js';
import { Redactor } from '../cluster/secret.js';
import { CountersignError } from '../errors.js';
import type { PolicyBundle } from './bundle.js';
import { decide, decideMany } from './decide.js';
import { policyInput } from './input.js';
import { policySources } from './sources.js';

const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator({ timeLimit: 1000 });
afterAll(() => Promise.all([compiler.close(), evaluator.close()]));

const redactor = new Redactor(Buffer.alloc(32, 7), 'k1');
const ID = '8be0d41c55a2a9f2f8e39d5bd9f5e3f4b2ad91c7';

function created(object: KubernetesObject, line = 1): ObjectChange {
  const source = { path: 'apps/cart.yaml', line };
  return { op: 'create', identity: identityOf(object), before: null, after: object, patch: [], source };
}

function secret(value: string): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db', namespace: 'shop' }, data: { password: value } };
}

function proposed(changes: readonly ObjectChange[], problems: readonly CountersignError[] = []): ProposedChange {
  const environment = {
    name: 'prod',
    path: '',
    ref: 'refs/heads/main',
    target: null,
    namespace: null,
    labels: {},
    ignore: [],
  };
  return { environment, base: null, head: ID, headTree: ID, commits: [], changes, rendered: [], problems, otherDocuments: new Map(), notRendered: [] }; // prettier-ignore
}

function inputOf(change: ProposedChange, more: object = {}): string {
  const repository = { name: 'shop', url: 'file:///srv/shop.git' };
  return policyInput({ change, repository, time: new Date('2026-03-02T09:05:00Z'), redactor, ...more });
}

const bundleOf = (body: string): Promise<PolicyBundle> =>
  compiler.compile(
    policySources(new Map([['policies/x.rego', `package countersign.x\n\n${body}\n`]]), { profile: 'off' }),
  );

const configMap: KubernetesObject = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'shop' } };

describe('deciding on a proposed change', () => {
  it('denies with object, source, rule, place, controls and fix', async () => {
    const bundle = await bundleOf(
      '# METADATA\n# custom: {id: x.no, scope: object, severity: low, controls: ["SOC2:CC8.1"]}\ndeny contains {"msg": "no", "fix": "mend it", "more": 1} if input.changes[0].object.kind == "ConfigMap"',
    );
    const change = proposed([created(secret('eA==')), created(configMap, 31)]);
    const decision = await decide(evaluator, bundle, inputOf(change), change);
    expect(decision).toMatchObject({ outcome: 'deny', rulesRun: 1, rulesPassed: 0, bundleDigest: bundle.digest });
    expect(decision.violations).toEqual([
      {
        rule: 'x.no',
        kind: 'deny',
        message: 'no',
        severity: 'low',
        controls: ['SOC2:CC8.1'],
        place: { file: 'policies/x.rego', line: 5 },
        object: identityOf(configMap),
        source: { path: 'apps/cart.yaml', line: 31 },
        fix: 'mend it',
        details: { more: 1 },
      },
    ]);
  });

  it('is pending where approvals are named, allows where nothing is said, and only tells warnings', async () => {
    const change = proposed([created(configMap)]);
    const input = inputOf(change);
    const outcome = async (body: string) => (await decide(evaluator, await bundleOf(body), input, change)).outcome;
    expect(await outcome('require contains "two eyes"')).toBe('pending');
    expect(await outcome('require contains "two eyes"\n\ndeny contains "no"')).toBe('deny');
    expect(await outcome('warn contains "careful"')).toBe('allow');
    expect(await outcome('deny contains "no" if false')).toBe('allow');
  });

  // Invariant 7.
  it('denies what could not be read, whatever the rules say', async () => {
    const place = { file: 'apps/broken.yaml', line: 4 };
    const problem = new CountersignError('manifest-malformed', 'malformed YAML', { place, remedy: 'Correct it' });
    const change = proposed([], [problem]);
    const decision = await decide(evaluator, await bundleOf('deny contains "no" if false'), inputOf(change), change);
    expect(decision.outcome).toBe('deny');
    expect(decision.violations).toEqual([
      expect.objectContaining({
        rule: 'reading.manifest-malformed',
        source: { path: 'apps/broken.yaml', line: 4 },
        fix: 'Correct it',
      }),
    ]);
  });

  it('gives outcome error, never allow, when policy fails, never ends or says nonsense', async () => {
    const change = proposed([created(configMap)]);
    const some =
      'some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000); a + b + c == 0';
    for (const [body, codes] of [
      ['deny contains 1', ['policy-result']],
      [`deny contains "x" if { ${some} }`, ['policy-timeout', 'policy-memory']],
      ['a := 1 if input.time\n\na := 2 if input.head\n\ndeny contains "x" if a == 3', ['policy-failed']],
    ] as const) {
      const decision = await decide(evaluator, await bundleOf(body), inputOf(change), change);
      expect(decision.outcome).toBe('error');
      expect(codes).toContain(decision.error?.code);
    }
  });

  // Invariant 4.
  it('gives equal digests for equal input, on another evaluator and in a batch', async () => {
    const bundle = await bundleOf('deny contains sprintf("%d", [time.now_ns()])');
    const change = proposed([created(configMap)]);
    const input = inputOf(change);
    const first = await decide(evaluator, bundle, input, change);
    const other = new RegoEvaluator({ threads: 1 });
    const batch = await decideMany(other, bundle, [{ input, change }, { input: inputOf(change, { operation: 'rollback' }), change }]); // prettier-ignore
    await other.close();
    expect(batch[0]).toEqual(first);
    expect(batch[1].inputDigest).not.toBe(first.inputDigest);
    expect(batch[1].resultDigest).toBe(first.resultDigest);
  });
});

describe('the policy input', () => {
  // Invariant 10: neither the value nor its base64, in object or patch.
  it('shows that a Secret changed and not what it holds', () => {
    const [before, after] = [secret('aHVudGVyMg=='), secret('c3dvcmRmaXNo')];
    const patch = [{ op: 'replace' as const, path: '/data/password', value: 'c3dvcmRmaXNo' }];
    const change = proposed([{ ...created(after), op: 'update', before, patch }]);
    const input = inputOf(change);
    for (const text of ['aHVudGVyMg', 'c3dvcmRmaXNo', 'hunter2', 'swordfish']) expect(input).not.toContain(text);
    const [shown] = (JSON.parse(input) as { changes: { patch: { path: string; value: string }[] }[] }).changes;
    expect(shown.patch).toEqual([
      { op: 'replace', path: '/data/password', value: expect.stringMatching(/^hmac-sha256:k1:/) as string },
    ]);
  });

  it('is canonical: the same bytes whatever the order of keys', () => {
    const one = created({ apiVersion: 'v1', kind: 'X', metadata: { name: 'a' }, b: 1, a: 2 });
    const other = created({ a: 2, metadata: { name: 'a' }, b: 1, kind: 'X', apiVersion: 'v1' });
    expect(inputOf(proposed([one]))).toBe(inputOf(proposed([other])));
  });
});
