// One object of about 4 kB under 20 rules in the spirit of the Pod Security Standards, in one thread: what an evaluating thread runs against
// OPA's own interpreter with a prepared query, JSON in and results out on both sides. Twice: with the containers in an array, and in a
// set, as many write it. Rounds alternate, so whatever else the machine does meets both. `--profile` runs ours alone for a while.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type * as RegistryModule from '../../src/adapters/opa/builtins/registry.js';
import type * as CompilerModule from '../../src/adapters/opa/compiler.js';
import type * as EvaluationModule from '../../src/adapters/opa/evaluation.js';

const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { builtinOf } = (await built('adapters/opa/builtins/registry')) as typeof RegistryModule;
const { RegoCompiler } = (await built('adapters/opa/compiler')) as typeof CompilerModule;
const { Evaluation } = (await built('adapters/opa/evaluation')) as typeof EvaluationModule;

const ROUNDS = process.argv.includes('--quick') ? 20 : 100;
const ROUND_MS = 30;
const rules = new URL('pod-rules/', import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));

const container = (name: string) => ({
  name,
  image: `registry.example.org/shop/${name}@sha256:${'a'.repeat(64)}`,
  env: [...Array(10).keys()].map((i) => ({ name: `SETTING_${i}`, value: `some value of this setting ${i}` })),
  ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
  securityContext: {
    runAsNonRoot: true,
    // The one thing that is wrong, so that a message is written and a result read.
    readOnlyRootFilesystem: name !== 'logs',
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  },
  livenessProbe: { httpGet: { path: '/live', port: 'http' } },
  readinessProbe: { httpGet: { path: '/ready', port: 'http' } },
  volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
});
const object = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'cart' };
const labels = { 'app.kubernetes.io/name': 'cart', 'app.kubernetes.io/part-of': 'shop', team: 'payments' };
const after = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'cart', namespace: 'shop', labels },
  spec: {
    replicas: 3,
    selector: { matchLabels: { 'app.kubernetes.io/name': 'cart' } },
    template: {
      metadata: { labels },
      spec: {
        securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
        containers: ['cart', 'proxy', 'logs'].map(container),
        volumes: [{ name: 'tmp', emptyDir: {} }],
      },
    },
  },
};
const change = { op: 'create', object, before: null, after, patch: [], source: { path: 'cart.yaml', line: 1 } };
const input = JSON.stringify({
  time: '2026-03-02T09:05:00.000Z',
  environment: { name: 'shop/production' },
  operation: 'push',
  commits: [],
  changes: [change],
  approvals: [],
});

interface Contestant {
  readonly name: string;
  /** Microseconds of each evaluation in one round. */
  round(): Promise<number[]>;
}

const compiler = new RegoCompiler();

async function ours(files: ReadonlyMap<string, string>): Promise<Contestant & { messages(): string[]; close(): void }> {
  const bundle = await compiler.compile({ files, data: {} });
  const evaluation = new Evaluation(
    {
      module: new WebAssembly.Module(bundle.wasm as Uint8Array<ArrayBuffer>),
      data: JSON.stringify(bundle.data),
      outputs: bundle.outputs,
    },
    { maxPages: 2048, builtin: (name) => builtinOf(name, () => () => undefined), onStep: () => undefined },
  );
  return {
    name: 'ours',
    async round() {
      const times: number[] = [];
      for (const end = performance.now() + ROUND_MS; performance.now() < end;) {
        const start = performance.now();
        evaluation.run(input);
        times.push((performance.now() - start) * 1000);
      }
      return times;
    },
    messages: () => evaluation.run(input).map((result) => result.value as string),
    close: () => undefined,
  };
}

async function native(
  files: ReadonlyMap<string, string>,
): Promise<Contestant & { messages(): string[]; close(): void }> {
  const build = fileURLToPath(new URL('../support/build-cached.sh', import.meta.url));
  execFileSync(build, ['native-opa', join(folder, 'native-opa')], { stdio: 'inherit' });
  const packages = [...files.keys()].filter((file) => !/lib|containers/.test(file)).map((file) => file.slice(0, -5));
  const run = `package run\n\nresult := [${packages.map((name) => `data.countersign.bench.${name}.deny`).join(', ')}]\n`;
  const job = { files: { ...Object.fromEntries(files), 'run.rego': run }, query: 'data.run.result', input };
  writeFileSync(join(folder, 'job.json'), JSON.stringify(job));
  const child = spawn(join(folder, 'native-opa'), [join(folder, 'job.json')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let last: string[][] = [];
  return {
    name: 'native OPA',
    async round() {
      child.stdin.write('40\n');
      const { value } = (await lines.next()) as { value: string };
      const { nanoseconds, result } = JSON.parse(value) as { nanoseconds: number[]; result: string[][] };
      last = result;
      return nanoseconds.map((n) => n / 1000);
    },
    messages: () => last.flat(),
    close: () => child.kill(),
  };
}

function quantile(times: readonly number[], q: number): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * q)];
}

console.log(`one object of ${(JSON.stringify(after).length / 1000).toFixed(1)} kB, 20 rules, one thread; µs`);
for (const [style, least] of [
  ['array', 6],
  ['set', 2],
] as const) {
  const other = style === 'array' ? 'containers-set.rego' : 'containers-array.rego';
  const names = readdirSync(rules).filter((name) => name !== other);
  const files = new Map(names.map((name) => [name, readFileSync(new URL(name, rules), 'utf8')]));
  const contestants = [await ours(files), await native(files)];
  const times = contestants.map((): number[] => []);
  for (const contestant of contestants) for (let i = 0; i < 10; i++) await contestant.round(); // warm
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, contestant] of contestants.entries()) times[i].push(...(await contestant.round()));
  }
  const [found, expected] = contestants.map((contestant) => contestant.messages().toSorted().join('\n'));
  if (found !== expected || found === '') throw new Error(`they disagree:\n${found}\nagainst\n${expected}`);
  for (const [i, { name }] of contestants.entries()) {
    const [minimum, quarter, median] = [0, 0.25, 0.5].map((q) => quantile(times[i], q).toFixed(0).padStart(6));
    console.log(`${style.padEnd(6)} ${name.padEnd(12)} least ${minimum}   quarter ${quarter}   median ${median}`);
  }
  const [byLeast, byQuarter] = [0, 0.25].map((q) => quantile(times[1], q) / quantile(times[0], q));
  console.log(
    `${style.padEnd(6)} native/ours  least ${byLeast.toFixed(1)}    quarter ${byQuarter.toFixed(1)}    to be at least ${least}`,
  );
  for (const contestant of contestants) contestant.close();
}
await compiler.close();
rmSync(folder, { recursive: true });
