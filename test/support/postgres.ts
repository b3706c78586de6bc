import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
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

/** An installed PostgreSQL in a temporary folder, on loopback, as a user other than root; durable as in production. */
export async function startPostgres(): Promise<TestPostgres> {
  const bin = binaries();
  const user = await databaseUser();
  const dir = mkdtempSync('/tmp/countersign-pg-');
  chmodSync(dir, 0o700);
  if (user.uid !== undefined && user.gid !== undefined) chownSync(dir, user.uid, user.gid);
  const env = { PATH: process.env['PATH'], LC_ALL: 'C' };
  execFileSync(
    join(bin, 'initdb'),
    ['-D', join(dir, 'data'), '-U', 'test', '--auth=trust', '--encoding=UTF8', '--no-sync'],
    {
      ...user,
      env,
      cwd: '/',
      stdio: 'ignore',
    },
  );
  const port = await freePort();
  const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${dir}`, 'max_connections=100'];
  const args = ['-D', join(dir, 'data'), '-p', String(port), ...settings.flatMap((s) => ['-c', s])];
  const server = spawn('/bin/sh', ['-c', tether, 'tether', join(bin, 'postgres'), ...args], {
    ...user,
    env,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  await new Promise<void>((resolve, reject) => {
    let text = '';
    server.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('ready to accept connections')) resolve();
      else if (text.includes('FATAL')) reject(new Error(`PostgreSQL did not start:\n${text}`));
    });
  });
  const urlOf = (name: string): string => `postgres://test@127.0.0.1:${port}/${name}`;
  return {
    database: async () => {
      const name = `t${randomBytes(6).toString('hex')}`;
      const client = new Client({ connectionString: urlOf('postgres') });
      await client.connect();
      await client.query(`CREATE DATABASE ${name}`);
      await client.end();
      return urlOf(name);
    },
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
