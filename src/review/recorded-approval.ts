import type { ApprovedBytes } from './approval.js';
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
