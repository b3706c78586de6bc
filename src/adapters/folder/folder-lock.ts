import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CountersignError } from '../../errors.js';

/**
 * DIR/service.lock: one service a data folder. It names a process and when that began, so that a lock left by `kill -9` is told
 * from a live one even if its number was given to another process.
 */
export async function lockFolder(data: string): Promise<() => Promise<void>> {
  await mkdir(data, { recursive: true });
  const path = join(data, 'service.lock');
  const ours = `${process.pid} ${await startOf(process.pid)}\n`;
  const staging = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(staging, ours, { mode: 0o644 });
  try {
    for (;;) {
      const taken = await link(staging, path).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        },
      );
      if (taken) break;
      await removeIfStale(path);
    }
  } finally {
    await rm(staging, { force: true });
  }
  return async () => {
    if ((await readFile(path, 'utf8').catch(() => '')) === ours) await rm(path, { force: true });
  };
}

async function removeIfStale(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const [pid, start] = text.trim().split(' ');
  if (text !== '' && (await startOf(Number(pid))) === start) {
    throw new CountersignError('data-folder', `another service (process ${pid}) is using this data folder`, {
      place: { file: path },
      remedy: `Stop process ${pid} first, or start this one with another --data folder`,
    });
  }
  // Renamed before it is removed: of two that found it stale, one takes it away, and sees what it took.
  const aside = `${path}.${process.pid}.stale`;
  const moved = await rename(path, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  if ((await readFile(aside, 'utf8').catch(() => '')) !== text) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

/** When a process began, in the kernel's ticks; 'gone' if there is none, 'running' where the kernel does not tell. */
export async function startOf(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // The second field is the program's name in parentheses and may hold anything; a zombie (Z) has ended.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return stat === '' || fields[0] === 'Z' ? 'gone' : fields[19];
  }
  try {
    process.kill(pid, 0);
    return 'running';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? 'running' : 'gone';
  }
}
