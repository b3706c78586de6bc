import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { DataSource } from 'typeorm';
import type { DataSourceOptions, MigrationInterface } from 'typeorm';
import { CountersignError } from '../../errors.js';
import { noteDatabase, startEmbedded } from './embedded.js';
import type { EmbeddedDatabase } from './embedded.js';
import { databaseFault } from './faults.js';
import { lockFolder } from '../folder/folder-lock.js';
import { schemas } from './schemas.js';

/** `data` beside a URL: the folder where the address is noted, for commands that come along while the service runs. */
export type DatabaseLocation =
  { readonly data: string; readonly url?: undefined } | { readonly url: string; readonly data?: string };

export interface DatabaseOptions {
  /** What PostgreSQL itself writes, line by line. */
  readonly log?: (line: string) => void;
  /** For a reader beside a running service: changes nothing, tables included. */
  readonly readOnly?: boolean;
  /** What PostgreSQL calls its connections. */
  readonly application?: string;
}

// Any number, the same in every instance: two that start at once migrate one after the other.
const migrationLock = 0x6d69_6772;

/**
 * Opens PostgreSQL ≥ 15 by URL, or the embedded one in a data folder, and brings its tables up to date. `destroy()` stops an
 * embedded one, too. Throws `database-unavailable`, `data-folder`, `disk-full`.
 */
export async function openDatabase(location: DatabaseLocation, options: DatabaseOptions = {}): Promise<DataSource> {
  const server = await startServer(location, options);
  const dataSource = new OwningDataSource(await dataSourceOptions(server.url, options), server);
  try {
    await dataSource.initialize();
    if (options.readOnly) return dataSource;
    await requireVersion(dataSource);
    await migrate(dataSource);
    return dataSource;
  } catch (error) {
    if (dataSource.isInitialized) await dataSource.destroy();
    else await server.stop();
    throw databaseFault(error);
  }
}

async function startServer(location: DatabaseLocation, options: DatabaseOptions): Promise<EmbeddedDatabase> {
  if (location.url === undefined) return startEmbedded(location.data, options.log);
  const { url, data } = location;
  if (data === undefined || options.readOnly) return { url, stop: () => Promise.resolve() };
  // Somebody else's server, but our folder: one service uses it.
  const stop = await lockFolder(data);
  await noteDatabase(data, { url });
  return { url, stop };
}

class OwningDataSource extends DataSource {
  constructor(
    options: DataSourceOptions,
    private readonly server: EmbeddedDatabase,
  ) {
    super(options);
  }

  override async destroy(): Promise<void> {
    await super.destroy();
    await this.server.stop();
  }
}

/**
 * A connection can break between the moment the pool hands it out and the moment its borrower listens for that. Node ends a
 * process for an error that nobody listens to; the query that follows fails anyhow.
 */
class GuardedClient extends Client {
  constructor(config?: ClientConfig) {
    super(config);
    this.on('error', () => undefined);
  }
}

async function dataSourceOptions(
  url: string,
  { readOnly = false, application = 'countersign' }: DatabaseOptions,
): Promise<DataSourceOptions> {
  return {
    type: 'postgres',
    url,
    applicationName: application,
    entities: Object.values(schemas),
    migrations: await migrations(),
    migrationsTableName: 'migration',
    synchronize: false,
    extra: {
      Client: GuardedClient,
      max: 20,
      connectionTimeoutMillis: 10_000,
      statement_timeout: 60_000,
      keepAlive: true,
      // Compiling a query takes PostgreSQL a second, and none of ours is worth it. What is counted from a million of rows is sorted in memory.
      options: `-c jit=off -c work_mem=16MB${readOnly ? ' -c default_transaction_read_only=on' : ''}`,
    },
    // A connection that breaks while idle is replaced by the pool; whoever needs one next hears of it.
    poolErrorHandler: () => undefined,
  };
}

/** migrations/ beside src/ (tests) or inside dist/. */
async function migrations(): Promise<(new () => MigrationInterface)[]> {
  const compiled = import.meta.url.endsWith('.js');
  const folder = new URL(compiled ? '../../migrations/' : '../../../migrations/', import.meta.url);
  const names = (await readdir(fileURLToPath(folder))).filter((name) => /^\d{4}-.*\.(ts|js)$/.test(name)).toSorted();
  const modules = await Promise.all(
    names.map(
      (name) => import(fileURLToPath(new URL(name, folder))) as Promise<Record<string, new () => MigrationInterface>>,
    ),
  );
  return modules.flatMap((module) => Object.values(module));
}

async function requireVersion(dataSource: DataSource): Promise<void> {
  const [{ version, standby }] = await dataSource.query<{ version: string; standby: boolean }[]>(
    `SELECT current_setting('server_version_num') AS version, pg_is_in_recovery() AS standby`,
  );
  if (Number(version) < 150_000) {
    throw new CountersignError('database-unavailable', `PostgreSQL ${version} is too old`, {
      remedy: 'Use PostgreSQL 15 or newer',
    });
  }
  if (standby) {
    throw new CountersignError('database-unavailable', 'the database is a read-only standby', {
      remedy: 'Name the primary in the database URL',
    });
  }
}

/** Brings the tables up to date, one process at a time. */
export async function migrate(dataSource: DataSource): Promise<void> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.query('SELECT pg_advisory_lock($1)', [migrationLock]);
    await dataSource.runMigrations({ transaction: 'each' });
  } finally {
    await runner.query('SELECT pg_advisory_unlock($1)', [migrationLock]).catch(() => undefined);
    await runner.release();
  }
}
