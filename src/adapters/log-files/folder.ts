import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
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
    exists: (name) => isThere(root, name),
    write: (name, bytes) => writeWhole(root, name, (file) => file.writeFile(bytes)),
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

/** Throws `mirror-unavailable`. */
export async function isThere(root: string, name: string): Promise<boolean> {
  try {
    return (await stat(join(root, name))).isFile();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw unavailable(root, error);
  }
}

/**
 * Beside the folder and renamed into it: a reader sees it whole or not at all, and no leftovers of a process that was killed. Throws
 * `mirror-unavailable`.
 */
export async function writeWhole(root: string, name: string, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  const path = join(root, name);
  const staging = join(`${root}.new`, randomBytes(8).toString('hex'));
  try {
    await mkdir(dirname(staging), { recursive: true });
    await mkdir(dirname(path), { recursive: true });
    const file = await open(staging, 'wx', 0o644);
    try {
      await fill(file);
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
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unavailable(root: string, error: unknown): CountersignError {
  if (error instanceof CountersignError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new CountersignError(code === 'ENOSPC' ? 'disk-full' : 'mirror-unavailable', `${root}: ${message}`, {
    remedy: 'See that the folder is there and can be written',
    retry: true,
    cause: error,
  });
}
