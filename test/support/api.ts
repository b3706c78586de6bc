import { allCatalogues } from '../../src/report/controls.js';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { DataSource } from 'typeorm';
import { openKeys } from '../../src/adapters/keys/file.js';
import { openDatabase } from '../../src/adapters/postgres/connect.js';
import { openLedger, type PostgresLedger } from '../../src/adapters/postgres/ledger.js';
import { managementPdf } from '../../src/adapters/pdf/management.js';
import { PostgresConfigurations } from '../../src/adapters/postgres/configurations.js';
import { accessListAt } from '../../src/report/access-list.js';
import { liveInstances } from '../../src/adapters/postgres/instances.js';
import { PostgresPopulations } from '../../src/adapters/postgres/populations.js';
import { PostgresQueries } from '../../src/adapters/postgres/queries.js';
import { PostgresStatistics } from '../../src/adapters/postgres/statistics.js';
import { PostgresSessions } from '../../src/adapters/postgres/sessions.js';
import { PostgresRecords } from '../../src/adapters/postgres/records.js';
import { Access } from '../../src/api/access.js';
import { Cookies } from '../../src/api/cookies.js';
import type { Introspection } from '../../src/api/introspection.js';
import type { KnownQueries } from '../../src/api/known-queries.js';
import { createHttp } from '../../src/api/http.js';
import { createMetrics, requestHistogram } from '../../src/api/metrics.js';
import type { LogFiles, ServiceState } from '../../src/api/state.js';
import { serveSubscriptions } from '../../src/api/sockets.js';
import { Feed } from '../../src/report/feed.js';
import { AppModule } from '../../src/app.module.js';
import { serveTile } from '../../src/audit/serve.js';
import type { KeyRing } from '../../src/audit/keys.js';
import { CountersignError } from '../../src/errors.js';
import type { Rule } from '../../src/policy/decision.js';
import { AccessLog } from '../../src/review/access-log.js';
import { type BrowserSignIn, SignIn } from '../../src/review/sign-in.js';
import type { KnownToken } from '../../src/review/token.js';
import { answerBlame } from '../../src/report/blame-question.js';
import { bundleOf } from '../../src/adapters/evidence/export.js';
import { zipStream } from '../../src/adapters/evidence/zip.js';
import { LoggedReports } from '../../src/report/reports.js';
import { sealSummary } from '../../src/report/vsa.js';
import { startPostgres } from './postgres.js';

export interface Answer<T = Record<string, unknown>> {
  readonly status: number;
  readonly data: T | null;
  readonly errors: readonly { message: string; path?: unknown[]; extensions: Record<string, unknown> }[];
}

/** The API on a real PostgreSQL and a real port, with nothing followed: tests write the records they ask for. */
export interface TestApi {
  readonly url: string;
  /** Its data folder. */
  readonly folder: string;
  readonly ledger: PostgresLedger;
  readonly records: PostgresRecords;
  readonly dataSource: DataSource;
  readonly keys: KeyRing;
  readonly reports: LoggedReports;
  /** Lines that the service logged. */
  readonly logged: string[];
  /** Whether it answers this, as `GET`, `/healthz`. */
  hasRoute(method: string, url: string): boolean;
  reasons: string[];
  /** Statements that PostgreSQL was sent since the last call. */
  statements(): readonly string[];
  query<T = Record<string, unknown>>(
    query: string,
    variables?: Record<string, unknown>,
    token?: string,
  ): Promise<Answer<T>>;
  /** For good; of a server of its own. */
  stopDatabase(): Promise<void>;
  close(): Promise<void>;
}

/** In force: answers no control, so that catalogues stand for themselves. */
const pinned: Rule = { id: 'images.pinned', package: 'countersign.images', name: 'deny', kind: 'deny', scope: 'object', severity: 'high', controls: [], place: { file: 'images.rego' }, starter: true }; // prettier-ignore

const nobody = (): Promise<never> => Promise.reject(new CountersignError('not-found', 'nothing is followed here'));

export interface TestAccess {
  readonly tokens: readonly KnownToken[];
  readonly anonymous: boolean;
  readonly publicLog: boolean;
  readonly introspection: Introspection;
  /** The only queries that are answered. */
  readonly known: KnownQueries;
  /** People sign in with a browser, by this issuer. */
  readonly issuer: BrowserSignIn;
  /** A database that is there already, and stays. */
  readonly database: string;
  /** A database server of its own, which may be stopped. */
  readonly ownServer: boolean;
}

export async function startApi(given: Partial<TestAccess> = {}): Promise<TestApi> {
  const { tokens = [], anonymous = true, publicLog = false } = given;
  const server = given.database === undefined ? await startPostgres({ own: given.ownServer }) : undefined;
  let stopped: Promise<void> | undefined;
  const stopServer = (): Promise<void> => (stopped ??= server?.stop() ?? Promise.resolve());
  const data = mkdtempSync(join(tmpdir(), 'countersign-api-'));
  const dataSource = await openDatabase({ url: given.database ?? (await server!.database()) });
  const keys = await openKeys({ data, origin: 'log.example.org/test' });
  const ledger = await openLedger({ dataSource, keys, dataDir: data });
  const logged: string[] = [];
  const logger = pino({ level: 'debug' }, { write: (line) => void logged.push(line) });
  const reasons: string[] = [];
  const state: ServiceState = {
    version: '0.0.0-test',
    startedAt: '2026-07-01T00:00:00.000Z',
    vkey: keys.log.vkey,
    ledger,
    explain: () => Promise.resolve([]),
    blame: (question, seen) =>
      answerBlame(question, { queries: seen, redact: (object) => object, look: nobody, objectAt: nobody }),
    orphans: () => Promise.resolve([]),
    impact: () => Promise.reject(new Error('none here')),
    promotion: nobody,
    holdings: () => null,
    controls: () => Promise.resolve({ catalogues: allCatalogues(new Map()), rules: [pinned] }),
    tags: () => Promise.resolve([]),
    targets: () => [],
    notifications: () => Promise.resolve([{ destination: 'ops', waiting: 3, failingSince: null }]),
    exports: () => Promise.resolve([]),
    instances: () => liveInstances(dataSource),
    accessList: (at) => accessListAt(at, new PostgresConfigurations(dataSource)),
    ping: () => queries.ping(),
    ready: () => Promise.resolve({ ok: reasons.length === 0, reasons }),
  };
  const queries = new PostgresQueries(dataSource);
  const statistics = new PostgresStatistics(dataSource, queries);
  const reports = new LoggedReports({
    ledger,
    populations: new PostgresPopulations(dataSource),
    statistics,
    queries,
    version: '0.0.0-test',
    bundle: async (reach) => zipStream((await bundleOf(ledger, keys, () => undefined, reach ? { reach } : {})).parts),
    summary: (entry) => sealSummary(keys.origin, entry, keys.entries),
    catalogues: () => Promise.resolve(allCatalogues(new Map())),
    print: (report) => managementPdf(report, keys.log.vkey),
  });
  const metrics = createMetrics(state, queries);
  const logFiles: LogFiles = {
    public: publicLog,
    checkpoint: () => ledger.checkpoint(),
    tile: (path) => serveTile(ledger, path),
  };
  const log = new AccessLog(ledger, (thrown) => void logged.push(String(thrown)));
  const browser = { cookies: new Cookies(false), origin: () => url };
  const signIn = given.issuer ? testSignIn(given.issuer, new PostgresSessions(dataSource), log) : null;
  const signing = { ...browser, signIn };
  const { introspection, known } = given;
  const only = { ...(introspection && { introspection }), ...(known && { known }) };
  const access = new Access({ tokens, anonymous, log, ...(signIn ? { signIn } : {}) });
  const approving = { log, approvals: { approve: nobody, withdraw: nobody } };
  const module = AppModule.of({
    state,
    queries,
    statistics,
    reports,
    metrics,
    logFiles,
    logger,
    access,
    approving,
    signing,
    ...only,
  });
  const webhooks = { secrets: new Map(), hint: nothing };
  const audit = { tokens: new Map([['prod', 'a token']]), received: () => true, refused: nothing };
  const app: NestFastifyApplication = await createHttp(module, {
    logger,
    requests: requestHistogram(metrics),
    door: { access, publicLog, browser, refusalsPerSecond: 10_000, requestsPerSecond: 10_000 },
    webhooks,
    audit,
  });
  await app.listen(0, '127.0.0.1');
  const fastify = app.getHttpAdapter().getInstance();
  const stopSubscriptions = serveSubscriptions(app.getHttpServer(), {
    schema: () => fastify.graphql.schema,
    access,
    queries,
    state,
    feed: new Feed(ledger),
    reached: { proxy: [] },
    logger,
    times: { look: 200, slow: 1_000 },
    ...only,
  });
  const url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
  const sent = spyOnStatements(dataSource);
  return {
    url,
    folder: data,
    ledger,
    records: new PostgresRecords(dataSource),
    dataSource,
    keys,
    reports,
    logged,
    reasons,
    hasRoute: (method, route) => fastify.hasRoute({ method, url: route }),
    statements: () => sent.splice(0),
    query: async (query, variables, token) => {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
        body: JSON.stringify({ query, variables }),
      });
      return { status: response.status, errors: [], ...((await response.json()) as object) } as never;
    },
    stopDatabase: () => stopServer(),
    close: async () => {
      await stopSubscriptions();
      await app.close();
      await ledger.close();
      if (dataSource.isInitialized) await dataSource.destroy();
      await stopServer();
      rmSync(data, { recursive: true });
    },
  };
}

/** Its group `sre` operates everything, `auditors` audit it, `shop` develops its own. */
export const testRules = {
  login: 'preferred_username',
  groups: 'groups',
  roles: [
    { group: 'sre', role: 'operator', repositories: ['*'], environments: ['*'] },
    { group: 'auditors', role: 'auditor', repositories: ['*'], environments: ['*'] },
    { group: 'shop', role: 'developer', repositories: ['shop'], environments: ['shop/*'] },
  ],
} as const;

/** An hour without a request, twelve in all. */
export function testSignIn(
  issuer: BrowserSignIn,
  sessions: PostgresSessions,
  log: Pick<AccessLog, 'refused' | 'session'>,
): SignIn {
  return new SignIn({
    issuer,
    rules: testRules,
    basis: 'a test',
    idle: 3_600_000,
    life: 43_200_000,
    sessions,
    log,
    now: () => clock.now(),
  });
}

/** What sessions take for now: tests move it. */
export const clock = { now: (): Date => new Date() };

/** TypeORM's own logger sees every statement. */
function spyOnStatements(dataSource: DataSource): string[] {
  const sent: string[] = [];
  dataSource.setOptions({ logging: ['query'] });
  dataSource.logger = {
    logQuery: (text) => void sent.push(text),
    logQueryError: nothing,
    logQuerySlow: nothing,
    logSchemaBuild: nothing,
    logMigration: nothing,
    log: nothing,
  };
  return sent;
}

const nothing = (): void => undefined;
