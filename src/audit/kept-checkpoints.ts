import { CountersignError } from '../errors.js';
import { type Checkpoint, openCheckpoint, parseCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import { type Conclusions, count, formatNumber } from './conclusions.js';
import { equalBytes, type Hash } from './crypto.js';
import type { LoggedEntry } from './entry.js';
import { invalid } from './evidence.js';
import type { Frontier } from './merkle.js';
import { type NoteVerifier, openNote, parseNote, parseVkey } from './note.js';

/** A checkpoint in the hands of others, and where: `commit 1f3c… of shop`. */
export interface Anchor {
  readonly where: string;
  readonly note: string;
}

interface KeptCheckpoint extends Checkpoint {
  readonly note: string;
}

/** Checkpoints of this log that the auditor or others kept: its first entries must be those that they were about. */
export class KeptCheckpoints {
  #earlier: KeptCheckpoint | undefined;
  #anchors: readonly (SignedCheckpoint & { readonly where: string })[] = [];
  /** Roots at the sizes of all of them. */
  readonly #roots = new Map<number, Hash | undefined>();
  /** Every key that the log has signed checkpoints with, those that are retired too. */
  readonly #logKeys = new Map<string, NoteVerifier>();

  constructor(
    private readonly log: NoteVerifier,
    /** The auditor's own. */
    private readonly yours: string | undefined,
    private readonly anchors: readonly Anchor[],
  ) {
    this.#logKeys.set(log.vkey, log);
  }

  /**
   * What evidence that claims to be `claimed` will be held against. Throws `bundle-invalid` where it is shorter, `usage` where the auditor's own
   * is no checkpoint of this log: of the evidence, that says nothing.
   */
  expect(claimed: Checkpoint, conclusions: Conclusions): void {
    const earlier = (this.#earlier = this.yours === undefined ? undefined : openYours(this.yours, this.log));
    if (earlier && earlier.size > claimed.size) {
      throw invalid(
        `the log once had ${formatNumber(earlier.size)} entries, this evidence has ${formatNumber(claimed.size)}`,
      );
    }
    this.#anchors = this.#signedByTheLog(conclusions);
    const longer = this.#anchors.find(({ size }) => size > claimed.size);
    if (longer) {
      throw new CountersignError(
        'bundle-invalid',
        `the log had ${formatNumber(longer.size)} entries by the checkpoint anchored in ${longer.where}, this evidence has ${formatNumber(claimed.size)}: it was rolled back, or exported before that`,
        { remedy: 'Ask for evidence up to that checkpoint' },
      );
    }
    for (const { size } of earlier ? [earlier, ...this.#anchors] : this.#anchors) this.#roots.set(size, undefined);
  }

  /** What others put there proves nothing, and is told. */
  #signedByTheLog(conclusions: Conclusions): readonly (SignedCheckpoint & { readonly where: string })[] {
    return this.anchors.flatMap(({ where, note }) => {
      try {
        return [{ ...openCheckpoint(note, this.log), where }];
      } catch (error) {
        if (!(error instanceof CountersignError)) throw error;
        const claim = `the checkpoint anchored in ${where} is not signed by this log, so that it proves nothing`;
        conclusions.leaveToItsWord(claim);
        return [];
      }
    });
  }

  /** Before each entry, and after the last. */
  look(frontier: Frontier): void {
    if (this.#roots.has(frontier.size)) this.#roots.set(frontier.size, frontier.root());
  }

  /** An entry that may name a key of the log. Throws `bundle-invalid` for a key that is none. */
  read({ index, type, predicate }: LoggedEntry): void {
    if (type !== 'key' || predicate['use'] !== 'checkpoint-signing') return;
    for (const member of ['vkey', 'follows']) {
      const vkey = predicate[member];
      if (typeof vkey !== 'string' || this.#logKeys.has(vkey)) continue;
      try {
        this.#logKeys.set(vkey, parseVkey(vkey));
      } catch (cause) {
        throw new CountersignError('bundle-invalid', `entry ${index} names a key that is none`, { cause });
      }
    }
  }

  /** When all entries were read. Throws `bundle-invalid` for a log that was forked, `usage` where the log never signed what the auditor gave. */
  check({ size }: Checkpoint, conclusions: Conclusions): void {
    if (this.#earlier) {
      this.#requireSigned(this.#earlier);
      this.#requireHeld(this.#earlier, 'you gave');
      const detail = `${formatNumber(this.#earlier.size)} of ${count(size, 'entry', 'entries')}`;
      conclusions.prove('consistent with the checkpoint you gave', detail);
    }
    for (const anchor of this.#anchors) this.#requireHeld(anchor, `anchored in ${anchor.where}`);
    if (this.#anchors.length === 0) return;
    const largest = Math.max(...this.#anchors.map((anchor) => anchor.size));
    conclusions.prove(
      `consistent with ${count(this.#anchors.length, 'checkpoint')} anchored in Git`,
      `the newest of ${count(largest, 'entry', 'entries')}`,
    );
  }

  #requireHeld({ size, root }: Checkpoint, whose: string): void {
    if (equalBytes(this.#roots.get(size) ?? new Uint8Array(), root)) return;
    throw invalid(
      `the log was forked: its first ${formatNumber(size)} entries are not those of the checkpoint ${whose}`,
    );
  }

  /** By any key that the log has had: the auditor may have kept it for long. */
  #requireSigned({ note }: KeptCheckpoint): void {
    const keys = [...this.#logKeys.values()].filter(({ name }) => name === this.log.name);
    try {
      openNote(note, keys);
    } catch (cause) {
      throw notOurs(`was not signed by a key of this log: ${(cause as Error).message}`, cause);
    }
  }
}

/** Whether it is signed matters less than that the log begins with it, and is judged when the log has named all its keys. */
function openYours(note: string, log: NoteVerifier): KeptCheckpoint {
  let checkpoint: Checkpoint;
  try {
    checkpoint = parseCheckpoint(parseNote(note).text);
  } catch (cause) {
    throw notOurs(`cannot be read: ${(cause as Error).message}`, cause);
  }
  if (checkpoint.origin !== log.name) throw notOurs(`is of the log ${checkpoint.origin}, not of ${log.name}`);
  return { ...checkpoint, note };
}

const notOurs = (what: string, cause?: unknown): CountersignError =>
  new CountersignError('usage', `the checkpoint you gave ${what}`, {
    remedy: 'Give one of this log, as /log/checkpoint of the service or an earlier evidence bundle holds it',
    cause,
  });
