import type { BundleSources, PolicyBundle } from '../../policy/bundle.js';
import { decision, judgedIn } from '../../policy/decide.js';
import type { RuleResult } from '../../policy/evaluator.js';
import { explain, type Explained } from '../../policy/explain.js';
import { fieldOf } from '../../policy/field.js';
import type { PolicyInput } from '../../policy/input.js';
import { policySources } from '../../policy/sources.js';
import { RegoCompiler } from './compiler.js';
import { RegoEvaluator } from './evaluator.js';

const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator({ threads: 1 });
afterAll(() => Promise.all([compiler.close(), evaluator.close()]));

const rego = `package countersign.x

images contains [name, image] if {
	some container in input.changes[0].after.spec.containers
	name := container.name
	image := container.image
}

unrelated contains 1 if input.time

# METADATA
# title: No latest
# custom: {id: x.latest, scope: object}
deny contains result if {
	some [name, image] in images
	endswith(image, ":latest")
	result := {"msg": sprintf("%s runs %q", [name, image])}
}

warn contains sprintf("%d at %d", [count(input.changes), time.now_ns()]) if unrelated
`;
const object = (name: string, image: string) => ({
  op: 'create',
  object: { apiVersion: 'v1', kind: 'Pod', namespace: 'shop', name },
  after: { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { containers: [{ name: 'c', image }] } },
  source: { path: `${name}.yaml`, line: 1 },
});
const input = {
  time: '2026-07-01T10:00:00.123Z',
  environment: { name: 'prod' },
  commits: [],
  exceptions: [],
  changes: [object('good', 'nginx:1'), object('bad', 'nginx:latest')],
} as unknown as PolicyInput;

let bundle: PolicyBundle;
let results: readonly RuleResult[];
let explained: Explained;

beforeAll(async () => {
  bundle = await compiler.compile(policySources(new Map([['policies/x.rego', rego]]), { profile: 'off' }));
  const text = JSON.stringify(input);
  results = await evaluator.evaluate(bundle, text);
  const { violations, warnings } = decision(bundle, text, judgedIn(input), results);
  const sources = bundle.sources as BundleSources;
  explained = { bundle, sources, input, results, violations: [...violations, ...warnings], trace: false };
}, 60_000);

describe('explaining a decision', () => {
  it('says of each finding what its variables stood for, what it rests on, and which exception would apply', async () => {
    const [latest, warning] = await explain(compiler, explained);
    expect(latest).toMatchObject({
      violation: { rule: 'x.latest', object: { name: 'bad' } },
      rule: { title: 'No latest' },
      values: { name: 'c', image: 'nginx:latest' },
      fired: [{ name: 'images', place: { file: 'policies/x.rego', line: 3 } }],
      exceptionRequest: 'countersign exception request x.latest --env prod --object Pod/shop/bad',
      trace: [],
    });
    expect(Object.keys(latest.values)).toEqual(['image', 'name']);
    expect(warning.violation.message).toBe('2 at 1782900000123000000');
  });

  it('shows every step if asked, and what is long only up to its limit', async () => {
    const [{ trace, more }] = await explain(compiler, { ...explained, trace: true });
    expect(trace.join('\n')).toMatch(/policies\/x\.rego:16 .*Eval endswith/);
    expect(more).toBe(0);
  });

  it('is refused when the interpreter gives anything but what the compiled policy gave', async () => {
    const other = results.map((result) => (result.name === 'deny' ? { ...result, value: { msg: 'another' } } : result));
    await expect(explain(compiler, { ...explained, results: other })).rejects.toMatchObject({
      code: 'policy-result',
      message: expect.stringContaining('own interpreter gives 1 results') as string,
    });
  });
});

describe('the field that a finding is about', () => {
  const { after } = object('bad', 'nginx:latest');
  const field = (message: string, details?: Record<string, unknown>) => fieldOf({ message, ...(details ? { details } : {}) }, after); // prettier-ignore

  it('is what the rule gives, else where the value stands that it quotes', () => {
    expect(field('x', { field: '/spec/containers/0/image' })).toEqual(['spec', 'containers', 0, 'image']);
    expect(field('x', { field: ['spec', 'containers', 0, 'securityContext'] })).toEqual(['spec', 'containers', 0, 'securityContext']); // prettier-ignore
    expect(field('image "nginx:latest" of container "c"')).toEqual(['spec', 'containers', 0, 'image']);
    expect(field('container "c" has no limits')).toEqual(['spec', 'containers', 0, 'name']);
    expect(field('it has "nothing" of this')).toBeUndefined();
    expect(field('no quotes')).toBeUndefined();
  });
});
