import { parseStrictJson } from '../cluster/canonical.js';
import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { Ed25519Signer } from './crypto.js';
import { fromUtf8, sha256, toBase64, toHex, utf8 } from './crypto.js';
import type { EnvelopeKey } from './dsse.js';
import { envelopeSigners, parseEnvelope, sealEnvelope } from './dsse.js';
import type { Place } from './reach.js';
import { parseTilePath } from './tiles.js';

/** Exported evidence: a bundle or a folder of tiles, by the names of its files. */
export interface Evidence {
  /** A bundle holds entries and contents; tiles hold entries and hashes. */
  readonly kind: 'bundle' | 'tiles';
  readonly names: ReadonlySet<string>;
  /** Whole, or `bundle-invalid`: missing, longer than `limit` bytes, or damaged on the way. */
  read(name: string, limit: number): Promise<Uint8Array>;
  /** SHA-256 of a file of any size, without holding it in memory. */
  digest(name: string): Promise<Uint8Array>;
}

export const evidenceFiles = { readme: 'README.txt', manifest: 'manifest.json', checkpoint: 'checkpoint' } as const;
/** Checkpoints signed by a log key and by the one that followed it, by number from 1. */
export const handoverName = (n: number): string => `handover/${n}`;
export const handoverNumber = (name: string): number | undefined => {
  const digits = /^handover\/([1-9]\d{0,2})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
};
export const contentName = (digest: string): string => `content/${digest}`;

/** Bytes; nothing of ours comes near. */
export const evidenceLimits = {
  note: 1_000_000,
  /** There may be many. */
  handover: 16_384,
  manifest: 64 << 20,
  entries: 256 * 65_537,
  content: 512 << 20,
} as const;

/** What the exporting service says about a bundle, signed with its entry key. */
export interface Manifest {
  readonly origin: string;
  readonly vkey: string;
  readonly size: number;
  /** RFC 3339, UTC. */
  readonly exportedAt: string;
  /** How many contents are in it. */
  readonly contents: number;
  /** Digests of contents that entries name and that are not in it. */
  readonly withheld: readonly string[];
  /** SHA-256, hex, of README.txt. */
  readonly readme: string;
  /** Of a reader who may not see everything: the contents in it are of these places only. */
  readonly reach?: readonly Place[];
}

const manifestFormat = 'https://countersign.dev/evidence/v1';
const manifestType = 'application/vnd.countersign.evidence+json';

export function sealManifest(manifest: Manifest, signer: Ed25519Signer): Promise<Uint8Array> {
  return sealEnvelope(manifestType, utf8(JSON.stringify({ format: manifestFormat, ...manifest })), signer);
}

/** Throws `bundle-invalid` unless one of the keys, which the log itself names, signed it, and it says what a manifest must. */
export function openManifest(bytes: Uint8Array, keys: Iterable<EnvelopeKey>): Manifest {
  const envelope = parseEnvelope(bytes, evidenceFiles.manifest);
  if (envelope.payloadType !== manifestType || envelopeSigners(envelope, keys).length === 0) {
    throw invalid('manifest.json is not signed by a key of this log', evidenceFiles.manifest);
  }
  const said = parseStrictJson(fromUtf8(envelope.payload) ?? '', { file: evidenceFiles.manifest });
  const { format = null, ...manifest }: JsonObject = isJsonObject(said) ? said : {};
  if (format !== manifestFormat)
    throw invalid(`manifest.json is of format ${JSON.stringify(format)}`, evidenceFiles.manifest);
  const wrong = Object.entries(members).find(([name, holds]) => !holds(manifest[name]))?.[0];
  if (wrong !== undefined) throw invalid(`manifest.json is malformed: its ${wrong}`, evidenceFiles.manifest);
  return manifest as unknown as Manifest;
}

const isText = (value: Json | undefined): boolean => typeof value === 'string';
const isCount = (value: Json | undefined): boolean => Number.isSafeInteger(value);
const isDigest = (value: Json): boolean => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

/** What a manifest must say, but for whom it is: `claimedReach` has judged that. */
const members: Readonly<Record<Exclude<keyof Manifest, 'reach'>, (value: Json | undefined) => boolean>> = {
  origin: isText,
  vkey: isText,
  size: isCount,
  exportedAt: isText,
  contents: isCount,
  withheld: (value) => Array.isArray(value) && value.every(isDigest),
  readme: isText,
};

/** Characters of a glob: far more than anybody writes. */
const LONGEST_GLOB = 4_096;

const isGlobs = (value: unknown): boolean =>
  Array.isArray(value) && value.every((one) => typeof one === 'string' && one.length <= LONGEST_GLOB);

const [COMMA, BRACKET, BRACE] = [0x2c, 0x5b, 0x7b];

/**
 * What takes many times its own size in memory once it is parsed, and is parsed before it is known whose it is: many small values. A manifest's
 * are digests of 64 characters, but for a few.
 */
function requireFewValues(bytes: Uint8Array): void {
  let left = 10_000 + bytes.length / 64;
  for (const byte of bytes) {
    if (byte !== COMMA && byte !== BRACKET && byte !== BRACE) continue;
    if (--left < 0) throw invalid('manifest.json holds more values than any manifest', evidenceFiles.manifest);
  }
}

/** What a manifest says of its reader, before it is known whose it is: `openManifest` of the same bytes must follow. Throws as that does. */
export function claimedReach(bytes: Uint8Array): readonly Place[] | undefined {
  requireFewValues(bytes);
  const { payload } = parseEnvelope(bytes, evidenceFiles.manifest);
  requireFewValues(payload);
  const said = parseStrictJson(fromUtf8(payload) ?? '', { file: evidenceFiles.manifest });
  const reach = isJsonObject(said) ? said['reach'] : undefined;
  if (reach === undefined) return undefined;
  const places = Array.isArray(reach) ? reach.filter(isJsonObject) : [];
  if (
    places.length === 0 ||
    !places.every(({ repositories, environments }) => isGlobs(repositories) && isGlobs(environments))
  )
    throw invalid('manifest.json does not say for whom it is', evidenceFiles.manifest);
  return places as unknown as readonly Place[];
}

/** A name that evidence of this kind may hold; every other one is refused before anything is read. */
export function belongs(name: string, kind: Evidence['kind']): boolean {
  if (name === evidenceFiles.checkpoint) return true;
  const tile = parseTilePath(name);
  if (tile) return kind === 'tiles' || tile.level === 'entries';
  if (/^content\/[0-9a-f]{64}$/.test(name)) return true; // a mirror holds them, static tiles do not
  if (kind === 'tiles') return false;
  return name === evidenceFiles.readme || name === evidenceFiles.manifest || handoverNumber(name) !== undefined;
}

export function invalid(message: string, file?: string): CountersignError {
  return new CountersignError('bundle-invalid', message, file === undefined ? {} : { place: { file } });
}

/** For the auditor who opens the file without us. */
export function readmeText(vkey: string, origin: string, size: number, root: Uint8Array): string {
  return `Evidence from the log ${origin}
==============================================================================

This file holds every entry of an append-only, signed log, from the first to entry
${size - 1}, and the contents that the entries name.

How to check it

    countersign verify THIS.zip --trust trust.txt

needs no network and no database. trust.txt holds the log's public key. Do not take it
from this file, but from whoever answers for the service, by another way; it should be

    ${vkey}

What is in it

    checkpoint          C2SP signed note: origin, number of entries (${size}), root hash
                        ${toBase64(root)}
    tile/entries/...    C2SP tlog-tiles entry bundles: u16be length, bytes, repeated;
                        256 entries a file. Each entry is a DSSE envelope over an
                        in-toto Statement v1, signed by the key that entry 0 (or a later
                        entry of type key) names
    content/<sha256>    what entries name in predicate.contents: policy, inputs, results,
                        objects; salted ones begin with 32 random bytes
    handover/...        where a log key took over from another: a checkpoint signed by both, which
                        covers the entry of type key that names the new one
    manifest.json       DSSE envelope: what was exported and what was withheld

How to check it without Countersign

    leaf hash  = SHA-256(00 || entry)        node = SHA-256(01 || left || right)
    The tree of RFC 6962 over all entries has the root in the checkpoint; the checkpoint's
    signature is Ed25519 over its text (C2SP signed-note; Go: golang.org/x/mod/sumdb/note).
`;
}

export const readmeDigest = (text: string): string => toHex(sha256(utf8(text)));
