import type { SignedCheckpoint } from './checkpoint.js';
import { openCheckpoint } from './checkpoint.js';
import { fromUtf8 } from './crypto.js';
import { evidenceFiles, evidenceLimits, invalid } from './evidence.js';
import type { NoteVerifier } from './note.js';
import { decodeEntries, tilePath, tileWidth, widthAt } from './tiles.js';

/** A log as files by name, wherever they are: `checkpoint`, `tile/…` (C2SP tlog-tiles), and perhaps `content/<digest>`. */
export interface LogFiles {
  /** For people: a folder, an address. */
  readonly where: string;
  /**
   * Undefined where there is no such file. Throws `bundle-invalid` for one longer than `limit` bytes, `mirror-unavailable` where it
   * cannot be told.
   */
  read(name: string, limit: number): Promise<Uint8Array | undefined>;
}

/** The checkpoint of a copy, signed by one of these keys. Throws `bundle-invalid` if there is none, `note-invalid`. */
export async function checkpointOf(files: LogFiles, log: NoteVerifier): Promise<SignedCheckpoint> {
  const bytes = await files.read(evidenceFiles.checkpoint, evidenceLimits.note);
  if (!bytes) throw invalid(`there is no log in ${files.where}`, evidenceFiles.checkpoint);
  return openCheckpoint(fromUtf8(bytes) ?? '', log);
}

/** Leaves from … to the end of a copy whose tree has `size` entries, one entry bundle at a time. Throws `bundle-invalid`. */
export async function* leavesOf(files: LogFiles, size: number, from: number): AsyncIterable<Uint8Array> {
  for (let index = Math.floor(from / tileWidth); index * tileWidth < size; index += 1) {
    const tile = { level: 'entries', index, width: widthAt(size, 'entries', index) } as const;
    const name = tilePath(tile);
    const bytes = await files.read(name, evidenceLimits.entries);
    if (!bytes) throw invalid(`entries ${index * tileWidth} … are missing in ${files.where}`, name);
    const leaves = decodeEntries(bytes, tile.width);
    yield* leaves.slice(Math.max(0, from - index * tileWidth));
  }
}
