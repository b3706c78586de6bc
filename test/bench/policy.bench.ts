// What one object costs under 20 rules, in the thread itself and through the pool; starts with and without a compiled bundle on
// disk. The least of many short rounds: what a busy machine adds is never what the code costs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as RegistryModule from '../../src/adapters/opa/builtins/registry.js';
import type * as CompilerModule from '../../src/adapters/opa/compiler.js';
import type * as EvaluationModule from '../../src/adapters/opa/evaluation.js';
import type * as EvaluatorModule from '../../src/adapters/opa/evaluator.js';
import type * as SourcesModule from '../../src/policy/sources.js';

const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { builtinOf } = (await built('adapters/opa/builtins/registry')) as typeof RegistryModule;
const { RegoCompiler } = (await built('adapters/opa/compiler')) as typeof CompilerModule;
const { Evaluation } = (await built('adapters/opa/evaluation')) as typeof EvaluationModule;
const { RegoEvaluator } = (await built('adapters/opa/evaluator')) as typeof EvaluatorModule;
const { policySources } = (await built('policy/sources')) as typeof SourcesModule;

const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
const since = (start: number) => Math.round(performance.now() - start);

/** Three rules more than the starter ones, of the same kind as they are. */
const MORE = new Map(
  ['runAsNonRoot', 'readOnlyRootFilesystem', 'allowPrivilegeEscalation'].map((field) => [
    `policies/${field}.rego`,
    `package countersign.more.${field}\n\nimport data.countersign.lib.workload\n\n# METADATA\n# custom: {scope: object}\ndeny contains msg if {\n\tsome [container, group, _] in workload.containers\n\tnot container.securityContext.${field} == ${field !== 'allowPrivilegeEscalation'}\n\tmsg := sprintf("%s: ${field}", [workload.label(container, group)])\n}\n`,
  ]),
);
const sources = policySources(MORE, { profile: 'baseline', data: { registries: ['registry.example.org'] } });

let start = performance.now();
let compiler = new RegoCompiler({ cache: folder });
const bundle = await compiler.compile(sources);
console.log(`compile ${bundle.rules.length} rules, cold      ${since(start)} ms`);
await compiler.close();
start = performance.now();
compiler = new RegoCompiler({ cache: folder });
await compiler.compile(sources);
console.log(`the same from the cache        ${since(start)} ms`);
await compiler.close();

const container = (name: string) => ({
  name,
  image: `registry.example.org/shop/${name}@sha256:${'a'.repeat(64)}`,
  env: [...Array(14).keys()].map((i) => ({ name: `SETTING_${i}`, value: `some value of this setting ${i}` })),
  ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
  securityContext: {
    runAsNonRoot: true,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  },
  volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
});
const after = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'cart', namespace: 'shop', labels: { app: 'cart' } },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: 'cart' } },
    template: {
      spec: { containers: ['cart', 'proxy', 'logs'].map(container), volumes: [{ name: 'tmp', emptyDir: {} }] },
    },
  },
};
const object = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'cart' };
const change = {
  op: 'create',
  object,
  before: null,
  after,
  patch: [],
  source: { path: 'cart.yaml', line: 1 },
  live: null,
};
const inputOf = (changes: number) =>
  JSON.stringify({
    time: '2026-03-02T09:05:00.000Z',
    environment: { name: 'prod' },
    operation: 'push',
    commits: [],
    changes: Array.from({ length: changes }, () => change),
    approvals: [],
  });

const OBJECTS = 50;
const inThread = new Evaluation(
  {
    module: new WebAssembly.Module(bundle.wasm as Uint8Array<ArrayBuffer>),
    data: JSON.stringify(bundle.data),
    outputs: bundle.outputs,
  },
  { maxPages: 2048, builtin: (name) => builtinOf(name, () => () => undefined), onStep: () => undefined },
);
const input = inputOf(OBJECTS);
let least = Number.POSITIVE_INFINITY;
for (const until = performance.now() + 8000; performance.now() < until;) {
  start = performance.now();
  if (inThread.run(input).length > 0) throw new Error('the example should pass');
  least = Math.min(least, performance.now() - start);
}
const kilobytes = (JSON.stringify(change).length / 1000).toFixed(1);
console.log(
  `one object of ${kilobytes} kB            ${Math.round((least * 1000) / OBJECTS)} µs, change-scoped rules over all included`,
);

const pool = new RegoEvaluator();
let most = 0;
const inputs = Array<string>(500).fill(inputOf(4));
for (const until = performance.now() + 8000; performance.now() < until;) {
  start = performance.now();
  await pool.evaluateMany(bundle, inputs);
  most = Math.max(most, (inputs.length / (performance.now() - start)) * 1000);
}
console.log(`pool of 2, changes of 4 objects ${Math.round(most)} changes/s, ${Math.round(most * 4)} objects/s`);
await pool.close();
rmSync(folder, { recursive: true });
