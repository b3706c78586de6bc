import { createHash } from 'node:crypto';
import { canonicalJson, parseStrictJson } from '../cluster/canonical.js';
import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { ChangedCommit } from '../change/proposed-change.js';
import { IDENTITIES_PATH, type IdentityClaim, peopleOf, personOf } from '../source/identities.js';
import type { Signature } from '../source/signature.js';
import { checkStatement, namesOfKey, type Signers } from '../source/signers.js';
import type { Account, ApprovalRecord } from './records.js';

/** The namespace of the SSH signature: a signature of a commit is no approval, and the other way round. */
export const APPROVAL_NAMESPACE = 'countersign-approval';
/** Where approvals lie in the governed repository. Each is a statement, and beside it its signature: `….json`, `….json.sig`. */
export const APPROVALS_REF = 'refs/countersign/approvals';

/** What an approval is bound to (invariant 5). */
export interface ApprovedBytes {
  readonly repository: string;
  readonly ref: string;
  readonly environment: string;
  readonly base: string | null;
  readonly head: string;
  readonly tree: string;
  readonly renderedDigest: string;
  /** Where those objects go; null: nowhere. Statements of earlier releases do not say it: then it is what the change had that they named. */
  readonly target?: string | null;
}

export interface ApprovalStatement extends ApprovedBytes {
  /** RFC 3339, UTC, by the approver's clock: a claim, which keeps one statement apart from the next. */
  readonly time: string;
  readonly comment?: string;
}

const FIELDS = ['repository', 'ref', 'environment', 'base', 'head', 'tree', 'renderedDigest', 'target'] as const;
const NULLABLE: readonly string[] = ['base', 'target'];
const KIND = { apiVersion: 'countersign.dev/v1', kind: 'Approval' } as const;

/** The bytes that are signed: canonical JSON, so that whoever reads them again gets the same. */
export function approvalText(statement: ApprovalStatement): string {
  const { comment, ...rest } = statement;
  return canonicalJson({ ...KIND, ...rest, ...(comment ? { comment } : {}) });
}

/** Throws `approval-invalid` for anything but the bytes that `approvalText` makes. */
export function parseApproval(text: string): ApprovalStatement {
  let value: Json;
  try {
    value = parseStrictJson(text, { file: 'statement' });
  } catch (thrown) {
    throw refuse(`is no JSON: ${toCountersignError(thrown).message}`);
  }
  if (!isJsonObject(value)) throw refuse('is no object');
  const { apiVersion, kind, comment, base, target, ...rest } = value;
  if (apiVersion !== KIND.apiVersion || kind !== KIND.kind) throw refuse(`is no ${KIND.apiVersion} ${KIND.kind}`);
  const texts = [...FIELDS.filter((field) => !NULLABLE.includes(field)), 'time'];
  for (const field of texts) if (typeof rest[field] !== 'string') throw refuse(`has no ${field}`);
  if (base !== null && typeof base !== 'string') throw refuse('has no base');
  if (target !== undefined && target !== null && typeof target !== 'string') throw refuse('has no target');
  if (comment !== undefined && typeof comment !== 'string') throw refuse('has a comment that is no text');
  const unknown = Object.keys(rest).find((field) => !texts.includes(field));
  if (unknown !== undefined) throw refuse(`has a field that is not known: ${JSON.stringify(unknown)}`);
  if (canonicalJson(value) !== text) throw refuse('is not canonical JSON');
  return value as unknown as ApprovalStatement;
}

function refuse(what: string): CountersignError {
  return new CountersignError('approval-invalid', `the statement ${what}`, {
    remedy: 'Approve again: countersign approve',
  });
}

/** What of the bytes differs, as a sentence without a subject; null when all is the same. */
export function otherBytes(statement: ApprovedBytes, change: ApprovedBytes): string | null {
  const field = FIELDS.find((name) => statement[name] !== change[name]);
  if (field === undefined || (field === 'target' && statement.target === undefined)) return null;
  return `it names ${field} ${show(statement[field])}, the change has ${show(change[field])}`;
}

/** For a reason. */
export function show(value: string | null | undefined): string {
  return value === null || value === undefined ? 'nothing' : value.slice(0, 60);
}

/** Whether somebody's signature under an approval counts as that person's. */
export interface ApproverCheck {
  readonly signature: Signature;
  /** Who counts as one: a person of the identity map, else the principal. */
  readonly person?: string;
  /** Why it does not count; null when it does. */
  readonly reason: string | null;
}

/** Whose approval it is, judged at the time the service first saw it, with the revocations known now (invariant 6). */
export function checkApprover(
  text: string,
  armoured: string,
  signers: Signers,
  firstSeen: Date,
  namespace = APPROVAL_NAMESPACE,
): ApproverCheck {
  const signature = checkStatement(Buffer.from(text), Buffer.from(armoured), namespace, signers, firstSeen);
  const { status, principal, reason } = signature;
  if (status !== 'verified' || principal === undefined) return { signature, reason: reason ?? `it is ${status}` };
  if (signature.forge) return { signature, reason: 'a forge signed it, which vouches for nobody' };
  // A pattern names whoever holds the key, and a person must be told from another to be counted once.
  if (/[*?]/.test(principal))
    return { signature, reason: `its key belongs to ${principal}, which is nobody in particular` };
  const { identities } = signers;
  const known = personOf(identities, { principal, ...(signature.key ? { key: signature.key } : {}) });
  if (known === undefined && identities.people.length > 0)
    return { signature, reason: `the identity map makes nobody, or more than one, of ${principal} with this key` };
  return { signature, person: known ?? principal.toLowerCase(), reason: null };
}

/** Whose approval it is that nobody signed: whoever the governed identity map gives the account or login to, and nobody else. */
export function checkAccount(account: Account, { identities }: Signers): ApproverCheck {
  const claim: IdentityClaim = 'login' in account ? { login: account.login } : { account };
  const person = personOf(identities, claim);
  const signature: Signature = { kind: 'none', status: 'none' };
  if (person !== undefined) return { signature: { ...signature, principal: person, person }, person, reason: null };
  const reason = `the identity map gives ${accountName(account)} to nobody (${IDENTITIES_PATH})`;
  return { signature, reason };
}

/** `github:bo-codes`, `login:bo`. */
export function accountName(account: Account): string {
  return 'login' in account ? `login:${account.login}` : `${account.forge}:${account.name}`;
}

/** What counts as said where nobody signed: who said it is vouched for by the forge, or by this service. */
export function vouchedText(statement: ApprovalStatement, voucher: JsonObject): string {
  const { comment, ...rest } = statement;
  return canonicalJson({ ...KIND, kind: 'VouchedApproval', ...rest, ...(comment ? { comment } : {}), voucher });
}

/**
 * Why these commits are the approver's own work, or null: nobody approves what they wrote, committed or signed, under whatever key or
 * address the signers' file or the identity map gives them (invariant 5). Author and committer are claims, and a claim is enough to
 * refuse.
 */
export function ownWork(
  approver: Pick<Signature, 'key' | 'principal' | 'person'>,
  commits: readonly Pick<ChangedCommit, 'commit' | 'signature'>[],
  signers: Signers,
): string | null {
  const who = handles(approver, signers);
  const same = (other: ReadonlySet<string>): boolean => [...other].some((handle) => who.has(handle));
  for (const { commit, signature } of commits) {
    const { id, author, committer } = commit;
    if (same(handles(signature, signers))) return `${approver.principal} signed commit ${id.slice(0, 7)}`;
    if (same(handles({ principal: author.email }, signers)))
      return `${approver.principal} wrote commit ${id.slice(0, 7)}`;
    if (same(handles({ principal: committer.email }, signers)))
      return `${approver.principal} committed ${id.slice(0, 7)}`;
  }
  return null;
}

/** Whether two signers may be one: any key, address or person of the identity map that they share. */
export function samePerson(
  one: Pick<Signature, 'key' | 'principal' | 'person'>,
  other: Pick<Signature, 'key' | 'principal' | 'person'>,
  signers: Signers,
): boolean {
  const known = handles(one, signers);
  return [...handles(other, signers)].some((handle) => known.has(handle));
}

/** Everything by which somebody may be known again: the key, every address beside it, and the people the identity map makes of them. */
function handles({ key, principal, person }: Partial<Signature>, signers: Signers): ReadonlySet<string> {
  const names = [
    ...(principal === undefined ? [] : [principal.toLowerCase()]),
    ...(key ? namesOfKey(key, signers) : []),
  ];
  const claims = [...names.map((name) => ({ principal: name })), ...(key ? [{ key }] : [])];
  const people = claims.flatMap((claim) => peopleOf(signers.identities, claim));
  const known = person === undefined ? people : [...people, person];
  return new Set([...names, ...(key ? [key] : []), ...known.map((one) => `person ${one}`)]);
}

/** The same statement under the same signature is one approval, wherever in the tree it lies. */
export function approvalId(repository: string, text: string, armoured: string): string {
  return createHash('sha256')
    .update(JSON.stringify([repository, text, armoured]))
    .digest('hex');
}

/** Where an approval lies under its ref. The key's name is made one that any file system takes. */
export function approvalPath({ head, environment }: Pick<ApprovedBytes, 'head' | 'environment'>, key: string): string {
  const name = key
    .replace(/^SHA256:/, '')
    .replaceAll('/', '_')
    .replaceAll('+', '-');
  return `${head}/${environment}/${name}.json`;
}

/** What stands behind an approval: a key that only the approver has, or somebody's word for who it was. */
export function strengthOf(via: ApprovalRecord['via']): 'signed' | 'vouched' {
  return via === 'git' ? 'signed' : 'vouched';
}
