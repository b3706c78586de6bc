import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ed25519Signer, hmacSha256, sha256, toHex } from '../../audit/crypto.js';
import type { KeyRing } from '../../audit/keys.js';
import { isName, noteCosigner, noteSigner, type NoteCosigner } from '../../audit/note.js';
import { CountersignError } from '../../errors.js';

const files = { origin: 'origin', log: 'log.key', entries: 'entries.key', redaction: 'redaction.key' } as const;

export interface FileKeyOptions {
  readonly data: string;
  /** Fixed when the keys are made, since the log's key carries it; later only compared. */
  readonly origin?: string;
}

/** The keys in DIR/keys, made on the first start. Throws `keys-invalid`, `data-folder`. */
export async function openKeys({ data, origin }: FileKeyOptions): Promise<KeyRing> {
  const folder = join(data, 'keys');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const fallback = `countersign.localhost/${randomBytes(6).toString('hex')}`;
  const name = await readOrMake(join(folder, files.origin), () => origin ?? fallback);
  if (origin !== undefined && origin !== name) {
    throw new CountersignError('keys-invalid', `this log's origin is ${name}, the configuration says ${origin}`, {
      place: { file: join(folder, files.origin) },
      remedy: 'Set the origin back, or use a new data folder for a new log',
    });
  }
  if (!isName(name)) throw new CountersignError('keys-invalid', `"${name}" cannot be an origin: no spaces, no "+"`);
  const [log, entries, redaction] = await Promise.all(
    [files.log, files.entries, files.redaction].map((file) => secret(join(folder, file))),
  );
  return keyRing(name, log, entries, redaction);
}

/** The keys of an existing data folder; never makes any. */
export async function readKeys(data: string): Promise<KeyRing> {
  try {
    await stat(join(data, 'keys', files.log));
  } catch (cause) {
    throw new CountersignError('keys-invalid', `there are no keys in ${data}`, {
      remedy: 'Name the data folder of a service that was started once',
      cause,
    });
  }
  return openKeys({ data });
}

/**
 * The key of a witness in its own folder, made on the first start under `name`, which is later only compared. Throws
 * `keys-invalid`, `data-folder`.
 */
export async function openWitnessKey(data: string, name?: string): Promise<NoteCosigner> {
  await mkdir(data, { recursive: true, mode: 0o700 });
  const file = join(data, 'name');
  const given = await readOrMake(file, () => {
    if (name !== undefined && isName(name)) return name;
    throw new CountersignError('keys-invalid', 'a new witness needs a name: no spaces, no "+"', {
      remedy: 'Give it with --name, such as witness.example.org/w1',
    });
  });
  if (name !== undefined && name !== given) {
    throw new CountersignError('keys-invalid', `this witness is ${given}, not ${name}`, {
      place: { file },
      remedy: 'Use a new folder for a new witness',
    });
  }
  return noteCosigner(given, ed25519Signer(await secret(join(data, 'witness.key'))));
}

function keyRing(origin: string, log: Uint8Array, entries: Uint8Array, redaction: Uint8Array): KeyRing {
  return {
    origin,
    log: noteSigner(origin, ed25519Signer(log)),
    entries: ed25519Signer(entries),
    redaction: { id: toHex(sha256(sha256(redaction))).slice(0, 16), digest: (bytes) => hmacSha256(redaction, bytes) },
  };
}

async function secret(path: string): Promise<Uint8Array> {
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
async function readOrMake(path: string, make: () => string): Promise<string> {
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
