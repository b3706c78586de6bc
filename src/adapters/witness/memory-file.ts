import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { equalBytes, fromBase64, sha256, toBase64, toHex, utf8 } from '../../audit/crypto.js';
import type { WitnessedTree, WitnessMemory } from '../../audit/witness.js';
import { CountersignError } from '../../errors.js';

/**
 * A file a log: `DIR/<SHA-256 of the origin>`, holding origin, size and root. Written aside, flushed and renamed, so that a crash
 * leaves the old or the new. One process a folder (src/adapters/folder/folder-lock.ts); within it, one write at a time.
 */
export class WitnessFiles implements WitnessMemory {
  #turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly folder: string) {}

  async last(origin: string): Promise<WitnessedTree | undefined> {
    const file = this.#path(origin);
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const [name, size, base64, end, ...more] = text.split('\n');
    const root = fromBase64(base64 ?? '');
    if (name === origin && /^\d+$/.test(size ?? '') && root?.length === 32 && end === '' && more.length === 0) {
      return { size: Number(size), root };
    }
    // To go on without it would be to sign whatever comes next.
    throw new CountersignError('data-folder', `what this witness remembers of ${origin} cannot be read`, {
      place: { file },
      remedy: 'Restore the file from a copy that is not older than the last cosignature; never delete it',
    });
  }

  advance(origin: string, previous: WitnessedTree | undefined, next: WitnessedTree): Promise<boolean> {
    const done = this.#turn.then(async () => {
      const last = await this.last(origin);
      if (!same(last, previous)) return false;
      if (!same(last, next)) await this.#write(origin, next);
      return true;
    });
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #write(origin: string, { size, root }: WitnessedTree): Promise<void> {
    const path = this.#path(origin);
    const staging = `${path}.new`;
    const file = await open(staging, 'w', 0o644);
    try {
      await file.writeFile(`${origin}\n${size}\n${toBase64(root)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staging, path);
    const folder = await open(this.folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  #path(origin: string): string {
    return join(this.folder, toHex(sha256(utf8(origin))));
  }
}

function same(a: WitnessedTree | undefined, b: WitnessedTree | undefined): boolean {
  return a === b || (!!a && !!b && a.size === b.size && equalBytes(a.root, b.root));
}
