import { CountersignError } from '../errors.js';
import type { SignedCheckpoint } from './checkpoint.js';
import { openCheckpoint } from './checkpoint.js';
import { fromHex } from './crypto.js';
import type { Ledger } from './ledger.js';
import type { NoteVerifier } from './note.js';
import type { Trust } from './policy-file.js';
import { formatCosignRequest } from './witness.js';

/** A witness to be asked. Rejects with `witness-unavailable`. */
export interface WitnessPort {
  readonly key: NoteVerifier;
  /** POST /add-checkpoint of C2SP tlog-witness. */
  addCheckpoint(body: string): Promise<{ readonly status: number; readonly body: string }>;
}

/** Where the newest checkpoint that enough witnesses signed is kept. */
export interface CosignedStore {
  /** Keeps the note, unless one of more entries is kept already. */
  save(note: string, size: number): Promise<void>;
}

export interface Round {
  readonly checkpoint: SignedCheckpoint;
  readonly quorumReached: boolean;
  /** One for each witness that did not sign. */
  readonly faults: readonly CountersignError[];
}

/** Has witnesses sign the log's newest checkpoint. Appending never waits for them: what they add is who else has seen the tree. */
export class Cosigning {
  /** What each witness said it saw last. */
  readonly #sizes = new Map<NoteVerifier, number>();

  constructor(
    private readonly log: Pick<Ledger, 'checkpoint' | 'consistency'>,
    private readonly trust: Trust,
    private readonly witnesses: readonly WitnessPort[],
    private readonly store: CosignedStore,
  ) {}

  /** Asks every witness at once, and keeps the note if they are enough. */
  async round(): Promise<Round> {
    const note = await this.log.checkpoint();
    const { size } = openCheckpoint(note, this.trust.log);
    const answers = await Promise.allSettled(this.witnesses.map((witness) => this.#ask(witness, note, size)));
    const lines = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const faults = answers.flatMap((answer) => (answer.status === 'rejected' ? [asFault(answer.reason)] : []));
    const checkpoint = openCheckpoint(note + lines.join(''), this.trust.log, this.trust.witnesses);
    const quorumReached = lines.length > 0 && this.trust.quorumReached(checkpoint.signedBy);
    if (quorumReached) await this.store.save(checkpoint.note, size);
    return { checkpoint, quorumReached, faults };
  }

  /** The witness's signature line, checked. */
  async #ask(witness: WitnessPort, note: string, size: number): Promise<string> {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const known = this.#sizes.get(witness.key) ?? 0;
      if (known > size) throw this.#ahead(witness.key, known, size);
      const proof = known === 0 ? [] : await this.log.consistency(known, size);
      const checkpoint = { oldSize: known, proof: proof.map((hash) => fromHex(hash, 32)!), checkpoint: note };
      const { status, body } = await witness.addCheckpoint(formatCosignRequest(checkpoint));
      if (status === 200) {
        const line = this.#ownLine(witness.key, note, body);
        this.#sizes.set(witness.key, size);
        return line;
      }
      const seen = status === 409 && /^(0|[1-9]\d{0,15})\n$/.test(body) ? Number(body) : undefined;
      if (seen === undefined || seen === known) throw this.#refused(witness.key, status, body);
      this.#sizes.set(witness.key, seen);
    }
    throw this.#refused(witness.key, 409, 'its size keeps changing');
  }

  /** Other keys' lines are not taken along, and this one's only if it is good. */
  #ownLine(key: NoteVerifier, note: string, body: string): string {
    const lines = body.split('\n').filter((line) => line.startsWith(`— ${key.name} `));
    const good = lines.find((line) => {
      try {
        return openCheckpoint(`${note}${line}\n`, this.trust.log, [key]).signedBy.includes(key);
      } catch (error) {
        if (error instanceof CountersignError) return false; // the note itself was read before: it is the line
        throw error;
      }
    });
    if (good === undefined) throw this.#refused(key, 200, 'no good signature by its key in the answer');
    return `${good}\n`;
  }

  #refused(key: NoteVerifier, status: number, said: string): CountersignError {
    return new CountersignError(
      'witness-unavailable',
      `witness ${key.name} did not sign (${status}): ${said.trim().slice(0, 200)}`,
      { remedy: `See that it watches this log's key, ${this.trust.log.vkey}`, retry: true },
    );
  }

  /** Our own later start is no reason: what it saw, this log had signed. */
  #ahead(key: NoteVerifier, known: number, size: number): CountersignError {
    // Another process of this service may have signed more meanwhile: the next round asks anew.
    this.#sizes.delete(key);
    return new CountersignError(
      'log-behind',
      `witness ${key.name} has seen ${known} entries of this log, which now shows ${size}`,
      {
        remedy: 'If it stays so, an older database was restored: stop the service and restore the newest',
        retry: true,
      },
    );
  }
}

function asFault(reason: unknown): CountersignError {
  if (reason instanceof CountersignError) return reason;
  throw reason;
}
