import { canonicalJson, parseStrictJson } from '../cluster/canonical.js';
import { isJsonObject, type Json } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import { type ApprovedBytes, type ApproverCheck, approvalPath } from './approval.js';

/** What somebody signs to take back an approval that they gave. */
export interface WithdrawalStatement {
  readonly repository: string;
  /** Id of the approval. */
  readonly approval: string;
  /** RFC 3339, UTC, by the clock of whoever signs. */
  readonly time: string;
  readonly comment?: string;
}

const KIND = { apiVersion: 'countersign.dev/v1', kind: 'ApprovalWithdrawal' } as const;

/** The bytes that are signed, under the namespace of approvals: it is said by the same people about the same things. */
export function withdrawalText({ comment, ...rest }: WithdrawalStatement): string {
  return canonicalJson({ ...KIND, ...rest, ...(comment ? { comment } : {}) });
}

/** Null for what is no withdrawal at all. Throws `approval-invalid` for one that is not as `withdrawalText` makes them. */
export function parseWithdrawal(text: string): WithdrawalStatement | null {
  let value: Json;
  try {
    value = parseStrictJson(text, { file: 'statement' });
  } catch {
    return null;
  }
  if (!isJsonObject(value) || value['kind'] !== KIND.kind) return null;
  const { apiVersion: _apiVersion, kind: _kind, ...rest } = value;
  const { repository, approval, time, comment } = rest;
  const texts = [repository, approval, time, comment ?? ''];
  const statement = rest as unknown as WithdrawalStatement;
  if (texts.every((one) => typeof one === 'string') && withdrawalText(statement) === text) return statement;
  throw new CountersignError('approval-invalid', 'the statement is no withdrawal as countersign writes them', {
    remedy: 'Withdraw again: countersign approve --withdraw ID',
  });
}

/** Where withdrawals of an approval lie: a folder of its own, so that none stands in the way of another. */
export function withdrawalPath(
  bytes: Pick<ApprovedBytes, 'head' | 'environment'>,
  approval: string,
  key: string,
): string {
  return approvalPath({ ...bytes, environment: `${bytes.environment}/withdrawals/${approval}` }, key);
}

/** Whether a path of the approvals ref is that of a withdrawal of this approval. */
export function withdraws(path: string, approval: string): boolean {
  return path.includes(`/withdrawals/${approval}/`);
}

/** Who gave an approval, as it was recorded and as the signers in force have it. */
interface Given {
  readonly person: string | null;
  readonly key: string | null;
  readonly now: ApproverCheck | null;
}

/** Why somebody cannot take an approval back, or null: whoever gave it can, under that key or another one of theirs, and nobody else. */
export function whyNotTheirs({ person, key, now }: Given, by: ApproverCheck): string | null {
  if (by.reason !== null) return by.reason;
  const theirs = new Set([person, now?.person].filter((one) => one !== null && one !== undefined));
  if (by.signature.key !== undefined && by.signature.key === key) return null;
  if (by.person !== undefined && theirs.has(by.person)) return null;
  return `${by.signature.principal} did not give that approval, and only whoever gave it takes it back`;
}
