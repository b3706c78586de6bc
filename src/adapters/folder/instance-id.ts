import { randomUUID } from 'node:crypto';
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

const noteSchema = z.object({ id: z.uuid(), host: z.string(), folder: z.string() });

/**
 * DIR/instance.json: by which id the service of this data folder is known to others at the same database. It stays the same over a
 * restart, so that what a killed process held is free at once: as one service uses a folder, its predecessor is gone. A copy of the
 * folder, or the same one on another machine, is another instance.
 */
export async function instanceId(data: string): Promise<string> {
  const path = join(data, 'instance.json');
  const { dev, ino } = await stat(data);
  const here = { host: hostname(), folder: `${dev}:${ino}` };
  const text = await readFile(path, 'utf8').catch(() => '');
  const known = noteSchema.safeParse(text === '' ? null : parsed(text));
  if (known.success && known.data.host === here.host && known.data.folder === here.folder) return known.data.id;
  const id = randomUUID();
  await writeFile(`${path}.new`, `${JSON.stringify({ id, ...here })}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
  return id;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
