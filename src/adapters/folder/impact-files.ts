import { createHash, randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toCountersignError } from '../../errors.js';
import type { ImpactState } from '../../review/impact.js';

/** How far analyses are, a file each: what a stopped one goes on from. They can be made again, so a file that cannot be read is none. */
export class ImpactFiles {
  readonly #folder: string;
  readonly #data: string;

  /** `data` tells the states of one log from those of another. */
  constructor(folder: string, data: string) {
    this.#folder = join(folder, 'impact');
    this.#data = realpathSync(data);
  }

  async load(start: ImpactState): Promise<ImpactState | null> {
    try {
      const state = JSON.parse(await readFile(this.#path(start), 'utf8')) as ImpactState;
      return state.bundleDigest === start.bundleDigest && state.since === start.since ? state : null;
    } catch {
      return null;
    }
  }

  /** As a whole or not at all. */
  async save(state: ImpactState): Promise<void> {
    const path = this.#path(state);
    try {
      await mkdir(this.#folder, { recursive: true });
      const staging = `${path}.${randomUUID()}`;
      await writeFile(staging, JSON.stringify(state));
      await rename(staging, path);
    } catch (error) {
      throw toCountersignError(error);
    }
  }

  #path({ bundleDigest, repository, since }: ImpactState): string {
    const name = createHash('sha256').update(JSON.stringify([this.#data, bundleDigest, repository, since]));
    return join(this.#folder, `${name.digest('hex')}.json`);
  }
}
