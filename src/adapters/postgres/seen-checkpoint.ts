import { open, readFile, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseCheckpoint } from '../../audit/checkpoint.js';
import { sha256, toHex, utf8 } from '../../audit/crypto.js';
import { parseNote } from '../../audit/note.js';
import type { SeenCheckpoint } from '../../audit/sequencer.js';
import { CountersignError } from '../../errors.js';

const slotBytes = 4096;
const slots = 2;

/**
 * DIR/checkpoint: two slots, each a note, empty lines and the digest of the note, written in turn. A crash in the middle of one
 * leaves the other whole; and since the file never changes its size, one flush of the disk makes a note durable, where a new
 * file with its rename takes three.
 */
export class CheckpointFile implements SeenCheckpoint {
  readonly #path: string;
  #file: FileHandle | undefined;
  #next = 0;
  /** Of the newest note in it; undefined before it was read. */
  #size: number | undefined;

  constructor(data: string) {
    this.#path = join(data, 'checkpoint');
  }

  async load(): Promise<string | undefined> {
    const text = await readFile(this.#path, 'latin1').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    this.#size = -1;
    if (text === undefined) return undefined;
    const notes = Array.from({ length: slots }, (_, i) => readSlot(Buffer.from(text, 'latin1'), i));
    const sizes = notes.map((note) => (note === undefined ? -1 : sizeOf(note)));
    const newest = sizes.indexOf(Math.max(...sizes));
    if (notes[newest] === undefined) {
      throw new CountersignError('data-folder', 'the last checkpoint cannot be read', {
        place: { file: this.#path },
        remedy: 'Restore the file, or remove it if you know that the database is not an older copy',
      });
    }
    this.#next = (newest + 1) % slots;
    this.#size = sizes[newest];
    return notes[newest];
  }

  async save(note: string): Promise<void> {
    if (this.#size === undefined) await this.load();
    // An older one would, in its turn, take the place of the newest.
    if (sizeOf(note) <= (this.#size ?? -1)) return;
    const slot = writeSlot(note);
    const file = (this.#file ??= await this.#open());
    if (!file) {
      await this.#create(slot);
      this.#size = sizeOf(note);
      return;
    }
    await file.write(slot, 0, slotBytes, this.#next * slotBytes);
    await file.datasync();
    this.#next = (this.#next + 1) % slots;
    this.#size = sizeOf(note);
  }

  /** Kept open meanwhile: it is written with each checkpoint. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  #open(): Promise<FileHandle | undefined> {
    return open(this.#path, 'r+').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  async #create(slot: Buffer): Promise<void> {
    const staging = `${this.#path}.new`;
    const file = await open(staging, 'w', 0o644);
    try {
      await file.writeFile(Buffer.concat(Array.from({ length: slots }, () => slot)));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staging, this.#path);
    // The rename itself is durable only with its folder.
    const folder = await open(dirname(this.#path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

const sizeOf = (note: string): number => parseCheckpoint(parseNote(note).text).size;

function writeSlot(note: string): Buffer {
  const digest = `${toHex(sha256(utf8(note)))}\n`;
  const bytes = Buffer.from(note);
  const gap = slotBytes - bytes.length - digest.length;
  if (gap < 1)
    throw new CountersignError('log-invalid', `a checkpoint of ${bytes.length} bytes is too long to be kept`);
  return Buffer.concat([bytes, Buffer.alloc(gap, '\n'), Buffer.from(digest)]);
}

function readSlot(file: Buffer, index: number): string | undefined {
  const lines = file.subarray(index * slotBytes, (index + 1) * slotBytes).toString();
  const match = /^(.*\n)\n+([0-9a-f]{64})\n$/s.exec(lines);
  // The note's own text may hold empty lines, but not at its end.
  const note = match?.[1].replace(/\n+$/, '\n');
  return note !== undefined && toHex(sha256(utf8(note))) === match?.[2] ? note : undefined;
}
