import { CountersignError } from '../errors.js';
import { openCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import { requireHeld, type MirroredLog } from './mirroring.js';
import type { NoteVerifier } from './note.js';

/** Somewhere that keeps every checkpoint it was given, in the hands of many: a ref of the governed repository. */
export interface AnchorPlace {
  /** For people. */
  readonly where: string;
  /** The newest note of this log there; undefined for none. Throws `repository-missing` (retry true) when it is away. */
  newest(): Promise<string | undefined>;
  /** Puts a note on top. Throws `git-failed` where that is not allowed. */
  add(note: string, size: number): Promise<void>;
}

/** Leaves the log's checkpoint where every clone of the repository gets it: whoever fetches becomes a witness. */
export class Anchoring {
  constructor(
    private readonly log: Pick<MirroredLog, 'newest' | 'checkpoint' | 'readTile'>,
    private readonly place: AnchorPlace,
    private readonly key: NoteVerifier,
  ) {}

  /** Resolves to the size that is anchored. Throws `log-behind` if what was anchored before is not in the log. */
  async round(): Promise<number> {
    const held = await this.check();
    const note = await this.log.checkpoint();
    const now = openCheckpoint(note, this.key);
    if (held && held.size >= now.size) return held.size;
    await this.place.add(note, now.size);
    return now.size;
  }

  /** That the log still holds what was anchored last. Throws `log-behind`. */
  async check(): Promise<SignedCheckpoint | undefined> {
    const last = await this.place.newest();
    if (last === undefined) return undefined;
    const held = this.#open(last);
    // Read after the place was asked: the log can only have grown since that was anchored.
    const now = openCheckpoint(await this.log.newest(), this.key);
    await requireHeld(held, now, this.log.readTile, `the checkpoint anchored in ${this.place.where}`);
    return held;
  }

  #open(note: string): SignedCheckpoint {
    try {
      return openCheckpoint(note, this.key);
    } catch (cause) {
      throw new CountersignError('note-invalid', `what is anchored in ${this.place.where} was not signed by this log`, {
        remedy: `Find out who may push there; then remove it, or keep this log from anchoring`,
        cause,
      });
    }
  }
}
