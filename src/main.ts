import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Server as TlsServer } from 'node:tls';
import type { Logger } from 'pino';
import { ADMINISTRATOR_TOKEN, administratorToken } from './adapters/keys/administrator-token.js';
import { readKeys } from './adapters/keys/file.js';
import { OidcBearer } from './adapters/oidc/bearer.js';
import { OidcConsole } from './adapters/oidc/console.js';
import { PostgresConfigurations } from './adapters/postgres/configurations.js';
import { accessListAt } from './report/access-list.js';
import { liveInstances } from './adapters/postgres/instances.js';
import { PostgresPopulations } from './adapters/postgres/populations.js';
import { PostgresQueries } from './adapters/postgres/queries.js';
import { PostgresScheduleBook } from './adapters/postgres/schedule-book.js';
import { PostgresSessions } from './adapters/postgres/sessions.js';
import { PostgresStatistics } from './adapters/postgres/statistics.js';
import { Access } from './api/access.js';
import { Cookies } from './api/cookies.js';
import { createHttp } from './api/http.js';
import { KnownQueries } from './api/known-queries.js';
import { createMetrics, requestHistogram } from './api/metrics.js';
import { readTls, renewTls } from './api/reached.js';
import type { SigningIn } from './api/sign-in.controller.js';
import type { LoginPlace } from './api/state.js';
import type { DataSource } from 'typeorm';
import { serveSubscriptions } from './api/sockets.js';
import { Feed } from './report/feed.js';
import { AppModule } from './app.module.js';
import { serveTile } from './audit/serve.js';
import { type AdmissionServer, startAdmission } from './api/admission.js';
import { type AdmissionConfig, type Config, followedIn, withoutSecrets } from './config.js';
import { CountersignError } from './errors.js';
import { beginExporting } from './exporting.js';
import { shippedCatalogues } from './report/controls.js';
import { LoggedReports } from './report/reports.js';
import { sealSummary } from './report/vsa.js';
import type { PusherClaim } from './review/pusher.js';
import { recordFault } from './review/record-fault.js';
import { describeTrouble } from './review/trouble.js';
import { SignIn, type SignInOptions } from './review/sign-in.js';
import { packageVersion, type Service, startService } from './service.js';

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
  const stops: (() => Promise<void>)[] = [() => service.close()];
  const close = async (): Promise<void> => {
    while (stops.length > 0) await stops.pop()!();
  };
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
      explain: service.explain,
      impact: service.impact,
      targets: service.targets,
      instances: () => liveInstances(service.dataSource),
      blame: service.blame,
      promotion: service.promotion,
      notifications: service.notifications,
      exports: async () => {
        const states = await new PostgresScheduleBook(service.dataSource).states();
        return states.filter(({ name }) => config.exports.some((one) => one.name === name));
      },
      holdings: service.holdings,
      controls: service.controls,
      tags: service.tags,
      orphans: service.orphans,
    };
    const statistics = new PostgresStatistics(service.dataSource, queries);
    const reports = new LoggedReports({
      ledger,
      populations: new PostgresPopulations(service.dataSource),
      statistics,
      queries,
      version: state.version,
      bundle: async (reach) => {
        const { bundleOf } = await import('./adapters/evidence/export.js');
        const { zipStream } = await import('./adapters/evidence/zip.js');
        const log = {
          checkpoint: () => service.checkpoint(),
          readTile: ledger.readTile,
          storedDigests: (digests: readonly string[]) => ledger.storedDigests(digests),
          storedContent: (digest: string) => ledger.storedContent(digest),
        };
        return zipStream((await bundleOf(log, keys, () => undefined, reach ? { reach } : {})).parts);
      },
      summary: (entry) => sealSummary(keys.origin, entry, keys.entries),
      catalogues: async (repository) =>
        (repository === null ? null : await service.controls(repository))?.catalogues ?? shippedCatalogues(),
      print: async (report) => (await import('./adapters/pdf/management.js')).managementPdf(report, state.vkey),
    });
    if (config.exports.length > 0) {
      const exporting = {
        exports: config.exports,
        reports,
        dataSource: service.dataSource,
        data: config.data,
        onFault: (fault: CountersignError) => {
          const trouble = describeTrouble(fault);
          logger.warn({ trouble }, fault.message);
          const row = {
            id: randomUUID(),
            repository: null,
            environment: null,
            trouble,
            time: new Date().toISOString(),
            index: null,
          };
          recordFault(ledger, service.records, row).catch((thrown: unknown) =>
            logger.error({ err: thrown }, 'a fault could not be logged'),
          );
        },
        onMade: (name: string, period: string, file: string) => logger.info({ export: name, period, file }, 'exported'),
      };
      const duty = service.leases.share('duty', 'exports', (lease) => beginExporting(exporting, lease));
      stops.push(() => duty.withdraw());
    }
    const metrics = createMetrics(state, queries);
    const logFiles = {
      public: config.access.log === 'public',
      checkpoint: () => service.checkpoint(),
      tile: (path: string) => serveTile(ledger, path),
    };
    const { approving } = service;
    const signing = signingIn(config, service.dataSource, approving.log);
    const access = new Access({
      tokens: config.access.configured ? config.access.tokens : [await administratorToken(config.data)],
      anonymous: config.access.loopback === 'read',
      log: approving.log,
      ...(config.access.oidc ? { issuer: new OidcBearer(config.access.oidc) } : {}),
      ...(signing.signIn ? { signIn: signing.signIn } : {}),
    });
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
    stops.push(() => app.close());
    await app.listen(config.listen.port, config.listen.host);
    const subscriptions = serveSubscriptions(app.getHttpServer(), {
      schema: () => app.getHttpAdapter().getInstance().graphql.schema,
      access,
      queries,
      ledger,
      feed: new Feed(ledger),
      reached: config.reached,
      logger,
      introspection: config.access.introspection,
      ...known,
    });
    stops.push(subscriptions);
    if (config.reached.tls) {
      const server = app.getHttpServer() as unknown as TlsServer;
      const stop = renewTls(server, config.reached.tls, (thrown) =>
        logger.error({ err: thrown }, 'the renewed certificate cannot be used'),
      );
      stops.push(async () => stop());
    }
    if (config.admission) {
      const admission = await openAdmission(config.admission, service, logger);
      stops.push(() => admission.close());
    }
    const { port } = app.getHttpServer().address() as AddressInfo;
    const url = `${tls ? 'https' : 'http'}://${hostInUrl(config.listen.host)}:${port}`;
    signing.reachedAt(url);
    const addressFile = join(config.data, 'service.json');
    await replaceFile(addressFile, { url, pid: process.pid } satisfies ServiceAddress);
    stops.push(() => rm(addressFile, { force: true }));
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

function loginPlace({ access: { oidc } }: Config): { readonly login?: LoginPlace } {
  const { cli, scope } = oidc?.client ?? {};
  return oidc && cli && scope ? { login: { issuer: oidc.issuer, client: cli, scope } } : {};
}

/** People who sign in with a browser, where the configuration names an issuer's client for that. */
function signingIn(
  { access: { oidc }, reached: { url, tls } }: Config,
  dataSource: DataSource,
  log: SignInOptions['log'],
): SigningIn & { reachedAt(address: string): void } {
  // The port is known once it is listened on; a name that others know it by wins.
  let origin = url ?? '';
  const browser = {
    cookies: new Cookies(url?.startsWith('https:') ?? tls !== undefined),
    origin: () => origin,
    reachedAt: (address: string) => void (origin ||= address),
  };
  if (!oidc?.console) return { ...browser, signIn: null };
  const { console, ...rules } = oidc;
  const issuer = new OidcConsole({ ...rules, console });
  const basis = [rules.issuer, console.client, rules.login, rules.groups].join(' ');
  const { idle, life } = console;
  return {
    ...browser,
    signIn: new SignIn({ issuer, rules, basis, idle, life, sessions: new PostgresSessions(dataSource), log }),
  };
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
