import { parseStrictJson } from '../cluster/canonical.js';
import type { Json, JsonObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { Ed25519Signer, Hash } from './crypto.js';
import { fromUtf8, toHex, utf8, view } from './crypto.js';
import type { Envelope } from './dsse.js';
import { parseEnvelope, sealEnvelope } from './dsse.js';
import type { ContentReference, EntryDraft, EntryType, LoggedEntry, Subject } from './entry.js';
import { entryTypes, predicateType } from './entry.js';
import { leafHash } from './merkle.js';
import { maxEntryBytes } from './tiles.js';

const statementType = 'https://in-toto.io/Statement/v1';
const payloadType = 'application/vnd.in-toto+json';
const typeByPredicate = new Map<string, EntryType>(entryTypes.map((type) => [predicateType(type), type]));

/** What an entry says, before it has a place in a log. */
export interface Statement {
  readonly type: EntryType;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly subjects: readonly Subject[];
  readonly predicate: JsonObject;
}

/** Read from a leaf. */
export interface EnvelopedStatement extends Statement {
  readonly envelope: Envelope;
}

/** Made into a leaf. */
export interface SealedStatement extends Statement {
  readonly leaf: Uint8Array;
}

/**
 * The leaf of a draft: an in-toto Statement v1 in a DSSE envelope. The service's clock goes into `predicate.recordedAt`, what the
 * ledger stored beside it into `predicate.contents`. Rejects with `log-invalid` what is more than C2SP tlog-tiles allows, or could not
 * be read back exactly: such a leaf would stay in the log for ever.
 */
export async function sealStatement(
  draft: EntryDraft,
  recordedAt: string,
  contents: Readonly<Record<string, ContentReference>>,
  signer: Ed25519Signer,
): Promise<SealedStatement> {
  const predicate = { ...draft.predicate, recordedAt, ...(Object.keys(contents).length > 0 ? { contents } : {}) };
  const statement = {
    _type: statementType,
    subject: draft.subjects,
    predicateType: predicateType(draft.type),
    predicate,
  };
  const payload = JSON.stringify(statement);
  const said = readStatement(payload);
  const leaf = await sealEnvelope(payloadType, utf8(payload), signer);
  if (leaf.length > maxEntryBytes) {
    throw new CountersignError(
      'log-invalid',
      `a ${draft.type} entry of ${leaf.length} bytes is longer than ${maxEntryBytes}`,
      {
        remedy: 'Move what is long into the contents of the entry',
      },
    );
  }
  return { ...said, leaf };
}

/** Reads a leaf; its signature is not judged here. Throws `log-invalid`, which calls it `what`. */
export function parseStatement(leaf: Uint8Array, what = 'an entry'): EnvelopedStatement {
  const envelope = parseEnvelope(leaf, what);
  if (envelope.payloadType !== payloadType) refuse(what, `its payload is ${envelope.payloadType}`);
  return { ...readStatement(fromUtf8(envelope.payload) ?? '', what), envelope };
}

function readStatement(payload: string, what = 'an entry'): Statement {
  let value: Record<string, Json | undefined>;
  try {
    value = parseStrictJson(payload) as Record<string, Json | undefined>;
  } catch {
    refuse(what, 'its payload is no JSON');
  }
  const { subject, predicate, predicateType: uri } = value;
  const type = typeof uri === 'string' ? typeByPredicate.get(uri) : undefined;
  if (value['_type'] !== statementType || !type || !Array.isArray(subject))
    refuse(what, 'its payload is no statement of ours');
  if (!isObject(predicate) || !subject.every(isSubject)) refuse(what, 'its subjects or its predicate are malformed');
  const time = predicate['recordedAt'];
  if (typeof time !== 'string' || Number.isNaN(Date.parse(time))) refuse(what, 'it does not say when it was recorded');
  return { type, time, subjects: subject, predicate };
}

export function entryOf(index: number, leaf: Uint8Array): LoggedEntry {
  return entryOfStatement(index, leaf, leafHash(leaf), parseStatement(leaf));
}

/** Of parts that the caller has already: `hash` is the leaf's, `statement` what it says. */
export function entryOfStatement(index: number, leaf: Uint8Array, hash: Hash, statement: Statement): LoggedEntry {
  const { type, time, subjects, predicate } = statement;
  return { index, type, time, leafHash: toHex(hash), subjects, predicate, envelope: view(leaf) };
}

/** The contents an entry names, by role. Throws `log-invalid`, which calls it `what`, if they are not well-formed. */
export function contentsOf(predicate: JsonObject, what = 'an entry'): ReadonlyMap<string, ContentReference> {
  const contents = predicate['contents'];
  if (contents === undefined) return new Map();
  if (!isObject(contents)) refuse(what, 'its contents are malformed');
  return new Map(
    Object.entries(contents).map(([role, reference]) => {
      if (!isContentReference(reference)) refuse(what, `its content "${role}" is malformed`);
      return [role, reference];
    }),
  );
}

function isContentReference(value: Json | undefined): value is ContentReference {
  if (!isObject(value)) return false;
  const { mediaType, sha256, salted } = value;
  return (
    typeof mediaType === 'string' &&
    typeof salted === 'boolean' &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256)
  );
}

function isSubject(value: Json): boolean {
  return isObject(value) && typeof value['name'] === 'string' && isObject(value['digest']);
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function refuse(what: string, why: string): never {
  throw new CountersignError('log-invalid', `${what} cannot be read: ${why}`);
}
