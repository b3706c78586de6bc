// 10,000 requests as an attacker sends them, while one legitimate client asks for a list: its p99 with and without them, in one run.
// Malformed, oversized, deep, slow and unauthorised ones, by a fixed seed. The service must answer all of them with a refusal, keep
// nothing of them, and be well afterwards.
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { startApi } from '../support/api.js';
import { seedShop } from '../support/shop.js';
import { figure, quantile } from './figure.js';
import { tokenDigest } from '../../src/review/token.js';

const REQUESTS = Number(process.env['REQUESTS'] ?? 10_000);
const AT_ONCE = 8;
const place = { repositories: ['*'], environments: ['*'], expires: '2099-01-01T00:00:00Z' };
const api = await startApi({
  anonymous: false,
  tokens: [{ name: 'bo', login: 'bo', role: 'viewer', sha256: tokenDigest('cs_bo'), ...place }],
});
await seedShop(api, 300);
const query = async (text: string): Promise<number> => {
  const headers = { 'content-type': 'application/json', authorization: 'Bearer cs_bo' };
  const response = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ query: text }),
  });
  await response.arrayBuffer();
  return response.status;
};

/** Milliseconds that 99 of 100 questions take no longer than. */
async function p99(count: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    const status = await query('{ decisions(first: 100) { nodes { id outcome change { head } } } }');
    if (status !== 200) throw new Error(`a legitimate request got ${status}`);
    times.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return times.toSorted((a, b) => a - b)[Math.floor(count * 0.99)];
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
/** MiB that this thread, which is the service's and not the attacker's, still uses once nothing is left to collect. */
function kept(): number {
  api.logged.length = 0; // the test's own copy of what the service says
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

await p99(100);
const quiet = await p99(300);
const before = kept();
const sent = new Int32Array(new SharedArrayBuffer(4));
const load = new Worker(new URL('./hostile-load.ts', import.meta.url), {
  workerData: { url: api.url, requests: REQUESTS, atOnce: AT_ONCE, sent },
});
const [attack, failed] = [once(load, 'message'), once(load, 'error')];
void failed.then(([error]) => {
  throw error;
}, () => undefined); // prettier-ignore
const loud: number[] = [];
while (Atomics.load(sent, 0) < REQUESTS) loud.push(await p99(50));
const [answered] = (await attack) as [number];
const worst = quantile(loud, 0.5);
const after = kept();
console.log(`hostile: ${REQUESTS} requests, ${AT_ONCE} at once, ${answered} not refused`);
console.log(`hostile: legitimate p99 ${quiet.toFixed(1)} ms quiet, ${worst.toFixed(1)} ms under load`);
figure('legitimate p99 under hostile load, of the quiet one', '<=', 2, worst / quiet, '');
figure('requests that were not refused', '<=', 0, answered, '');
figure('memory that the service kept of them', '<', 20, after - before, 'MiB');
await api.close();
process.exit();
