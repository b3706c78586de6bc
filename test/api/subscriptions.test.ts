import { type Client, createClient } from 'graphql-ws';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { most } from '../../src/api/sockets.js';
import type { DecisionRecord } from '../../src/review/records.js';
import { type KnownToken, tokenDigest } from '../../src/review/token.js';
import { startApi, type TestApi } from '../support/api.js';
import { seedShop } from '../support/shop.js';

const token = (name: string, repositories: string[], expires: string): KnownToken => {
  const sha256 = tokenDigest(`cs_${name}`);
  return { name, login: name, role: 'viewer', sha256, repositories, environments: ['*'], expires };
};
const late = '2099-01-01T00:00:00Z';
const soon = new Date(Date.now() + 12_000).toISOString();

let api: TestApi;
let some: DecisionRecord;
let clients: Client[] = [];
let count = 0;

beforeAll(async () => {
  const tokens = [token('all', ['*'], late), token('pay', ['pay'], late), token('brief', ['*'], soon)];
  api = await startApi({ anonymous: false, tokens });
  await seedShop(api, 3);
  const [environment] = await api.records.find('environment', {});
  await api.ledger.record((transaction) =>
    api.records.save(transaction, 'environment', [{ ...environment, repository: 'pay', name: 'pay/production' }]),
  );
  [some] = await api.records.find('decision', { id: 'decision-1' });
}, 120_000);
afterEach(async () => {
  for (const client of clients.splice(0)) await client.dispose();
});
afterAll(() => api.close());

const address = (): string => `${api.url.replace('http', 'ws')}/graphql`;
const connect = (name = 'all', closed?: (event: { code: number; reason: string }) => void): Client => {
  const client = createClient({
    url: address(),
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer cs_${name}` },
    retryAttempts: 0,
    lazy: true,
    on: closed ? { closed: (event) => closed(event as never) } : {},
  });
  clients.push(client);
  return client;
};

/** A decision as the service records it; its index. */
async function decide(repository: string, outcome: 'allow' | 'deny' = 'allow', more: object = {}): Promise<number> {
  const id = `told-${(count += 1)}`;
  const environment = `${repository}/production`;
  const { entries } = await api.ledger.record(async (transaction) => {
    await api.records.save(transaction, 'decision', [{ ...some, id, repository, environment, outcome, index: null, ...more }]); // prettier-ignore
    transaction.append({ type: 'decision', subjects: [], predicate: { id, repository, environment, outcome } });
  });
  await api.records.update('decision', { id }, { index: entries[0].index });
  return entries[0].index;
}

type Next = { data: Record<string, Record<string, unknown>> };
const listen = (client: Client, query: string) =>
  client.iterate({ query })[Symbol.asyncIterator]() as unknown as AsyncGenerator<Next>;
const next = async (told: AsyncGenerator<Next>, field: string) => (await told.next()).value.data[field];
const refusal = async (client: Client, query: string): Promise<string> => {
  const found: unknown = await listen(client, query)
    .next()
    .catch((thrown: unknown) => thrown);
  const { code, reason } = found as { code?: number; reason?: string };
  return code === undefined ? JSON.stringify(found) : `${code} ${reason}`;
};

describe('a subscription', () => {
  const DECISIONS = 'decisionRecorded { index outcome environment entry { type } }';

  it('hears of each decision when it is in the log, in order, and goes on where it left', async () => {
    const client = connect();
    const first = await decide('shop');
    const told = listen(client, `subscription { ${DECISIONS.replace('{', `(after: ${first - 1}) {`)} }`);
    expect(await next(told, 'decisionRecorded')).toEqual({ index: first, outcome: 'allow', environment: 'shop/production', entry: { type: 'decision' } }); // prettier-ignore
    const waiting = next(told, 'decisionRecorded');
    const second = await decide('shop', 'deny');
    expect(await waiting).toMatchObject({ index: second, outcome: 'deny' });
    await told.return(undefined);
    const [third, fourth] = [await decide('shop'), await decide('shop')];
    const again = listen(client, `subscription { decisionRecorded(after: ${second}) { index } }`);
    expect([await next(again, 'decisionRecorded'), await next(again, 'decisionRecorded')]).toEqual([{ index: third }, { index: fourth }]); // prettier-ignore
  });

  it('hears of what was asked for, and of what its token may see, and of nothing else', async () => {
    const start = (await api.ledger.size()) - 1;
    const all = listen(connect(), `subscription { decisionRecorded(repository: "pay", after: ${start}) { index } }`);
    const bounded = listen(connect('pay'), `subscription { decisionRecorded(after: ${start}) { index environment } }`);
    await decide('shop');
    const index = await decide('pay');
    expect(await next(all, 'decisionRecorded')).toEqual({ index });
    expect(await next(bounded, 'decisionRecorded')).toEqual({ index, environment: 'pay/production' });
    expect(await refusal(connect('pay'), 'subscription { decisionRecorded { entry { envelope } nothing } }')).toContain(
      'nothing',
    );
  });

  it('tells how an environment is, and again when that is another', async () => {
    const told = listen(connect(), 'subscription { environmentChanged(repository: "shop") { name status trouble { code } } }'); // prettier-ignore
    expect(await next(told, 'environmentChanged')).toMatchObject({ name: 'shop/production', status: 'synced' });
    const waiting = next(told, 'environmentChanged');
    await api.records.update('environment', { repository: 'shop', name: 'shop/production' }, { status: 'degraded' });
    expect(await waiting).toMatchObject({ name: 'shop/production', status: 'degraded' });
  });

  it('is shown in the docs as it works', async () => {
    const [, query] = /```graphql\n(subscription[\s\S]+?)```/.exec(readFileSync('docs/subscriptions.md', 'utf8'))!;
    const told = connect().iterate({ query, variables: { after: (await api.ledger.size()) - 1 } });
    const waiting = told[Symbol.asyncIterator]().next();
    const index = await decide('shop', 'deny');
    expect(await waiting).toMatchObject({ value: { data: { decisionRecorded: { index, outcome: 'deny' } } } });
  });
});

describe('a socket', () => {
  it.each(['nobody', 'old'])('of %s is closed with 4401', async (name) => {
    const { promise, resolve } = Promise.withResolvers<{ code: number }>();
    await refusal(connect(name, resolve), 'subscription { decisionRecorded { index } }');
    expect((await promise).code).toBe(4401);
  });

  it('takes subscriptions only, and HTTP takes none', async () => {
    expect(await refusal(connect(), '{ service { version } }')).toContain('only subscriptions are asked here');
    const { status, errors } = await api.query('subscription { decisionRecorded { index } }', {}, 'cs_all');
    expect([status, JSON.stringify(errors)]).toEqual([400, expect.stringContaining('takes a WebSocket')]);
  });

  it('is held to what queries are held to', async () => {
    const deep = `decisionRecorded { change { decisions { ${'change { decisions { '.repeat(8)}id${' } }'.repeat(8)} } } }`;
    expect(await refusal(connect(), `subscription { ${deep} }`)).toContain('fields deep');
    expect(await refusal(connect(), `subscription { ${'a'.repeat(70_000)} }`)).toContain('1009');
    expect(await refusal(connect(), 'subscription { nothing }')).toContain('Cannot query field');
  });

  it.each([
    ['/graphql', { origin: 'https://elsewhere.example' }, 403],
    ['/graphql', { host: 'elsewhere.example' }, 421],
    ['/log/checkpoint', {}, 404],
  ])('at %s with %j is refused', async (path, headers, status) => {
    const socket = new WebSocket(`${api.url.replace('http', 'ws')}${path}`, 'graphql-transport-ws', { headers });
    const [answer] = await new Promise<[string]>((resolve) =>
      socket.once('error', ({ message }) => resolve([message])),
    );
    expect(answer).toContain(String(status));
  });

  it('has so many subscriptions and no more', async () => {
    const client = connect();
    const many = Array.from({ length: most.subscriptions }, () => listen(client, 'subscription { decisionRecorded { index } }')); // prettier-ignore
    const waiting = many.map((one) => one.next());
    await sleep(100);
    expect(await refusal(client, 'subscription { decisionRecorded { index } }')).toContain('at most 20 subscriptions');
    await decide('shop');
    await Promise.all(waiting);
  });

  it('that takes nothing is dropped with a code that says so', async () => {
    const violation = { ...some.violations[0], message: 'x'.repeat(400_000) };
    const start = await api.ledger.size();
    for (let i = 0; i < 8; i += 1) await decide('shop', 'deny', { violations: [violation] });
    const socket = new WebSocket(address(), 'graphql-transport-ws');
    const closed = new Promise<[number, string]>((resolve) =>
      socket.once('close', (code, reason) => resolve([code, reason.toString()])),
    );
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: 'Bearer cs_all' } }));
    await new Promise((resolve) => socket.once('message', resolve));
    socket.pause();
    const query = `subscription { decisionRecorded(after: ${start - 1}) { index violations { message } } }`;
    for (let i = 0; i < most.subscriptions; i += 1)
      socket.send(JSON.stringify({ type: 'subscribe', id: String(i), payload: { query } }));
    const until = Date.now() + 30_000;
    while (!api.logged.some((line) => line.includes('too slow'))) {
      if (Date.now() > until) throw new Error('it was not dropped');
      await sleep(50);
    }
    socket.resume();
    expect(await closed).toEqual([4413, 'too slow: go on with after']);
  }, 60_000);

  it('ends when its token does', async () => {
    const { promise, resolve } = Promise.withResolvers<{ code: number; reason: string }>();
    void refusal(connect('brief', resolve), 'subscription { decisionRecorded { index } }');
    expect(await promise).toMatchObject({ code: 4401, reason: expect.stringContaining('expired') as string });
  }, 60_000);
});
