import { canonicalJson, parseStrictJson } from '../cluster/canonical.js';
import { isJsonObject, type Json } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { Signers } from '../source/signers.js';
import { checkApprover, samePerson } from './approval.js';

/** The namespace of the SSH signatures: no other signature passes for one. */
export const ERASURE_NAMESPACE = 'countersign-erasure@countersign.dev';
/** Nobody erases alone. */
const NEEDED = 2;

/** What two people sign. */
export interface ErasureStatement {
  readonly id: string;
  /** Whose log: the same signatures count for no other. */
  readonly origin: string;
  /** Whose `.countersign/allowed_signers` say who may sign. */
  readonly repository: string;
  /** `Subject.digest` under a salt that is kept beside the statement, and nowhere else. */
  readonly subject: string;
  /** Digests of every content that names the subject, in order. */
  readonly contents: readonly string[];
  readonly reason: string;
  readonly ticket: string;
  /** RFC 3339, UTC. */
  readonly time: string;
}

const KIND = { apiVersion: 'countersign.dev/v1', kind: 'Erasure' } as const;
const TEXTS = ['id', 'origin', 'repository', 'subject', 'reason', 'ticket', 'time'] as const;
const DIGEST = /^[0-9a-f]{64}$/;

/** The bytes that are signed. */
export function erasureText({ contents, ...rest }: ErasureStatement): string {
  return canonicalJson({ ...KIND, ...rest, contents: [...contents] });
}

/** Throws `erasure-refused` for anything but the bytes that `erasureText` makes. */
export function parseErasure(text: string): ErasureStatement {
  let value: Json;
  try {
    value = parseStrictJson(text, { file: 'statement' });
  } catch (thrown) {
    throw refused(`the statement is no JSON: ${toCountersignError(thrown).message}`);
  }
  if (!isJsonObject(value)) throw refused('the statement is no object');
  const { apiVersion, kind, contents, ...rest } = value;
  if (apiVersion !== KIND.apiVersion || kind !== KIND.kind)
    throw refused(`the statement is no ${KIND.apiVersion} ${KIND.kind}`);
  for (const field of TEXTS) if (typeof rest[field] !== 'string') throw refused(`the statement has no ${field}`);
  const unknown = Object.keys(rest).find((field) => !(TEXTS as readonly string[]).includes(field));
  if (unknown !== undefined) throw refused(`the statement has a field that is not known: ${JSON.stringify(unknown)}`);
  if (!Array.isArray(contents) || !contents.every((one) => typeof one === 'string' && DIGEST.test(one)))
    throw refused('the statement lists no digests of contents');
  if (canonicalJson(value) !== text) throw refused('the statement is not canonical JSON');
  return { ...rest, contents } as unknown as ErasureStatement;
}

export interface Authoriser {
  readonly principal: string;
  /** The key's fingerprint. */
  readonly key: string;
}

/**
 * Who authorised it: at least two people, told apart as approvals do, so that one person with two keys or names is one. Every signature
 * must count. Throws `erasure-refused`.
 */
export function checkAuthorised(
  text: string,
  signatures: readonly string[],
  signers: Signers,
  now: Date,
): readonly Authoriser[] {
  const people: (Authoriser & { readonly person?: string })[] = [];
  for (const [i, armoured] of signatures.entries()) {
    const { signature, person, reason } = checkApprover(text, armoured, signers, now, ERASURE_NAMESPACE);
    const { principal, key } = signature;
    if (reason !== null || principal === undefined || key === undefined)
      throw refused(`signature ${i + 1} does not count: ${reason ?? 'it names nobody'}`);
    const one = { principal, key, ...(person === undefined ? {} : { person }) };
    const other = people.find((known) => samePerson(known, one, signers));
    if (other) throw refused(`${other.principal} and ${principal} are one person, who signed twice`);
    people.push(one);
  }
  if (people.length < NEEDED) throw refused(`${people.length} of ${NEEDED} people signed it`);
  return people;
}

export function refused(message: string, remedy?: string): CountersignError {
  return new CountersignError('erasure-refused', message, {
    remedy: remedy ?? 'Nothing was erased; see countersign help erase',
  });
}
