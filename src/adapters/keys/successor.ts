import { copyFile, mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CountersignError } from '../../errors.js';
import { isName } from '../../audit/note.js';

const kept = ['entries.key', 'redaction.key'];

/**
 * The keys folder of a log that follows another, made in `staging`: a log key of its own (openKeys makes it), the same entry and redaction
 * keys, so that digests of secrets stay comparable. Throws `keys-invalid`.
 */
export async function prepareSuccessor(data: string, staging: string, origin: string): Promise<void> {
  if (!isName(origin)) {
    throw new CountersignError('keys-invalid', `"${origin}" cannot be an origin: no spaces, no "+"`);
  }
  const folder = join(staging, 'keys');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, 'origin'), `${origin}\n`, { mode: 0o600 });
  for (const file of kept) {
    const there = await stat(join(data, 'keys', file)).catch(() => undefined);
    if (there) await copyFile(join(data, 'keys', file), join(folder, file));
  }
}

/** The old ones are kept beside: they verify what the old log signed. */
export async function installSuccessor(data: string, staging: string, aside: string): Promise<void> {
  await moveOnce(join(data, 'keys'), join(data, `keys.${aside}`));
  await moveOnce(join(staging, 'keys'), join(data, 'keys'));
  await moveOnce(join(data, 'checkpoint'), join(data, `checkpoint.${aside}`));
  await moveOnce(join(staging, 'checkpoint'), join(data, 'checkpoint'));
}

/** A step that a process killed before the next one has done already is not done again. */
async function moveOnce(from: string, to: string): Promise<void> {
  if (await stat(to).catch(() => undefined)) return;
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}
