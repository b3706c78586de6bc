import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { invalid } from '../../audit/evidence.js';
import { CountersignError } from '../../errors.js';
import type { OpenEvidence } from './zip.js';

/** A folder of tiles as C2SP tlog-tiles serves them. Links and special files are refused, not followed. */
export async function openFolder(root: string): Promise<OpenEvidence> {
  const names = new Set<string>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const name = relative(root, join(entry.parentPath, entry.name)).split(sep).join('/');
    if (entry.isDirectory()) continue;
    if (!entry.isFile()) throw invalid('it is no plain file', name);
    names.add(name);
  }
  const find = (name: string): string => {
    if (!names.has(name)) throw invalid('the file is missing', name);
    return join(root, name);
  };
  return {
    kind: 'tiles',
    names,
    read: async (name, limit) => {
      const path = find(name);
      if ((await lstat(path)).size > limit) throw invalid(`it is longer than ${limit} bytes`, name);
      return readFile(path);
    },
    digest: async (name) => {
      const hash = createHash('sha256');
      for await (const chunk of createReadStream(find(name))) hash.update(chunk as Buffer);
      return hash.digest();
    },
    close: () => Promise.resolve(),
  };
}

/** Into a new folder: files that a stranger left there would become part of the evidence. */
export async function newFolder(root: string): Promise<(name: string, bytes: Uint8Array) => Promise<void>> {
  await mkdir(root, { recursive: true });
  if ((await readdir(root)).length > 0) {
    throw new CountersignError('usage', `${root} is not empty`, { remedy: 'Name a new folder' });
  }
  return async (name, bytes) => {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes, { flag: 'wx' });
  };
}
