import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ed25519Signer, fromBase64, toBase64 } from '../../audit/crypto.js';
import type { Ed25519Signer } from '../../audit/crypto.js';
import type { PublicKeys } from '../../audit/keys.js';
import { noteSigner } from '../../audit/note.js';
import { CountersignError } from '../../errors.js';
import { kmsSigner, parseKmsReference } from './kms.js';
import { readOrMake, secret } from './secret-file.js';

/*
 * The files of a rotation, in DIR/keys. NAME is `log`, whose key may be in KMS instead (NAME.kms, which holds a reference), or `entries`.
 *
 *   NAME.key        signs now                           NAME.next.key   will sign; until then checkpoints are signed with both
 *   next.handover   the checkpoint from which on auditors can follow from the old log key to the next; the service writes it
 *   handover.N      those of rotations that are over    retired         public keys that sign no more, a line each
 *
 * Each step may be the last one before a crash; `finish` taken up again ends in the same place. The old secret goes last, and only once the
 * log has named its follower.
 */

export interface Rotation {
  readonly next:
    | {
        readonly log: Ed25519Signer;
        readonly entries: Ed25519Signer;
        readonly named: (handover: string) => Promise<void>;
      }
    | undefined;
  readonly retired: readonly PublicKeys[];
  readonly handovers: readonly string[];
}

export async function readRotation(folder: string): Promise<Rotation> {
  const [begun, handovers, retired] = await Promise.all([isBegun(folder), readHandovers(folder), readRetired(folder)]);
  if (!begun) return { next: undefined, retired, handovers };
  if (!(await exists(join(folder, 'entries.next.key')))) {
    throw new CountersignError('keys-invalid', 'a rotation of the keys was interrupted', {
      place: { file: folder },
      remedy: 'Finish it: countersign keys rotate --finish',
    });
  }
  const [log, entries] = await Promise.all([logSigner(folder, 'log.next'), entriesSigner(folder, 'entries.next')]);
  const named = async (handover: string): Promise<void> => {
    await readOrMake(join(folder, 'next.handover'), () => handover.trimEnd());
  };
  return { next: { log, entries, named }, retired, handovers };
}

/** Makes the keys that will take over, the log's in KMS if `kms` says where. Resolves to the next vkey. */
export async function beginRotation(folder: string, origin: string, kms?: string): Promise<string> {
  if (await isBegun(folder)) {
    throw new CountersignError('usage', 'a rotation of the keys is under way', {
      remedy: 'Finish it when every auditor has the new vkey: countersign keys rotate --finish',
    });
  }
  // The log's comes last: with it the rotation has begun.
  await entriesSigner(folder, 'entries.next');
  if (kms !== undefined) {
    parseKmsReference(kms);
    await kmsSigner(kms);
    await readOrMake(join(folder, 'log.next.kms'), () => kms);
  }
  return noteSigner(origin, await logSigner(folder, 'log.next')).vkey;
}

/** Resolves to the vkey that signs from now on. Throws `usage` before the log has named it. */
export async function finishRotation(folder: string, origin: string): Promise<string> {
  const handover = join(folder, 'next.handover');
  if (!(await exists(handover))) {
    throw new CountersignError('usage', 'there is no rotation that the log has named the next keys of', {
      remedy: 'Begin one with countersign keys rotate, and start the service once',
    });
  }
  if (await isBegun(folder)) {
    const vkey = noteSigner(origin, await logSigner(folder, 'log')).vkey;
    const retired = await readRetired(folder);
    if (retired.at(-1)?.vkey !== vkey) {
      const lines = [...retired, { vkey, entries: (await entriesSigner(folder, 'entries')).publicKey }];
      await replace(join(folder, 'retired'), lines.map((keys) => `${keys.vkey} ${toBase64(keys.entries)}`).join('\n'));
    }
    await moved(join(folder, 'entries.next.key'), join(folder, 'entries.key'));
    const [from, other] = (await exists(join(folder, 'log.next.kms'))) ? ['kms', 'key'] : ['key', 'kms'];
    // Where both kinds of file are there KMS is meant: from one kind to the other there is always one whole key.
    if (from === 'key') await rm(join(folder, 'log.kms'), { force: true });
    await moved(join(folder, `log.next.${from}`), join(folder, `log.${from}`));
    await rm(join(folder, `log.${other}`), { force: true });
  }
  await moved(handover, join(folder, `handover.${(await handoverNumbers(folder)).length + 1}`));
  return noteSigner(origin, await logSigner(folder, 'log')).vkey;
}

/** In KMS where NAME.kms says so, else from NAME.key, which is made if it is not there. */
export async function logSigner(folder: string, name: 'log' | 'log.next'): Promise<Ed25519Signer> {
  const reference = await text(join(folder, `${name}.kms`));
  return reference === undefined ? ed25519Signer(await secret(join(folder, `${name}.key`))) : kmsSigner(reference);
}

const entriesSigner = async (folder: string, name: 'entries' | 'entries.next'): Promise<Ed25519Signer> =>
  ed25519Signer(await secret(join(folder, `${name}.key`)));

async function isBegun(folder: string): Promise<boolean> {
  return (await exists(join(folder, 'log.next.key'))) || exists(join(folder, 'log.next.kms'));
}

async function readHandovers(folder: string): Promise<readonly string[]> {
  const files = [...(await handoverNumbers(folder)).map((n) => `handover.${n}`), 'next.handover'];
  const notes = await Promise.all(files.map((file) => text(join(folder, file))));
  return notes.filter((note) => note !== undefined).map((note) => `${note}\n`);
}

async function handoverNumbers(folder: string): Promise<readonly number[]> {
  const numbers = (await readdir(folder)).flatMap((file) => /^handover\.(\d+)$/.exec(file)?.[1] ?? []);
  return numbers.map(Number).toSorted((a, b) => a - b);
}

async function readRetired(folder: string): Promise<readonly PublicKeys[]> {
  const lines = (await text(join(folder, 'retired')))?.split('\n') ?? [];
  return lines.map((line) => {
    const [vkey = '', key = ''] = line.split(' ');
    const entries = fromBase64(key);
    if (entries?.length === 32) return { vkey, entries };
    throw new CountersignError('keys-invalid', 'a line of retired keys cannot be read', {
      place: { file: join(folder, 'retired') },
      remedy: 'Restore the file from your backup',
    });
  });
}

async function replace(path: string, content: string): Promise<void> {
  await rm(`${path}.new`, { force: true });
  await readOrMake(`${path}.new`, () => content);
  await rename(`${path}.new`, path);
}

const moved = (from: string, to: string): Promise<void> => rename(from, to).catch(absent);

function absent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function text(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    absent(error as NodeJS.ErrnoException);
    return undefined;
  }
}
