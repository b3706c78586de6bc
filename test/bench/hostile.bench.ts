// 10,000 requests as an attacker sends them, while one legitimate client asks for a list: its p99 with and without them, in one run.
// Malformed, oversized, deep, slow and unauthorised ones, by a fixed seed. The service must answer all of them with a refusal, grow
// no more than a little, and be well afterwards.
import { connect } from 'node:net';
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
const { port } = new URL(api.url);
let seed = 20_261_121;
const random = (below: number): number => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
};
const deep = (n: number): string => (n === 0 ? 'id' : `change { decisions { ${deep(n - 1)} } }`);
const post = async (body: string, token: string | null): Promise<number> => {
  const headers = {
    'content-type': 'application/json',
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
  };
  const response = await fetch(`${api.url}/graphql`, { method: 'POST', headers, body });
  await response.arrayBuffer();
  return response.status;
};
const query = (text: string, token: string | null = 'cs_bo'): Promise<number> =>
  post(JSON.stringify({ query: text }), token);
/** A body that comes byte by byte and never ends. */
const slow = (): Promise<number> =>
  new Promise((resolve) => {
    const socket = connect(Number(port), '127.0.0.1', () => {
      socket.write(
        'POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{',
      );
      setTimeout(() => socket.destroy(), 200);
    });
    socket
      .on('error', () => undefined)
      .on('close', () => resolve(0))
      .resume();
  });
const attacks: readonly (() => Promise<number>)[] = [
  () => query('{ repositories { name } }', null),
  () => query('{ repositories { name } }', `cs_${random(1e9)}`),
  () => query('{ repositories { name } }', `${random(1e9)}.${random(1e9)}.x`),
  () => post('{"query": "{', 'cs_bo'),
  () => post(`{"query": "# ${'x'.repeat(100_000)}"}`, 'cs_bo'),
  () => query(`{ ${'a '.repeat(3_000)} }`),
  () => query(`{ decisions(first: 1) { nodes { ${deep(10)} } } }`),
  () => query(`{ decisions(after: "forged${random(1e9)}") { totalCount } }`),
  () => query('{ changes(first: 500) { nodes { objectChanges(first: 500) { nodes { op } } } } }'),
  () => query(`{ entries(first: ${random(500)}) { nodes { leafHash } } }`),
  slow,
];

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

await p99(100);
const quiet = await p99(300);
const before = process.memoryUsage().rss;
const done = { sent: 0 };
let answered = 0;
const attack = Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (done.sent < REQUESTS) {
      done.sent += 1;
      const status = await attacks[random(attacks.length)]();
      if (status >= 500 || status === 200) answered += 1;
    }
  }),
);
const loud: number[] = [];
while (done.sent < REQUESTS) loud.push(await p99(50));
await attack;
const worst = quantile(loud, 0.5);
const after = process.memoryUsage().rss;
console.log(`hostile: ${done.sent} requests, ${AT_ONCE} at once, ${answered} not refused`);
console.log(`hostile: legitimate p99 ${quiet.toFixed(1)} ms quiet, ${worst.toFixed(1)} ms under load`);
figure('legitimate p99 under hostile load, of the quiet one', '<=', 2, worst / quiet, '');
figure('requests that were not refused', '<=', 0, answered, '');
figure('growth of memory, client included', '<', 100, (after - before) / 2 ** 20, 'MiB');
await api.close();
process.exit();
