import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ed25519Signer, fromBase64, hmacSha256, sha256, toHex } from '../../audit/crypto.js';
import type { Ed25519Signer } from '../../audit/crypto.js';
import type { KeyRing } from '../../audit/keys.js';
import { bothSign, isName, noteCosigner, noteSigner, type NoteCosigner } from '../../audit/note.js';
import { CountersignError } from '../../errors.js';
import { kmsSigner } from './kms.js';
import { logSigner, readRotation } from './rotation.js';
import { readOrMake, secret } from './secret-file.js';
import { threadedSigner } from './signing-threads.js';

export interface FileKeyOptions {
  readonly data: string;
  /** Fixed when the keys are made, since the log's key carries it; later only compared. */
  readonly origin?: string;
  /** COUNTERSIGN_LOG_KEY (32 bytes in base64, or `kms:…`), COUNTERSIGN_ENTRIES_KEY and COUNTERSIGN_REDACTION_KEY take the place of files. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** The keys in DIR/keys, made on the first start. Throws `keys-invalid`, `keys-unavailable`, `data-folder`. */
export async function openKeys({ data, origin, environment = process.env }: FileKeyOptions): Promise<KeyRing> {
  const folder = join(data, 'keys');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const fallback = `countersign.localhost/${randomBytes(6).toString('hex')}`;
  const name = await readOrMake(join(folder, 'origin'), () => origin ?? fallback);
  if (origin !== undefined && origin !== name) {
    throw new CountersignError('keys-invalid', `this log's origin is ${name}, the configuration says ${origin}`, {
      place: { file: join(folder, 'origin') },
      remedy: 'Set the origin back, or use a new data folder for a new log',
    });
  }
  if (!isName(name)) throw new CountersignError('keys-invalid', `"${name}" cannot be an origin: no spaces, no "+"`);
  const [log, entries, redaction, rotation] = await Promise.all([
    signer(folder, 'log', environment['COUNTERSIGN_LOG_KEY']),
    signer(folder, 'entries', environment['COUNTERSIGN_ENTRIES_KEY']),
    given(environment['COUNTERSIGN_REDACTION_KEY'], 'COUNTERSIGN_REDACTION_KEY') ??
      secret(join(folder, 'redaction.key')),
    readRotation(folder),
  ]);
  const current = noteSigner(name, log);
  const { next, retired, handovers } = rotation;
  const following = next && noteSigner(name, next.log);
  return {
    origin: name,
    log: following ? bothSign(current, following) : current,
    entries,
    redaction: { id: toHex(sha256(sha256(redaction))).slice(0, 16), digest: (bytes) => hmacSha256(redaction, bytes) },
    next: following && { vkey: following.vkey, entries: next.entries.publicKey, named: next.named },
    retired,
    handovers,
  };
}

/** The keys of an existing data folder; never makes any. */
export async function readKeys(data: string): Promise<KeyRing> {
  await readOrigin(data);
  return openKeys({ data });
}

export async function readOrigin(data: string): Promise<string> {
  try {
    return (await readFile(join(data, 'keys', 'origin'), 'utf8')).trim();
  } catch (cause) {
    throw new CountersignError('keys-invalid', `there are no keys in ${data}`, {
      remedy: 'Name the data folder of a service that was started once',
      cause,
    });
  }
}

/** A rotation moves files; keys that come from elsewhere it would leave in force. Throws `usage`. */
export function refuseKeysOfEnvironment(environment: Readonly<Record<string, string | undefined>>): void {
  const variable = ['COUNTERSIGN_LOG_KEY', 'COUNTERSIGN_ENTRIES_KEY'].find((name) => environment[name] !== undefined);
  if (variable === undefined) return;
  throw new CountersignError('usage', `the keys come from the environment: ${variable} is set`, {
    remedy: 'Put its key into the keys folder (docs/keys.md), unset the variable, and rotate then',
  });
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

/** From the environment, or else from the folder. */
async function signer(folder: string, name: 'log' | 'entries', variable: string | undefined): Promise<Ed25519Signer> {
  if (variable === undefined)
    return name === 'log' ? logSigner(folder, 'log') : threadedSigner(await secret(join(folder, 'entries.key')));
  if (name === 'log' && variable.startsWith('kms:')) return kmsSigner(variable);
  const seed = await given(variable, `COUNTERSIGN_${name.toUpperCase()}_KEY`)!;
  return name === 'log' ? ed25519Signer(seed) : threadedSigner(seed);
}

function given(variable: string | undefined, place: string): Promise<Uint8Array> | undefined {
  if (variable === undefined) return undefined;
  const bytes = fromBase64(variable.trim());
  if (bytes?.length === 32) return Promise.resolve(bytes);
  throw new CountersignError('keys-invalid', `${place} does not hold a key`, {
    remedy: "Set it to 32 random bytes in base64, the same at each start; the log's may be kms:… instead",
  });
}
