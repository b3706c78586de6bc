// Decisions judged again a second of processor time: one object each under the starter rules, leaf hashes recomputed, contents
// checked against their digests, results compared. To be at least 2,000 on one core.
import { createHash } from 'node:crypto';
import type * as CompilerModule from '../../src/adapters/opa/compiler.js';
import type * as EvaluatorModule from '../../src/adapters/opa/evaluator.js';
import type * as CryptoModule from '../../src/audit/crypto.js';
import type * as ReplayModule from '../../src/audit/replay.js';
import type * as StatementModule from '../../src/audit/statement.js';
import type { ContentReference } from '../../src/audit/entry.js';
import type * as CanonicalModule from '../../src/cluster/canonical.js';
import type { Json } from '../../src/cluster/object.js';
import type * as SourcesModule from '../../src/policy/sources.js';

const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { RegoCompiler } = (await built('adapters/opa/compiler')) as typeof CompilerModule;
const { RegoEvaluator } = (await built('adapters/opa/evaluator')) as typeof EvaluatorModule;
const { ed25519Signer, sha256, toHex } = (await built('audit/crypto')) as typeof CryptoModule;
const { Replay } = (await built('audit/replay')) as typeof ReplayModule;
const { entryOf, sealStatement } = (await built('audit/statement')) as typeof StatementModule;
const { canonicalJson } = (await built('cluster/canonical')) as typeof CanonicalModule;
const { policySources } = (await built('policy/sources')) as typeof SourcesModule;

const total = process.argv.includes('--quick') ? 1_000 : 5_000;
const compiler = new RegoCompiler();
const data = { registries: ['registry.example.org'] };
const bundle = await compiler.compile(policySources(new Map(), { profile: 'baseline', data }));
await compiler.close();
const evaluator = new RegoEvaluator({ threads: 1 });
const signer = ed25519Signer(Buffer.alloc(32, 7));

const container = (name: string) => ({
  name,
  image: `registry.example.org/shop/${name}@sha256:${'a'.repeat(64)}`,
  env: Array.from({ length: 10 }, (_, i) => ({ name: `SETTING_${i}`, value: `some value of this setting ${i}` })),
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
});
const inputs = Array.from({ length: total }, (_, n) => {
  const object = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: `cart-${n}` };
  const spec = { containers: ['cart', 'proxy', 'logs'].map(container), hostNetwork: n % 10 === 0 };
  const after = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: object.name },
    spec: { template: { spec } },
  };
  const change = {
    op: 'create',
    object,
    before: null,
    after,
    patch: [],
    source: { path: 'a.yaml', line: 1 },
    live: null,
  };
  return canonicalJson({
    time: '2026-03-02T09:05:00.000Z',
    operation: 'push',
    commits: [],
    changes: [change],
    approvals: [],
  });
});
const results = await evaluator.evaluateMany(bundle, inputs);

const store = new Map<string, Uint8Array>();
function content(mediaType: string, bytes: Uint8Array): ContentReference {
  const digest = toHex(sha256(bytes));
  store.set(digest, bytes);
  return { mediaType, sha256: digest, salted: false };
}
const { wasm, ...rest } = bundle;
const policy = content('application/json', Buffer.from(canonicalJson(rest as unknown as Json)));
const program = content('application/wasm', wasm);
const sealing = inputs.map((input, n) => {
  const result = canonicalJson(results[n] as unknown as Json);
  const contents = {
    wasm: program,
    policy,
    input: content('application/json', Buffer.from(input)),
    result: content('application/json', Buffer.from(result)),
  };
  const predicate = {
    id: `d${n}`,
    outcome: result === '[]' ? 'allow' : 'deny',
    wasmDigest: bundle.wasmDigest,
    bundleDigest: bundle.digest,
  };
  return sealStatement({ type: 'decision', subjects: [], predicate }, '2026-03-02T09:05:00.000Z', contents, signer);
});
const leaves = (await Promise.all(sealing)).map(({ leaf }) => leaf);
const tree = createHash('sha256');
for (const leaf of leaves) tree.update(entryOf(0, leaf).leafHash);
const expected = tree.digest('hex');

for (let round = 0; round < 3; round += 1) {
  const replay = new Replay(evaluator, (reference) => {
    const bytes = store.get(reference.sha256);
    if (bytes && reference !== program && toHex(sha256(bytes)) !== reference.sha256) throw new Error('changed');
    return Promise.resolve(bytes);
  });
  const hashes = createHash('sha256');
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  for (const [index, leaf] of leaves.entries()) {
    const entry = entryOf(index, leaf);
    hashes.update(entry.leafHash);
    await replay.add(entry);
  }
  await replay.flush();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  if (replay.replayed !== total || hashes.digest('hex') !== expected) throw new Error('not all were replayed');
  const [byCore, byClock] = [(user + system) / 1e6, seconds].map((s) => Math.round(total / s));
  console.log(
    `${total} decisions replayed: ${byCore} a second of processor time (to be at least 2000), ${byClock} by the clock`,
  );
}
await evaluator.close();
