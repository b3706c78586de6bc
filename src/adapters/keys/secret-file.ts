import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm, stat } from 'node:fs/promises';
import { CountersignError } from '../../errors.js';

/** 32 secret bytes in a file that only its owner may read, made if it is not there. Throws `keys-invalid`, `data-folder`. */
export async function secret(path: string): Promise<Uint8Array> {
  const text = await readOrMake(path, () => randomBytes(32).toString('base64'));
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    throw new CountersignError('keys-invalid', 'a secret key can be read by others than its owner', {
      place: { file: path },
      remedy: `Run chmod 600 ${path}, and think about who may have read it`,
    });
  }
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== 32) {
    throw new CountersignError('keys-invalid', 'the file does not hold a key', {
      place: { file: path },
      remedy: 'Restore it from your backup: a new key would be another log',
    });
  }
  return bytes;
}

/** Whole and durable or not there at all; of two processes that start at once, one's file wins and both read it. */
export async function readOrMake(path: string, make: () => string): Promise<string> {
  for (;;) {
    try {
      return (await readFile(path, 'utf8')).trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw new CountersignError('data-folder', `${path} cannot be read: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
    const text = make();
    const staging = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
    const file = await open(staging, 'wx', 0o600);
    try {
      await file.writeFile(`${text}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(staging, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await rm(staging);
  }
}
