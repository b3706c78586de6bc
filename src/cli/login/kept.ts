import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { CountersignError } from '../../errors.js';

/** What `countersign login` keeps for one service. */
export interface Kept {
  readonly token: string;
  /** RFC 3339. */
  readonly expires: string;
}

type File = Readonly<Record<string, Kept>>;

/** Of this user only, beside their other settings. */
export function keptFile(env: NodeJS.ProcessEnv = process.env): string {
  return join(env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'countersign', 'login.json');
}

/** Undefined where nobody logged in to that service, or it is too long ago. */
export async function keptToken(address: URL): Promise<string | undefined> {
  const kept = (await read())[address.origin];
  return kept && Date.parse(kept.expires) > Date.now() ? kept.token : undefined;
}

/** Null forgets it. */
export async function keep(address: URL, kept: Kept | null): Promise<void> {
  const file = keptFile();
  const { [address.origin]: _, ...others } = await read();
  const all: File = kept === null ? others : { ...others, [address.origin]: kept };
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const staging = `${file}.${process.pid}`;
  await writeFile(staging, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o600 });
  await rename(staging, file);
}

async function read(): Promise<File> {
  const file = keptFile();
  const text = await readFile(file, 'utf8').catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return '{}';
    throw new CountersignError('usage', `${file} cannot be read: ${thrown.message}`, { cause: thrown });
  });
  try {
    return JSON.parse(text) as File;
  } catch {
    throw new CountersignError('usage', 'it is no JSON', { place: { file }, remedy: 'Delete it and log in again' });
  }
}
