import { CountersignError } from '../errors.js';
import type { SignedCheckpoint } from './checkpoint.js';
import { openCheckpoint } from './checkpoint.js';
import { fromHex } from './crypto.js';
import type { LoggedEntry } from './entry.js';
import type { Inclusion } from './ledger.js';
import { inclusionHolds, leafHash } from './merkle.js';
import type { Trust } from './policy-file.js';
import { entryOf } from './statement.js';

const seal = Symbol('made by verifyInclusion');

/**
 * An entry that a checkpoint signed by a trusted log includes. Only verifyInclusion makes one, at run time too: a cast or a copied
 * prototype lacks the private field, which isProvenEntry looks for (invariant 1).
 */
export class ProvenEntry {
  readonly #entry: LoggedEntry;
  readonly #checkpoint: SignedCheckpoint;

  constructor(key: symbol, entry: LoggedEntry, checkpoint: SignedCheckpoint) {
    if (key !== seal) throw new CountersignError('proof-invalid', 'only verifyInclusion makes a proven entry');
    this.#entry = entry;
    this.#checkpoint = checkpoint;
    Object.freeze(this);
  }

  /** Decoded from the leaf that was proven, not from what stood beside it. */
  get entry(): LoggedEntry {
    return this.#entry;
  }

  get checkpoint(): SignedCheckpoint {
    return this.#checkpoint;
  }

  static isProven(value: unknown): value is ProvenEntry {
    return typeof value === 'object' && value !== null && #entry in value;
  }
}

export const isProvenEntry = (value: unknown): value is ProvenEntry => ProvenEntry.isProven(value);

/**
 * Checks leaf hash, inclusion proof, the checkpoint's signature by the trusted log and, where the trust asks for them, its
 * witnesses. Throws `proof-invalid`, `note-invalid`.
 */
export function verifyInclusion(inclusion: Inclusion, trust: Trust): ProvenEntry {
  const checkpoint = openCheckpoint(inclusion.checkpoint, trust.log, trust.witnesses);
  if (!trust.quorumReached(checkpoint.signedBy)) {
    throw new CountersignError('proof-invalid', `the checkpoint of size ${checkpoint.size} lacks its ${trust.quorum}`);
  }
  const { index } = inclusion.entry;
  const leaf = Buffer.from(inclusion.entry.envelope); // a copy: its caller cannot change it after the check
  const proof = inclusion.proof.map((hash) => fromHex(hash, 32) ?? new Uint8Array());
  const holds =
    inclusion.treeSize === checkpoint.size &&
    inclusionHolds(index, checkpoint.size, leafHash(leaf), proof, checkpoint.root);
  if (!holds) {
    throw new CountersignError(
      'proof-invalid',
      `entry ${index} is not in the log that the checkpoint of size ${checkpoint.size} commits to`,
    );
  }
  return new ProvenEntry(seal, deepFreeze(entryOf(index, leaf)), checkpoint);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}
