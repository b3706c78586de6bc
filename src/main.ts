import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Server as TlsServer } from 'node:tls';
import type { Logger } from 'pino';
import { ADMINISTRATOR_TOKEN } from './adapters/keys/administrator-token.js';
import { readKeys } from './adapters/keys/file.js';
import { PostgresConfigurations } from './adapters/postgres/configurations.js';
import { liveInstances } from './adapters/postgres/instances.js';
import { PostgresQueries } from './adapters/postgres/queries.js';
import { PostgresScheduleBook } from './adapters/postgres/schedule-book.js';
import { PostgresStatistics } from './adapters/postgres/statistics.js';
import { type AdmissionServer, startAdmission } from './api/admission.js';
import { createHttp } from './api/http.js';
import { KnownQueries } from './api/known-queries.js';
import { createMetrics, requestHistogram } from './api/metrics.js';
import { readTls, renewTls } from './api/reached.js';
import { serveSubscriptions } from './api/sockets.js';
import { AppModule } from './app.module.js';
import { serveTile } from './audit/serve.js';
import { warn } from './commentary.js';
import { type AdmissionConfig, type Config, followedIn, withoutSecrets } from './config.js';
import { CountersignError } from './errors.js';
import { beginExporting } from './service/exporting.js';
import { accessListAt } from './report/access-list.js';
import { Feed } from './report/feed.js';
import { openReportMaking } from './service/report-making.js';
import type { PusherClaim } from './review/pusher.js';
import { recordFault } from './review/record-fault.js';
import { describeTrouble } from './review/trouble.js';
import { packageVersion, type Service, startService } from './service.js';
import { loginPlace, openAccess, openSigningIn } from './service/signing-in.js';

export interface RunningService {
  /** `http://127.0.0.1:4100`, with the port that was really taken. */
  readonly url: string;
  /** The file with the token that was made for a service whose configuration says nothing of access. */
  readonly administratorToken?: string;
  /** Answers what was asked, finishes what is under way, stops in order. */
  close(): Promise<void>;
}

/** How other commands find the service of a data folder: DIR/service.json, there while it runs. */
export interface ServiceAddress {
  readonly url: string;
  readonly pid: number;
}

/**
 * Starts the service and what answers for it over HTTP. Throws what stands in its way, in one sentence; whatever was begun is
 * stopped again.
 */
export async function run(config: Config, logger: Logger): Promise<RunningService> {
  await prepareFolder(config);
  // Before anything is followed or applied: a service that nobody can ask should not work.
  await requireFreePort(config);
  const service = await startService(config, logger);
  const opened = new AsyncDisposableStack();
  const close = (): Promise<void> => opened.disposeAsync();
  opened.defer(() => service.close());
  try {
    const { ledger } = service;
    const keys = await readKeys(config.data);
    const queries = new PostgresQueries(service.dataSource);
    const state = {
      version: await packageVersion(),
      startedAt: new Date().toISOString(),
      vkey: keys.log.vkey,
      ledger,
      ...loginPlace(config),
      accessList: (at: string) => accessListAt(at, new PostgresConfigurations(service.dataSource)),
      ping: () => queries.ping(),
      ready: () => service.ready(),
      ...service.answers,
      impact: service.impact,
      targets: service.targets,
      instances: () => liveInstances(service.dataSource),
      notifications: service.notifications,
      exports: async () => {
        const states = await new PostgresScheduleBook(service.dataSource).states();
        return states.filter(({ name }) => config.exports.some((one) => one.name === name));
      },
    };
    const statistics = new PostgresStatistics(service.dataSource, queries);
    const reports = openReportMaking(service, queries, statistics, keys, state.version);
    if (config.exports.length > 0) {
      const exporting = {
        exports: config.exports,
        reports,
        dataSource: service.dataSource,
        data: config.data,
        onFault: (fault: CountersignError) => {
          warn(logger, fault);
          const [id, time] = [randomUUID(), new Date().toISOString()];
          const row = { id, repository: null, environment: null, trouble: describeTrouble(fault), time, index: null };
          recordFault(ledger, service.records, row).catch((thrown: unknown) =>
            logger.error({ err: thrown }, 'a fault could not be logged'),
          );
        },
        onMade: (name: string, period: string, file: string) => logger.info({ export: name, period, file }, 'exported'),
      };
      const duty = service.leases.share('duty', 'exports', (lease) => beginExporting(exporting, lease));
      opened.defer(() => duty.withdraw());
    }
    const metrics = createMetrics(state, queries);
    const logFiles = {
      public: config.access.log === 'public',
      checkpoint: () => service.checkpoint(),
      tile: (path: string) => serveTile(ledger, path),
    };
    const { approving } = service;
    const signing = openSigningIn(config, service.dataSource, approving.log);
    const access = await openAccess(config, signing, approving.log);
    const known = await knownQueries(config.access.queries);
    const module = AppModule.of({
      state,
      queries,
      statistics,
      reports,
      logFiles,
      metrics,
      logger,
      access,
      approving,
      signing,
      introspection: config.access.introspection,
      ...known,
    });
    const webhooks = {
      secrets: new Map(followedIn(config).flatMap(({ name, webhook }) => (webhook ? [[name, webhook.secret]] : []))),
      hint: (repository: string, claim: PusherClaim | null) => service.hint(repository, claim),
    };
    const { requestsPerSecond } = config.limits;
    const door = {
      access,
      publicLog: config.access.log === 'public',
      browser: signing,
      ...(requestsPerSecond ? { requestsPerSecond } : {}),
    };
    const tls = config.reached.tls && (await readTls(config.reached.tls));
    const app = await createHttp(module, {
      logger,
      requests: requestHistogram(metrics),
      webhooks,
      audit: service.audit,
      door,
      reached: config.reached,
      ...(tls ? { tls } : {}),
    });
    opened.defer(() => app.close());
    await app.listen(config.listen.port, config.listen.host);
    const subscriptions = serveSubscriptions(app.getHttpServer(), {
      schema: () => app.getHttpAdapter().getInstance().graphql.schema,
      access,
      queries,
      state,
      feed: new Feed(ledger),
      reached: config.reached,
      logger,
      introspection: config.access.introspection,
      ...known,
    });
    opened.defer(subscriptions);
    if (config.reached.tls) {
      const server = app.getHttpServer() as unknown as TlsServer;
      const endRenewal = renewTls(server, config.reached.tls, (thrown) =>
        logger.error({ err: thrown }, 'the renewed certificate cannot be used'),
      );
      opened.defer(endRenewal);
    }
    if (config.admission) {
      const admission = await openAdmission(config.admission, service, logger);
      opened.defer(() => admission.close());
    }
    const { port } = app.getHttpServer().address() as AddressInfo;
    const url = `${tls ? 'https' : 'http'}://${hostInUrl(config.listen.host)}:${port}`;
    signing.reachedAt(url);
    const addressFile = join(config.data, 'service.json');
    await replaceFile(addressFile, { url, pid: process.pid } satisfies ServiceAddress);
    opened.defer(() => rm(addressFile, { force: true }));
    if (config.access.configured) return { url, close };
    return { url, close, administratorToken: join(config.data, ADMINISTRATOR_TOKEN) };
  } catch (thrown) {
    await close();
    throw listenFault(thrown, config) ?? thrown;
  }
}

/** Of a folder of .graphql files, a query each. */
async function knownQueries(folder: string | undefined): Promise<{ readonly known?: KnownQueries }> {
  if (folder === undefined) return {};
  const names = (await readdir(folder)).filter((name) => name.endsWith('.graphql'));
  return { known: new KnownQueries(await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))) };
}

async function openAdmission(config: AdmissionConfig, service: Service, logger: Logger): Promise<AdmissionServer> {
  const { listen, certificate, key, clientAuthority, ...settings } = config;
  const authority = clientAuthority === undefined ? undefined : await readFile(clientAuthority, 'utf8');
  return startAdmission({
    listen,
    certificate: await readFile(certificate, 'utf8'),
    key: await readFile(key, 'utf8'),
    ...(authority === undefined ? {} : { clientAuthority: authority }),
    settings,
    ...service.admission,
    audit: service.audit,
    onFault: (fault) => logger.warn({ code: fault.code }, `admission: ${fault.message}`),
  });
}

async function prepareFolder(config: Config): Promise<void> {
  try {
    await mkdir(config.data, { recursive: true, mode: 0o700 });
    await replaceFile(join(config.data, 'configuration.json'), withoutSecrets(config));
  } catch (cause) {
    throw new CountersignError('data-folder', `the data folder cannot be written: ${(cause as Error).message}`, {
      place: { file: config.data },
      remedy: 'Name a folder that this user may write with --data',
      cause,
    });
  }
}

async function replaceFile(path: string, value: object): Promise<void> {
  await writeFile(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

async function requireFreePort(config: Config): Promise<void> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(config.listen.port, config.listen.host, resolve);
  }).catch((thrown: unknown) => {
    throw listenFault(thrown, config) ?? thrown;
  });
  await new Promise((resolve) => probe.close(resolve));
}

function listenFault(thrown: unknown, { listen, file }: Config): CountersignError | undefined {
  const { code, syscall } = thrown as NodeJS.ErrnoException;
  if (syscall !== 'listen' && syscall !== 'bind' && syscall !== 'getaddrinfo') return undefined;
  const why = code === 'EADDRINUSE' ? 'another program has it' : code === 'EACCES' ? 'it needs more rights' : code;
  return new CountersignError('config-invalid', `cannot listen on ${listen.host}:${listen.port}: ${why}`, {
    ...(file && { place: { file } }),
    remedy: 'Stop the other program, or set another address: listen in the configuration, or COUNTERSIGN_LISTEN',
    cause: thrown,
  });
}

const hostInUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);
