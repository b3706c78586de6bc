import { CountersignError } from '../errors.js';
import { openCheckpoint, parseCheckpoint } from './checkpoint.js';
import type { SignedCheckpoint } from './checkpoint.js';
import type { Hash } from './crypto.js';
import { equalBytes, fromBase64, toBase64 } from './crypto.js';
import { consistencyHolds, emptyRoot } from './merkle.js';
import type { NoteCosigner, NoteVerifier } from './note.js';
import { parseNote } from './note.js';

// C2SP tlog-witness: a witness signs that a log's tree has only grown since it last looked.

const maxProofLines = 63;

/** What a log asks of a witness. */
export interface CosignRequest {
  /** The size that the log believes the witness saw last; 0 for never. */
  readonly oldSize: number;
  /** RFC 6962 consistency proof from `oldSize` to the checkpoint's size. */
  readonly proof: readonly Hash[];
  /** The signed note. */
  readonly checkpoint: string;
}

export interface WitnessedTree {
  readonly size: number;
  readonly root: Hash;
}

/** What the witness remembers of each log. Durable, or a restart could be made to sign a fork. */
export interface WitnessMemory {
  /** The newest tree it cosigned for this origin. */
  last(origin: string): Promise<WitnessedTree | undefined>;
  /**
   * Remembers `next` in the place of `previous`, durably, and only if `previous` is still the last; false if it is not (the
   * rollback that tlog-witness warns of).
   */
  advance(origin: string, previous: WitnessedTree | undefined, next: WitnessedTree): Promise<boolean>;
}

/** An answer as HTTP gives it; `body` is signature lines for 200, the size last seen for 409, else a sentence. */
export interface WitnessAnswer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  readonly body: string;
}

/** The body of `POST /add-checkpoint`. */
export function formatCosignRequest({ oldSize, proof, checkpoint }: CosignRequest): string {
  return `old ${oldSize}\n${proof.map((hash) => `${toBase64(hash)}\n`).join('')}\n${checkpoint}`;
}

/** Undefined for anything but the format, canonical numbers and base64 included. */
export function parseCosignRequest(body: string): CosignRequest | undefined {
  const end = body.indexOf('\n\n');
  if (end < 0) return undefined;
  const [first, ...lines] = body.slice(0, end).split('\n');
  const old = /^old (0|[1-9]\d{0,15})$/.exec(first);
  const proof = lines.map(fromBase64).filter((hash) => hash?.length === 32) as Hash[];
  if (!old || !Number.isSafeInteger(Number(old[1])) || proof.length < lines.length || lines.length > maxProofLines) {
    return undefined;
  }
  return { oldSize: Number(old[1]), proof, checkpoint: body.slice(end + 2) };
}

/** Signs what only grew, and nothing else. */
export class Witness {
  readonly #logs: ReadonlyMap<string, readonly NoteVerifier[]>;

  constructor(
    logs: readonly NoteVerifier[],
    private readonly cosigner: NoteCosigner,
    private readonly memory: WitnessMemory,
    /** Milliseconds since 1970. */
    private readonly now: () => number = Date.now,
  ) {
    this.#logs = Map.groupBy(logs, (log) => log.name);
  }

  /** Throws only what its memory throws: nothing was signed then. */
  async addCheckpoint(body: string): Promise<WitnessAnswer> {
    const request = parseCosignRequest(body);
    if (!request) return refuse(400, 'this is not an add-checkpoint request (C2SP tlog-witness)');
    const checkpoint = this.#open(request.checkpoint);
    if ('status' in checkpoint) return checkpoint;
    const { origin, size, root } = checkpoint;
    const { oldSize, proof } = request;
    if (oldSize > size) return refuse(400, `the old size ${oldSize} is larger than the checkpoint's, ${size}`);
    const last = await this.memory.last(origin);
    if (oldSize !== (last?.size ?? 0)) return conflict(last);
    if (last && size === last.size && !equalBytes(root, last.root)) return conflict(last);
    if (!grew(last, checkpoint, proof)) {
      return refuse(422, `the proof does not show that the tree of ${oldSize} entries became this one`);
    }
    if (!(await this.memory.advance(origin, last, { size, root }))) return conflict(await this.memory.last(origin));
    const { text } = parseNote(request.checkpoint);
    return { status: 200, body: await this.cosigner.cosign(text, Math.floor(this.now() / 1000)) };
  }

  #open(note: string): SignedCheckpoint | WitnessAnswer {
    let origin: string;
    try {
      ({ origin } = parseCheckpoint(parseNote(note).text));
    } catch (error) {
      return refuse(400, (error as Error).message);
    }
    const keys = this.#logs.get(origin);
    if (!keys) return refuse(404, `this witness does not watch the log ${JSON.stringify(origin)}`);
    for (const key of keys) {
      try {
        return openCheckpoint(note, key);
      } catch (error) {
        if (!(error instanceof CountersignError)) throw error; // a key's signature is missing or wrong: perhaps the next one's
      }
    }
    return refuse(403, `the checkpoint is not signed by a key of ${origin} that this witness knows`);
  }
}

function grew(last: WitnessedTree | undefined, { size, root }: WitnessedTree, proof: readonly Hash[]): boolean {
  if (size === 0 && !equalBytes(root, emptyRoot)) return false;
  if (!last || last.size === 0) return proof.length === 0;
  return consistencyHolds(last.size, size, last.root, root, proof);
}

const refuse = (status: 400 | 403 | 404 | 422, why: string): WitnessAnswer => ({ status, body: `${why}\n` });
const conflict = (last: WitnessedTree | undefined): WitnessAnswer => ({ status: 409, body: `${last?.size ?? 0}\n` });
