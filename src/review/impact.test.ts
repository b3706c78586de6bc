import { RegoCompiler } from '../adapters/opa/compiler.js';
import { RegoEvaluator } from '../adapters/opa/evaluator.js';
import { CountersignError } from '../errors.js';
import type { PolicyBundle } from '../policy/bundle.js';
import { policySources } from '../policy/sources.js';
import { analyseImpact, type ImpactState, newImpact, type PastDecision, type PastDecisions } from './impact.js';
import { liveImpact, NOTHING_LIVE } from './impact-live.js';
import type { LiveEnvironment } from './judge-live.js';

const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator();
afterAll(() => Promise.all([compiler.close(), evaluator.close()]));

const bundleOf = (limit: number): Promise<PolicyBundle> =>
  compiler.compile(policySources(new Map([['p.rego', `package countersign.x\n\n# METADATA\n# custom: {id: x.few, scope: object}\ndeny contains sprintf("%d are too many", [n]) if {\n\tn := input.changes[0].after.spec.replicas\n\tn > ${limit}\n}\n`]]), { profile: 'off' })); // prettier-ignore

const deployment = (name: string, replicas: number) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'shop' },
  spec: { replicas },
});
const inputOf = (replicas: number, owners: readonly string[] = []): string =>
  JSON.stringify({
    time: '2026-07-01T10:00:00Z',
    environment: { name: 'prod' },
    commits: [],
    exceptions: [],
    ...(owners.length > 0 ? { owners: [{ owners }] } : {}),
    changes: [{ object: { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'cart' }, after: deployment('cart', replicas), source: { path: 'cart.yaml', line: 7 } }], // prettier-ignore
  });
const few = { rule: 'x.few', kind: 'deny', message: 'too many', severity: 'low', controls: [], place: { file: 'p.rego' } } as const; // prettier-ignore
const past = (index: number, replicas: number | null, more: Partial<PastDecision> = {}): PastDecision => ({
  index,
  id: `d${index}`,
  repository: 'shop',
  environment: index % 2 ? 'prod' : 'test',
  time: '2026-07-01T10:00:00.000Z',
  outcome: (replicas ?? 0) > 5 ? 'deny' : 'allow',
  violations: (replicas ?? 0) > 5 ? [few] : [],
  required: [],
  input: replicas === null ? null : inputOf(replicas, index % 3 ? [] : ['@shop/cart']),
  ...more,
});

/** What a database would hold. */
class Recorded implements PastDecisions {
  reads = 0;
  constructor(readonly all: readonly PastDecision[]) {}
  count({ after }: { after: number }) {
    return Promise.resolve(this.all.filter(({ index }) => index > after).length);
  }
  recent(_repository: string, count: number) {
    return Promise.resolve(this.all.slice(-count));
  }
  read({ after }: { after: number }, limit: number) {
    this.reads += 1;
    return Promise.resolve(this.all.filter(({ index }) => index > after).slice(0, limit));
  }
}

async function last(states: AsyncIterable<ImpactState>, stopAfter = Infinity): Promise<ImpactState> {
  let state: ImpactState | undefined;
  let seen = 0;
  for await (const next of states) {
    state = next;
    if (seen++ === stopAfter) break;
  }
  return state!;
}

describe('the impact of another policy on what was decided', () => {
  it('is told by rule, team, environment and change of outcome, with examples', async () => {
    const reading = { ...few, rule: 'reading.manifest-malformed' };
    const recorded = new Recorded([
      past(1, 2),
      past(2, 4),
      past(3, 4),
      past(4, 9),
      past(5, null),
      past(6, 1, { outcome: 'deny', violations: [reading] }),
    ]);
    const bundle = await bundleOf(3);
    const { tally, total, after } = await last(analyseImpact(recorded, bundle, evaluator, newImpact(bundle, null, '2026-01-01T00:00:00Z'))); // prettier-ignore
    expect({ total, after }).toEqual({ total: 6, after: 6 });
    expect(tally).toMatchObject({
      decisions: 6,
      changed: 2,
      skipped: 1,
      outcomes: { 'allow → deny': 2 },
      byRule: { 'x.few': { newly: 2, noLonger: 0 } },
      byTeam: { shop: 1, '@shop/cart': 1 },
      byEnvironment: { 'shop test': 1, 'shop prod': 1 },
    });
    expect(tally.examples[0]).toMatchObject({
      decision: 'd2',
      before: 'allow',
      after: 'deny',
      rule: 'x.few',
      message: '4 are too many',
      object: { kind: 'Deployment', name: 'cart' },
      source: { path: 'cart.yaml', line: 7 },
    });
    const laxer = await bundleOf(99);
    const other = await last(analyseImpact(recorded, laxer, evaluator, newImpact(laxer, null, '2026-01-01T00:00:00Z')));
    expect(other.tally).toMatchObject({ outcomes: { 'deny → allow': 1 }, byRule: { 'x.few': { noLonger: 1 } } });
  }, 60_000);

  it('goes on where it was stopped, and comes to the same', async () => {
    const recorded = new Recorded(Array.from({ length: 700 }, (_, i) => past(i + 1, i % 8)));
    const bundle = await bundleOf(3);
    const begun = newImpact(bundle, null, '2026-01-01T00:00:00Z');
    const whole = await last(analyseImpact(recorded, bundle, evaluator, begun));
    const stopped = await last(analyseImpact(recorded, bundle, evaluator, begun), 1);
    expect(stopped.tally.decisions).toBe(256);
    recorded.reads = 0;
    const resumed = await last(analyseImpact(recorded, bundle, evaluator, JSON.parse(JSON.stringify(stopped)) as ImpactState)); // prettier-ignore
    expect(resumed).toEqual(whole);
    expect(recorded.reads).toBe(3); // two pages, and the empty one after them
  }, 60_000);

  it('counts what a policy that fails could not judge as an error, never as unchanged', async () => {
    const bundle = await compiler.compile(policySources(new Map([['p.rego', 'package countersign.x\n\ndeny contains 1\n']]), { profile: 'off' })); // prettier-ignore
    const { tally } = await last(analyseImpact(new Recorded([past(1, 1)]), bundle, evaluator, newImpact(bundle, null, '2026-01-01T00:00:00Z'))); // prettier-ignore
    expect(tally.outcomes).toEqual({ 'allow → error': 1 });
  }, 60_000);
});

describe('a policy without end', () => {
  it('is told of as an error by its rule, while the others are judged at once', async () => {
    const endless = 'package countersign.x\n\ndeny contains "x" if {\n\tsome a in numbers.range(1, 3000)\n\tsome b in numbers.range(1, 3000)\n\ta + b == 0\n}\n'; // prettier-ignore
    const bundle = await compiler.compile(policySources(new Map([['p.rego', endless]]), { profile: 'off' }));
    const shared = new RegoEvaluator({ timeLimit: 300 });
    const good = await bundleOf(3);
    await shared.evaluate(good, inputOf(1));
    const analysis = last(analyseImpact(new Recorded([past(1, 1), past(2, 1), past(3, 1)]), bundle, shared, newImpact(bundle, null, '2026-01-01T00:00:00Z'))); // prettier-ignore
    let analysed = false;
    void analysis.then(() => (analysed = true));
    for (let i = 0; i < 20; i++) expect(await shared.evaluate(good, inputOf(9))).toHaveLength(1);
    expect(analysed).toBe(false); // they waited for none of it
    const { tally } = await analysis;
    expect(tally.outcomes).toEqual({ 'allow → error': 3 });
    await expect(liveImpact(NOTHING_LIVE, { repository: 'shop', environment: 'prod', target: 'prod', commit: 'a', decision: 1, time: '', objects: [{ object: deployment('cart', 4), source: { path: 'apps.yaml', line: 1 } }], input: inputOf(1), bundle: good }, bundle, shared)).rejects.toMatchObject({ code: expect.stringMatching(/^policy-/) as string }); // prettier-ignore
    await shared.close();
  }, 60_000);
});

describe('the impact of another policy on what runs', () => {
  it('is told of each object that it would find something in', async () => {
    const [before, after] = [await bundleOf(5), await bundleOf(3)];
    const objects = [deployment('cart', 4), deployment('pay', 2), deployment('old', 9)].map((object, i) => ({
      object,
      source: { path: 'apps.yaml', line: i + 1 },
    }));
    const live: LiveEnvironment = { repository: 'shop', environment: 'prod', target: 'prod', commit: 'a', decision: 1, time: '', objects, input: inputOf(1), bundle: before, listing: 'listed' }; // prettier-ignore
    const owners = new Map([['apps.yaml', ['@shop/cart', 'bo@example.org']]]);
    const unlisted = { ...live, objects: [], listing: new CountersignError('cluster-unavailable', 'it is away') };
    const first = await liveImpact(NOTHING_LIVE, live, after, evaluator, owners);
    expect((await liveImpact(first, unlisted, after, evaluator)).unlisted).toEqual([
      { environment: 'shop prod', message: 'it is away' },
    ]);
    expect(first).toEqual({
      environments: 1,
      objects: 3,
      newly: 1,
      noLonger: 0,
      byRule: { 'x.few': 1 },
      byTeam: { '@shop/cart': 1, 'bo@example.org': 1 },
      byEnvironment: { 'shop prod': 1 },
      listed: 1,
      unlisted: [],
      examples: [
        {
          environment: 'shop prod',
          teams: ['@shop/cart', 'bo@example.org'],
          rule: 'x.few',
          message: '4 are too many',
          object: expect.objectContaining({ name: 'cart' }) as object,
          source: { path: 'apps.yaml', line: 1 },
        },
      ],
    });
  }, 60_000);
});
