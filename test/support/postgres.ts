import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { databaseUser } from '../../src/adapters/postgres/system-user.js';

export interface TestPostgres {
  /** A new, empty database on the server. */
  database(): Promise<string>;
  stop(): Promise<void>;
}

/** The newest installed PostgreSQL (Debian's, in CI). */
function binaries(): string {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  for (const version of versions.toSorted((a, b) => Number(b) - Number(a))) {
    const dir = `/usr/lib/postgresql/${version}/bin`;
    if (existsSync(join(dir, 'initdb'))) return dir;
  }
  return execFileSync('pg_config', ['--bindir'], { encoding: 'utf8' }).trim();
}

// Ends the server when the pipe closes that only the test holds: also when the test is killed.
const tether = '"$@" & child=$!; cat >/dev/null; kill -INT $child; wait $child';

export interface PostgresServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** Where a run of jest tells the port of its one server (test/support/jest-setup.mjs). */
const SHARED = 'COUNTERSIGN_TEST_POSTGRES';

/**
 * A PostgreSQL for the tests of a file, on loopback: in a run of jest the one that all its files share, each with databases of its
 * own; otherwise, or if it is to be `own` because a test stops it, one of its own.
 */
export async function startPostgres({ own = false } = {}): Promise<TestPostgres> {
  const shared = process.env[SHARED];
  const made: string[] = [];
  if (own || shared === undefined) {
    const server = await startServer();
    return { database: () => createDatabase(server.port, made), stop: () => server.stop() };
  }
  const port = await sharedPort(Number(shared));
  return {
    database: () => createDatabase(port, made),
    stop: () =>
      asked(port, async (client) => {
        for (const name of made.splice(0)) await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      }),
  };
}

/** Starts a server when a file first asks for it; files find it by `process.env`. */
export async function sharePostgres(): Promise<() => Promise<void>> {
  let server: Promise<PostgresServer> | undefined;
  // Nothing of it outlives the run, so nothing needs to reach the disk.
  const fleeting = ['fsync=off', 'full_page_writes=off', 'max_connections=400'];
  const desk = createServer((socket) => {
    socket.on('error', () => {}); // who asked is gone
    server ??= startServer(fleeting);
    server.then(
      ({ port }) => socket.end(String(port)),
      (error: Error) => socket.end(error.message),
    );
  });
  await new Promise<void>((resolve) => desk.listen(0, '127.0.0.1', resolve));
  desk.unref();
  process.env[SHARED] = String((desk.address() as AddressInfo).port);
  return async () => {
    desk.close();
    await (await server)?.stop();
  };
}

async function sharedPort(desk: number): Promise<number> {
  const answer = await text(connect(desk, '127.0.0.1'));
  if (!/^\d+$/.test(answer)) throw new Error(answer);
  return Number(answer);
}

async function createDatabase(port: number, made: string[]): Promise<string> {
  const name = `t${randomBytes(6).toString('hex')}`;
  await asked(port, (client) => client.query(`CREATE DATABASE ${name}`));
  made.push(name);
  return urlOf(port, name);
}

const urlOf = (port: number, name: string): string => `postgres://test@127.0.0.1:${port}/${name}`;

async function asked(port: number, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: urlOf(port, 'postgres') });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** An installed PostgreSQL in a temporary folder, as a user other than root; durable as in production unless `settings` say otherwise. */
async function startServer(more: readonly string[] = ['max_connections=100']): Promise<PostgresServer> {
  const bin = binaries();
  const user = await databaseUser();
  const dir = mkdtempSync('/tmp/countersign-pg-');
  chmodSync(dir, 0o700);
  if (user.uid !== undefined && user.gid !== undefined) chownSync(dir, user.uid, user.gid);
  const env = { PATH: process.env['PATH'], LC_ALL: 'C' };
  const cluster = ['-D', join(dir, 'data'), '-U', 'test', '--auth=trust', '--encoding=UTF8', '--no-sync'];
  await promisify(execFile)(join(bin, 'initdb'), cluster, { ...user, env, cwd: '/' });
  const port = await freePort();
  const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${dir}`, ...more];
  const args = ['-D', join(dir, 'data'), '-p', String(port), ...settings.flatMap((s) => ['-c', s])];
  const server = spawn('/bin/sh', ['-c', tether, 'tether', join(bin, 'postgres'), ...args], {
    ...user,
    env,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  await new Promise<void>((resolve, reject) => {
    let said = '';
    server.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('ready to accept connections')) resolve();
      else if (said.includes('FATAL')) reject(new Error(`PostgreSQL did not start:\n${said}`));
    });
  });
  return {
    port,
    stop: async () => {
      const gone = new Promise((resolve) => server.once('exit', resolve));
      server.stdin.end();
      await gone;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** One that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
