import type { ContentReference } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import type { Signers } from '../source/signers.js';
import { type ApprovedBytes, type ApproverCheck, checkAccount, checkApprover } from './approval.js';
import type { AdviceRecord, ApprovalRecord } from './records.js';

/** One of which nothing is known but that it came. */
export function unread(
  repository: string,
  {
    id,
    via,
    account = null,
    review = null,
  }: Pick<ApprovalRecord, 'id' | 'via'> & Partial<Pick<ApprovalRecord, 'account' | 'review'>>,
  firstSeen: Date,
): ApprovalRecord {
  return {
    id,
    repository,
    environment: null,
    ref: null,
    base: null,
    head: null,
    tree: null,
    renderedDigest: null,
    principal: null,
    person: null,
    key: null,
    comment: null,
    change: null,
    advice: null,
    usedFor: null,
    target: null,
    claimedTime: null,
    index: null,
    via,
    account,
    review,
    status: 'rejected',
    reason: null,
    firstSeen: firstSeen.toISOString(),
  };
}

/** What an accepted approval names: all of it could be read. */
export function bytesOf({
  repository,
  ref,
  environment,
  base,
  head,
  tree,
  renderedDigest,
  target,
}: ApprovalRecord): ApprovedBytes {
  return {
    repository,
    ref: ref ?? '',
    environment: environment ?? '',
    base,
    head: head ?? '',
    tree: tree ?? '',
    renderedDigest: renderedDigest ?? '',
    target,
  };
}

/** What an approval of a request names. */
export function adviceBytes(advice: AdviceRecord): ApprovedBytes {
  const { repository, environment, target: ref, environmentTarget: target, base, head, tree, renderedDigest } = advice;
  return { repository, ref, environment, base, head, tree: tree ?? '', renderedDigest: renderedDigest ?? '', target };
}

/** Whose an approval is by the signers given, read again from what the log has of it. */
export async function approverNow(
  { index, firstSeen, account }: ApprovalRecord & { readonly index: number },
  signers: Signers,
  ledger: Ledger,
): Promise<ApproverCheck> {
  if (account) return checkAccount(account, signers);
  const { predicate } = await ledger.entry(index);
  const contents = predicate['contents'] as unknown as Record<'statement' | 'signature', ContentReference>;
  const [text, armoured] = await Promise.all([
    ledger.content(contents.statement),
    ledger.content(contents.signature),
  ]).catch((error: unknown) => {
    if ((error as { code?: string }).code === 'content-missing') return [];
    throw error;
  });
  if (!text || !armoured)
    return { signature: { kind: 'none', status: 'none' }, reason: 'what was signed has been erased' };
  return checkApprover(text.toString(), armoured.toString(), signers, new Date(firstSeen));
}
