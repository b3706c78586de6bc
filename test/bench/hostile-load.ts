// The attacker of hostile.bench.ts, in a thread of its own: what it costs to attack is not the service's.
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const { url, requests, atOnce, sent } = workerData as {
  url: string;
  requests: number;
  atOnce: number;
  sent: Int32Array;
};
const { port } = new URL(url);
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
  const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body });
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

let answered = 0;
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    while (Atomics.add(sent, 0, 1) < requests) {
      const status = await attacks[random(attacks.length)]();
      if (status >= 500 || status === 200) answered += 1;
    }
  }),
);
parentPort!.postMessage(answered);
