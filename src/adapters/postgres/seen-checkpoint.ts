import { open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SeenCheckpoint } from '../../audit/sequencer.js';

/** DIR/checkpoint: replaced whole by an atomic rename, so that a crash leaves the old one or the new one. */
export class CheckpointFile implements SeenCheckpoint {
  readonly #path: string;

  constructor(data: string) {
    this.#path = join(data, 'checkpoint');
  }

  async load(): Promise<string | undefined> {
    try {
      return await readFile(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async save(note: string): Promise<void> {
    const staging = `${this.#path}.new`;
    const file = await open(staging, 'w', 0o644);
    try {
      await file.writeFile(note);
      await file.datasync();
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
