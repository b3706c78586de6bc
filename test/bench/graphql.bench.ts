// A page of 100 decisions, 10 fields of each, and the change of each looked up, over HTTP from 8 clients: from the service, and in turns with
// it from a bare Mercurius with jit on Fastify that answers the same from the same tables through TypeORM and a loader. The service's rate
// is to be at least half of that. CPU time is of both sides, the clients' included. Usage:
// node --import ./test/support/typescript.js test/bench/graphql.bench.ts [decisions]
import fastify from 'fastify';
import mercurius from 'mercurius';
import { Agent, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openDatabase } from '../../src/adapters/postgres/connect.js';
import { schemas } from '../../src/adapters/postgres/schemas.js';
import { startApi } from '../support/api.js';
import { startPostgres } from '../support/postgres.js';
import { figure, quantile } from './figure.js';
import { decidedAt, decisionId, fillDecisions } from './many-decisions.js';

const [CLIENTS, REQUESTS, ROUNDS] = [8, 200, 5];
const count = Number(process.argv[2] ?? 20_000);
const server = await startPostgres();
const database = await server.database();
const filling = await openDatabase({ url: database });
await fillDecisions(filling, count);
await filling.destroy();
const api = await startApi({ database });
const ids = (await api.dataSource.query<{ id: string }[]>(`SELECT ${decisionId('n')} AS id FROM generate_series(0, $1::int) n`, [count - 1])).map(({ id }) => id); // prettier-ignore
const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });

/** The least that a service of the same libraries does for such a list. */
const bare = fastify();
const decisions = api.dataSource.getRepository(schemas.decision);
const changes = api.dataSource.getRepository(schemas.change);
await bare.register(mercurius as never, {
  jit: 1,
  schema: `
    type Query { decisions(first: Int!, after: String): DecisionConnection! }
    type DecisionConnection { nodes: [Decision!]! }
    type Change { head: String! }
    type Decision { id: ID! outcome: String! repository: String! environment: String! rulesRun: Int! rulesPassed: Int! bundleDigest: String! time: String!
      milliseconds: Int! index: Float change: Change }`,
  resolvers: {
    Query: {
      decisions: async (_: unknown, { first, after }: { first: number; after: string }) => {
        const [, time, id] = JSON.parse(Buffer.from(after, 'base64url').toString()) as [string, string, string];
        const query = decisions.createQueryBuilder('row').where('row.time <= :time AND (row.time < :time OR (row.time = :time AND row.id > :id))', { time, id }); // prettier-ignore
        return { nodes: await query.orderBy('row.time', 'DESC').addOrderBy('row.id', 'ASC').limit(first).getMany() };
      },
    },
  },
  loaders: {
    Decision: {
      change: async (asked: readonly { obj: { change: string } }[]) => {
        const query = changes.createQueryBuilder('row').where('row.id = ANY(:ids)', { ids: asked.map(({ obj }) => obj.change) }); // prettier-ignore
        const found = new Map((await query.getMany()).map((row) => [row.id, row]));
        return asked.map(({ obj }) => found.get(obj.change) ?? null);
      },
    },
  },
});
await bare.listen({ port: 0, host: '127.0.0.1' });
const bareUrl = `http://127.0.0.1:${(bare.server.address() as AddressInfo).port}`;

function ask(url: string, query: string, variables: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const asked = request(`${url}/graphql`, { method: 'POST', agent, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (answer.statusCode === 200 && !text.includes('"errors"')) resolve(text);
        else reject(new Error(`status ${answer.statusCode}: ${text.slice(0, 500)}`));
      });
    });
    asked.on('error', reject).end(JSON.stringify({ query, variables }));
  });
}

const fields = 'id outcome repository environment rulesRun rulesPassed bundleDigest time milliseconds index';
const query = `query ($after: String) { decisions(first: 100, after: $after) { nodes { ${fields} change { head } } } }`;
const plain = `query ($after: String) { decisions(first: 100, after: $after) { nodes { ${fields} } } }`;
const cursor = (i: number): string => {
  const n = count - 1 - ((i * 97) % (count - 200));
  return Buffer.from(JSON.stringify(['decision', decidedAt(n), ids[n]])).toString('base64url');
};

interface Rate {
  readonly perSecond: number;
  readonly cpu: number;
}

async function rate(url: string, text: string): Promise<Rate> {
  let next = 0;
  const cpu = process.cpuUsage();
  const began = performance.now();
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (next < REQUESTS) await ask(url, text, { after: cursor(next++) });
    }),
  );
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: REQUESTS / seconds, cpu: (user + system) / 1_000 / REQUESTS };
}

const [mine, theirs] = [
  await ask(api.url, query, { after: cursor(7) }),
  await ask(bareUrl, query, { after: cursor(7) }),
];
if (mine !== theirs) throw new Error(`they answer differently:\n${mine.slice(0, 600)}\n${theirs.slice(0, 600)}`);
for (const [what, text] of [
  ['one nested field', query],
  ['no nested field', plain],
] as const) {
  const both: { own: Rate; bare: Rate }[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const own = await rate(api.url, text);
    const other = await rate(bareUrl, text);
    if (round > 0) both.push({ own, bare: other });
    api.statements();
  }
  const median = (of: (pair: (typeof both)[number]) => number): number => quantile(both.map(of), 0.5);
  console.log(`100 decisions, ${what}: ${median(({ own }) => own.perSecond).toFixed(0)}/s with ${median(({ own }) => own.cpu).toFixed(1)} ms of CPU each, bare ${median((pair) => pair.bare.perSecond).toFixed(0)}/s with ${median((pair) => pair.bare.cpu).toFixed(1)} ms`); // prettier-ignore
  if (text === query) {
    figure('rate of a list of 100 with a nested field, of the bare stack’s', '>=', 0.5, median(({ own, bare: other }) => own.perSecond / other.perSecond), ''); // prettier-ignore
    figure(
      'the same by CPU time',
      '>=',
      0.5,
      median(({ own, bare: other }) => other.cpu / own.cpu),
      '',
    );
  }
}
agent.destroy();
await bare.close();
await api.close();
await server.stop();
process.exit();
