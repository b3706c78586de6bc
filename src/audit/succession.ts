import type { SignedCheckpoint } from './checkpoint.js';
import { openCheckpoint, parseCheckpoint } from './checkpoint.js';
import type { Hash } from './crypto.js';
import { equalBytes } from './crypto.js';
import type { LoggedEntry } from './entry.js';
import { invalid } from './evidence.js';
import type { NoteVerifier } from './note.js';
import { parseNote, parseVkey } from './note.js';
import { CountersignError } from '../errors.js';

/**
 * Which log keys are to be believed, begun with the one that the auditor holds. Another one is believed from where the log names it, once a
 * checkpoint that a believed key signed covers that entry: whoever holds only the new key cannot make itself the successor.
 */
export class Succession {
  readonly #believed: NoteVerifier[];
  /** Named by entries that no believed checkpoint covers yet. */
  #named: NoteVerifier[] = [];
  readonly #handovers: ReadonlyMap<number, readonly string[]>;

  constructor(
    private readonly first: NoteVerifier,
    handovers: readonly string[],
  ) {
    this.#believed = [first];
    this.#handovers = Map.groupBy(handovers, (note) => parseCheckpoint(parseNote(note).text).size);
  }

  /** Those that followed, oldest first. */
  get followers(): readonly NoteVerifier[] {
    return this.#believed.slice(1);
  }

  /** An entry of type key. Throws `bundle-invalid` for a key that is none, or is another log's. */
  read({ index, predicate: { use, phase, vkey } }: LoggedEntry): void {
    if (use !== 'checkpoint-signing' || phase !== 'next') return;
    let key: NoteVerifier | undefined;
    try {
      key = parseVkey(typeof vkey === 'string' ? vkey : '');
    } catch {
      // said below
    }
    if (key?.name !== this.first.name || key.cosigns)
      throw invalid(`entry ${index} names a key that is none of this log`);
    if (!this.#believed.some((believed) => believed.vkey === vkey)) this.#named.push(key);
  }

  /** To be told of each size at which there is a handover, and the root there. */
  isHandover(size: number): boolean {
    return this.#handovers.has(size);
  }

  handOver(size: number, root: Hash): void {
    for (const note of this.#handovers.get(size) ?? []) {
      const opened = this.#opened(note, []);
      if (!opened) continue;
      if (!equalBytes(opened.root, root))
        throw invalid(`the log was forked: its handover at ${size} entries is of another`);
      this.#believed.push(...this.#named);
      this.#named = [];
    }
  }

  /** Under the newest believed key that signed it. Throws `note-invalid`. */
  open(note: string, witnesses: readonly NoteVerifier[]): SignedCheckpoint {
    return this.#opened(note, witnesses) ?? openCheckpoint(note, this.first, witnesses);
  }

  #opened(note: string, witnesses: readonly NoteVerifier[]): SignedCheckpoint | undefined {
    for (const key of this.#believed.toReversed()) {
      try {
        return openCheckpoint(note, key, witnesses);
      } catch (error) {
        if (!(error instanceof CountersignError)) throw error; // not by this key: perhaps by the one before
      }
    }
    return undefined;
  }
}
