// A page of 100 decisions, 10 fields and two looked-up ones each, over HTTP from 8 clients, on the embedded PostgreSQL with 20,000
// decisions. CPU time of the service's process is what another machine can be held to. Usage: node test/bench/graphql.bench.ts
import { mkdtemp, rm } from 'node:fs/promises';
import { request, Agent } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chmod } from 'node:fs/promises';
import type * as AppModule from '../../src/app.module.js';
import type * as CookiesModule from '../../src/api/cookies.js';
import type * as HttpModule from '../../src/api/http.js';
import type * as MetricsModule from '../../src/api/metrics.js';
import type * as CommentaryModule from '../../src/commentary.js';
import type * as ConnectModule from '../../src/adapters/postgres/connect.js';
import type * as KeysModule from '../../src/adapters/keys/file.js';
import type * as AccessModule from '../../src/api/access.js';
import type * as LedgerModule from '../../src/adapters/postgres/ledger.js';
import type * as PopulationsModule from '../../src/adapters/postgres/populations.js';
import type * as ReportsModule from '../../src/report/reports.js';
import type * as QueriesModule from '../../src/adapters/postgres/queries.js';
import type * as StatisticsModule from '../../src/adapters/postgres/statistics.js';

const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { AppModule: App } = (await built('app.module')) as typeof AppModule;
const { Cookies } = (await built('api/cookies')) as typeof CookiesModule;
const { createHttp } = (await built('api/http')) as typeof HttpModule;
const { createMetrics, requestHistogram } = (await built('api/metrics')) as typeof MetricsModule;
const { createLogger } = (await built('commentary')) as typeof CommentaryModule;
const { openDatabase } = (await built('adapters/postgres/connect')) as typeof ConnectModule;
const { openKeys } = (await built('adapters/keys/file')) as typeof KeysModule;
const { openLedger } = (await built('adapters/postgres/ledger')) as typeof LedgerModule;
const { PostgresPopulations } = (await built('adapters/postgres/populations')) as typeof PopulationsModule;
const { LoggedReports } = (await built('report/reports')) as typeof ReportsModule;
const { PostgresQueries } = (await built('adapters/postgres/queries')) as typeof QueriesModule;
const { PostgresStatistics } = (await built('adapters/postgres/statistics')) as typeof StatisticsModule;

const { Access } = (await built('api/access')) as typeof AccessModule;

const ROWS = 20_000;
const CLIENTS = 8;
const REQUESTS = 400;
const root = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
await chmod(root, 0o711);
const data = join(root, 'data');
const dataSource = await openDatabase({ data });
const keys = await openKeys({ data, origin: 'bench.example.org/log' });
const ledger = await openLedger({ dataSource, keys, dataDir: data });
await dataSource.query(`
  INSERT INTO change SELECT 'change-' || n, 'shop', 'shop/production', 'push', 'refs/heads/main', 'push-1', null, lpad(to_hex(n), 40, '0'),
    'tree', '[]', 1, 'digest', 0, '[]', timestamptz '2026-01-01' + n * interval '1 minute' FROM generate_series(1, ${ROWS}) n`);
await dataSource.query(`
  INSERT INTO decision SELECT 'decision-' || n, 'change-' || n, 'shop', 'shop/production', CASE WHEN n % 3 = 0 THEN 'deny' ELSE 'allow' END,
    '[]', '[]', '[]', 8, 8, null, 'b', 'w', 'i', 'r', timestamptz '2026-01-01' + n * interval '1 minute', 3, null
  FROM generate_series(1, ${ROWS}) n`);
await dataSource.query('ANALYZE');

const logger = createLogger('error');
const queries = new PostgresQueries(dataSource);
const state = {
  version: 'bench',
  startedAt: new Date().toISOString(),
  vkey: keys.log.vkey,
  ledger,
  accessList: () => Promise.reject(new Error('none here')),
  ping: () => queries.ping(),
  ready: () => Promise.resolve({ ok: true, reasons: [] }),
  explain: () => Promise.resolve([]),
  blame: () => Promise.reject(new Error('none here')),
  promotion: () => Promise.reject(new Error('none here')),
  holdings: () => null,
  controls: () => Promise.resolve(null),
  tags: () => Promise.resolve([]),
  orphans: () => Promise.resolve([]),
  impact: () => Promise.reject(new Error('none here')),
  targets: () => [],
  notifications: () => Promise.resolve([]),
  exports: () => Promise.resolve([]),
  instances: () => Promise.resolve([]),
};
const statistics = new PostgresStatistics(dataSource, queries);
const reports = new LoggedReports({
  ledger,
  populations: new PostgresPopulations(dataSource),
  statistics,
  queries,
  version: 'bench',
  bundle: () => Promise.reject(new Error('none here')),
  summary: () => Promise.resolve(null),
  catalogues: () => Promise.resolve([]),
  print: () => Promise.reject(new Error('none here')),
});
const metrics = createMetrics(state, queries);
const logFiles = {
  public: false,
  checkpoint: () => ledger.checkpoint(),
  tile: () => Promise.resolve(undefined),
};
const log = { refused: () => Promise.resolve(), granted: () => Promise.resolve() };
const nobody = (): Promise<never> => Promise.reject(new Error('none here'));
const approving = { log, approvals: { approve: nobody, withdraw: nobody } };
const access = new Access({ tokens: [], anonymous: true, log });
const signing = { cookies: new Cookies(false), origin: () => '', signIn: null };
const module = App.of({ state, queries, statistics, reports, metrics, logFiles, logger, access, approving, signing });
const app = await createHttp(module, {
  logger,
  requests: requestHistogram(metrics),
  door: { access, publicLog: false },
});
await app.listen(0, '127.0.0.1');
const { port } = app.getHttpServer().address() as AddressInfo;
const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });

function ask(query: string, variables: object): Promise<number> {
  const body = JSON.stringify({ query, variables });
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        port,
        host: '127.0.0.1',
        path: '/graphql',
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json' },
      },
      (answer) => {
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => (bytes += chunk.length));
        answer.on('end', () =>
          answer.statusCode === 200 ? resolve(bytes) : reject(new Error(`status ${answer.statusCode}`)),
        );
      },
    );
    asked.on('error', reject).end(body);
  });
}

async function measure(name: string, query: string): Promise<void> {
  const cursors = Array.from({ length: REQUESTS }, (_, i) => cursor(ROWS - ((i * 97) % (ROWS - 200))));
  for (let i = 0; i < 20; i++) await ask(query, { after: cursors[i] });
  const times: number[] = [];
  const cpu = process.cpuUsage();
  const started = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (next < REQUESTS) {
        const begun = performance.now();
        await ask(query, { after: cursors[next++] });
        times.push(performance.now() - begun);
      }
    }),
  );
  const took = performance.now() - started;
  const { user, system } = process.cpuUsage(cpu);
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): string => sorted[Math.floor(sorted.length * share)].toFixed(1).padStart(7);
  const each = ((user + system) / 1_000 / REQUESTS).toFixed(1).padStart(6);
  console.log(
    `${name.padEnd(44)} ${((REQUESTS / took) * 1_000).toFixed(0).padStart(5)}/s  ${each} ms CPU each (client's share in it)  p50 ${at(0.5)}  p99 ${at(0.99)} ms`,
  );
}

const cursor = (n: number): string => {
  const time = new Date(Date.UTC(2026, 0, 1, 0, n)).toISOString();
  return Buffer.from(JSON.stringify(['decision', time, `decision-${n}`])).toString('base64url');
};
const fields = 'id outcome repository environment rulesRun rulesPassed bundleDigest time milliseconds index';
await measure(
  '100 decisions, 10 fields',
  `query ($after: String) { decisions(first: 100, after: $after) { nodes { ${fields} } } }`,
);
await measure(
  '100 decisions, 10 fields, change looked up',
  `query ($after: String) { decisions(first: 100, after: $after) { nodes { ${fields} change { head } } } }`,
);
await measure('1 decision', `query ($after: String) { decisions(first: 1, after: $after) { nodes { ${fields} } } }`);
await measure(
  'totals of a filtered list',
  `query ($after: String) { decisions(first: 1, after: $after, filter: {outcome: [deny]}) { totalCount } }`,
);

agent.destroy();
await app.close();
await ledger.close();
await dataSource.destroy();
await rm(root, { recursive: true, force: true });
