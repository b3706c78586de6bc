import { CountersignError } from '../errors.js';
import type { Hash } from './crypto.js';
import { fromBase64, toBase64 } from './crypto.js';
import type { NoteSigner, NoteVerifier } from './note.js';
import { openNote } from './note.js';

/** C2SP tlog-checkpoint: what the log commits to. */
export interface Checkpoint {
  readonly origin: string;
  /** Entries in the tree. */
  readonly size: number;
  readonly root: Hash;
}

export interface SignedCheckpoint extends Checkpoint {
  /** The signed note that said so. */
  readonly note: string;
  readonly signedBy: readonly NoteVerifier[];
  /** When each witness says it saw it, in seconds since 1970. */
  readonly cosignedAt: ReadonlyMap<NoteVerifier, number>;
}

function formatCheckpoint(checkpoint: Checkpoint): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${toBase64(checkpoint.root)}\n`;
}

/** Ed25519 is deterministic and the text holds no time, so signing one tree twice gives the same bytes. */
export async function signCheckpoint(checkpoint: Checkpoint, signer: NoteSigner): Promise<string> {
  const text = formatCheckpoint(checkpoint);
  return `${text}\n${await signer.sign(text)}`;
}

/** Extension lines of other implementations are tolerated. Throws `note-invalid`. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', decimal = '', base64 = '', ...more] = text.split('\n');
  const root = fromBase64(base64);
  const size = /^(0|[1-9]\d*)$/.test(decimal) ? Number(decimal) : Number.NaN;
  const extensionsHold = more.length > 0 && more.at(-1) === '' && more.slice(0, -1).every((line) => line !== '');
  if (origin === '' || !Number.isSafeInteger(size) || root?.length !== 32 || !extensionsHold) {
    throw new CountersignError('note-invalid', 'the signed note is refused: its text is no checkpoint');
  }
  return { origin, size, root };
}

/**
 * The checkpoint in a note signed by the log's key, and by any of the witnesses given. The log's key is named like its origin:
 * one key cannot speak for another log. Throws `note-invalid`.
 */
export function openCheckpoint(
  note: string,
  log: NoteVerifier,
  witnesses: readonly NoteVerifier[] = [],
): SignedCheckpoint {
  const opened = openNote(note, [log, ...witnesses]);
  const checkpoint = parseCheckpoint(opened.text);
  if (checkpoint.origin !== log.name) {
    throw new CountersignError('note-invalid', `the checkpoint is of log ${checkpoint.origin}, not of ${log.name}`);
  }
  if (!opened.signedBy.includes(log)) {
    throw new CountersignError('note-invalid', `the checkpoint is not signed by the log ${log.name}`);
  }
  return { ...checkpoint, note, signedBy: opened.signedBy, cosignedAt: opened.cosignedAt };
}
