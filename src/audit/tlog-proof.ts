import { CountersignError } from '../errors.js';
import type { Hash } from './crypto.js';
import { fromBase64, toBase64, toHex } from './crypto.js';
import type { Trust } from './policy-file.js';
import type { ProvenEntry } from './proof.js';
import { verifyInclusion } from './proof.js';
import { openCheckpoint } from './checkpoint.js';
import { entryOf } from './statement.js';

/** C2SP tlog-proof: that one entry is in a log, as one text that needs nothing else but the keys that its reader trusts. */
export interface TlogProof {
  readonly index: number;
  /** Leaf to root. */
  readonly hashes: readonly Hash[];
  /** The signed note. */
  readonly checkpoint: string;
  /** Opaque and not authenticated; in ours the leaf itself, which the proof then shows to be in the log. */
  readonly extra?: Uint8Array;
}

export const tlogProofHeader = 'c2sp.org/tlog-proof@v1';
/** More than a tree of 2^53 entries can have. */
const maxHashes = 64;
const maxBytes = 1_000_000;

export function formatTlogProof({ index, hashes, checkpoint, extra }: TlogProof): string {
  const lines = [tlogProofHeader, ...(extra ? [`extra ${toBase64(extra)}`] : []), `index ${index}`, ...hashes.map(toBase64)]; // prettier-ignore
  return `${lines.join('\n')}\n\n${checkpoint}`;
}

/** Throws `proof-invalid` for anything but its one spelling; what the checkpoint says is not judged here. */
export function parseTlogProof(text: string): TlogProof {
  const end = text.indexOf('\n\n');
  if (text.length > maxBytes || end < 0) refuse('it has no checkpoint after an empty line');
  const [header, ...lines] = text.slice(0, end).split('\n');
  if (header !== tlogProofHeader) refuse(`its first line is not ${tlogProofHeader}`);
  let extra: Uint8Array | undefined;
  if (lines[0]?.startsWith('extra ')) {
    extra = fromBase64(lines.shift()!.slice('extra '.length));
    if (!extra) refuse('its extra data is no canonical base64');
  }
  const digits = /^index (0|[1-9]\d{0,15})$/.exec(lines.shift() ?? '')?.[1];
  const index = Number(digits);
  if (digits === undefined || !Number.isSafeInteger(index)) refuse('it does not say which entry it is about');
  if (lines.length > maxHashes) refuse(`it has ${lines.length} hashes`);
  const hashes = lines.map((line, i) => {
    const hash = fromBase64(line);
    if (hash?.length !== 32) refuse(`its hash ${i + 1} is none`);
    return hash;
  });
  return { index, hashes, checkpoint: text.slice(end + 2), ...(extra ? { extra } : {}) };
}

/**
 * The entry that a proof of ours carries, once it was shown to be in the trusted log under the witnesses asked for. Throws `proof-invalid`,
 * `note-invalid`.
 */
export function verifyTlogProof(text: string, trust: Trust): ProvenEntry {
  const { index, hashes, checkpoint, extra } = parseTlogProof(text);
  if (!extra) refuse('it does not carry its entry');
  // Its signature before anything that it says.
  const { size } = openCheckpoint(checkpoint, trust.log, trust.witnesses);
  return verifyInclusion({ entry: entryOf(index, extra), checkpoint, treeSize: size, proof: hashes.map(toHex) }, trust);
}

function refuse(why: string): never {
  throw new CountersignError('proof-invalid', `this is no proof of an entry: ${why}`);
}
