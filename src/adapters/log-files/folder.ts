import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { invalid } from '../../audit/evidence.js';
import type { WritableLogFiles } from '../../audit/mirroring.js';
import { CountersignError } from '../../errors.js';

/** A folder that holds a log as files; anything that serves files can serve it. */
export function folderFiles(root: string): WritableLogFiles {
  return {
    where: root,
    async read(name, limit) {
      try {
        const path = join(root, name);
        if ((await stat(path)).size > limit) throw invalid(`it is longer than ${limit} bytes`, name);
        return await readFile(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw unavailable(root, error);
      }
    },
    async exists(name) {
      try {
        return (await stat(join(root, name))).isFile();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
        throw unavailable(root, error);
      }
    },
    async write(name, bytes) {
      const path = join(root, name);
      // Beside the folder and renamed into it: a reader sees it whole or not at all, and no leftovers of a process that was killed.
      const staging = join(`${root}.new`, randomBytes(8).toString('hex'));
      try {
        await mkdir(dirname(staging), { recursive: true });
        await mkdir(dirname(path), { recursive: true });
        const file = await open(staging, 'wx', 0o644);
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(staging, path);
        await syncFolder(dirname(path));
      } catch (error) {
        await rm(staging, { force: true }).catch(() => undefined);
        throw unavailable(root, error);
      }
    },
    async remove(name) {
      try {
        await rm(join(root, name), { force: true });
      } catch (error) {
        throw unavailable(root, error);
      }
    },
    async removeAll(prefix) {
      // Prefixes are folders here: `tile/0/000.p/`.
      try {
        await rm(join(root, prefix), { recursive: true, force: true });
      } catch (error) {
        throw unavailable(root, error);
      }
    },
  };
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export function unavailable(root: string, error: unknown): CountersignError {
  if (error instanceof CountersignError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new CountersignError(code === 'ENOSPC' ? 'disk-full' : 'mirror-unavailable', `${root}: ${message}`, {
    remedy: 'See that the folder is there and can be written',
    retry: true,
    cause: error,
  });
}
