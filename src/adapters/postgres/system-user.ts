import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { CountersignError } from '../../errors.js';

/** Empty: run as who we are. */
export interface SystemUser {
  readonly uid?: number;
  readonly gid?: number;
}

const accounts = ['postgres', 'countersign'];

/** PostgreSQL refuses to run as root, and initdb needs an account by name. Throws `data-folder` with what to do. */
export async function databaseUser(): Promise<SystemUser> {
  if (process.platform === 'win32') return {};
  const uid = process.getuid?.() ?? 0;
  if (uid !== 0) {
    if (process.platform === 'linux' && !(await passwd()).some((user) => user.uid === uid)) {
      throw new CountersignError('data-folder', `user id ${uid} has no name on this system, and PostgreSQL needs one`, {
        remedy: `Add a line like "countersign:x:${uid}:${uid}::/:/usr/sbin/nologin" to /etc/passwd, or name a PostgreSQL by database: postgres://…`,
      });
    }
    return {};
  }
  const found = await findAccount();
  if (found) return found;
  await promisify(execFile)('useradd', [
    '--system',
    '--no-create-home',
    '--shell',
    '/usr/sbin/nologin',
    'countersign',
  ]).catch(() => undefined);
  const made = await findAccount();
  if (made) return made;
  throw new CountersignError('data-folder', 'PostgreSQL does not run as root, and there is no other account for it', {
    remedy: 'Run useradd --system countersign, or start Countersign as another user',
  });
}

/** The first folder on the way to `path` that this user may not pass; undefined if there is none. */
export async function barrier(path: string, user: SystemUser): Promise<string | undefined> {
  for (let folder = path, above = ''; folder !== above; above = folder, folder = dirname(folder)) {
    const passes =
      user.uid === undefined
        ? await access(folder, constants.X_OK).then(
            () => true,
            () => false,
          )
        : await mayPass(folder, user);
    if (!passes) return folder;
  }
  return undefined;
}

async function mayPass(folder: string, user: SystemUser): Promise<boolean> {
  const { mode, uid, gid } = await stat(folder);
  if (uid === user.uid) return (mode & 0o100) !== 0;
  if (gid === user.gid) return (mode & 0o010) !== 0;
  return (mode & 0o001) !== 0;
}

async function findAccount(): Promise<SystemUser | undefined> {
  const users = await passwd();
  for (const name of accounts) {
    const user = users.find((candidate) => candidate.name === name);
    if (user && user.uid !== 0) return { uid: user.uid, gid: user.gid };
  }
  return undefined;
}

async function passwd(): Promise<readonly { readonly name: string; readonly uid: number; readonly gid: number }[]> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return text.split('\n').map((line) => {
    const [name, , uid, gid] = line.split(':');
    return { name, uid: Number(uid), gid: Number(gid) };
  });
}
