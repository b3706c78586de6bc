import { createWriteStream } from 'node:fs';
import { access, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { CountersignError } from '../../errors.js';

/** Writes a new file, of which nothing is there under its name until all of it is, durably. Throws `usage` for one that is there already. */
export async function writeWhole(path: string, content: AsyncIterable<string | Uint8Array>): Promise<void> {
  const there = await access(path).then(() => true, () => false); // prettier-ignore
  if (there) throw new CountersignError('usage', `${path} is there already`, { remedy: 'Name a new file' });
  const partial = `${path}.part`;
  try {
    await pipeline(content, createWriteStream(partial, { flags: 'wx', flush: true }));
    await rename(partial, path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') await rm(partial, { force: true });
    if (cause instanceof CountersignError) throw cause;
    throw new CountersignError('usage', `${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
}
