import { createHash } from 'node:crypto';
import type { Signers } from '../source/signers.js';
import { accountName, vouchedText } from './approval.js';
import { type Approvals, type GivenApproval } from './approvals.js';
import { adviceBytes } from './recorded-approval.js';
import type { ForgeReview, OpenRequest } from './forge.js';
import type { AdviceRecord, ApprovalRecord, Records } from './records.js';

interface Parts {
  readonly records: Records;
  readonly approvals: Approvals;
  /** What the identity map calls the forge. */
  readonly forge: string;
  /** When what governs now was taken up, RFC 3339. */
  readonly adopted: string;
}

/**
 * Reviews on a forge as approvals: each that stands approves what was judged of the very commit that it is of, in every environment,
 * and is withdrawn when it stands no more. That somebody gave it is the forge's word; who that is says the governed identity map.
 * Gives the approvals that were accepted or withdrawn.
 */
export async function takeReviews(
  request: Pick<OpenRequest, 'number'>,
  reviews: readonly ForgeReview[],
  advised: readonly AdviceRecord[],
  signers: Signers,
  { records, approvals, forge, adopted }: Parts,
): Promise<readonly ApprovalRecord[]> {
  const changed: ApprovalRecord[] = [];
  const standing = new Set(reviews.map((review) => nameOf(request, review)));
  for (const advice of advised) {
    const { repository, environment, head } = advice;
    const accepted = await records.find('approval', {
      repository,
      environment,
      head,
      via: 'forge',
      status: 'accepted',
    });
    for (const approval of accepted) {
      if (!approval.review?.startsWith(`${request.number}/`) || standing.has(approval.review)) continue;
      changed.push(await approvals.withdraw(approval, 'the review stands no more at the forge'));
    }
    for (const review of reviews) {
      // One of another head says nothing about this one: an approval does not travel (invariant 5).
      if (review.commit !== null && review.commit !== head) continue;
      const given = givenBy(request, review, advice, forge);
      const [known] = await records.find('approval', { id: given.id });
      // Whom an account belongs to may be said by now; what was withdrawn stays withdrawn.
      const again = known?.status === 'rejected' && known.firstSeen < adopted;
      const id = again ? digest([given.id, adopted]) : given.id;
      if (known && (!again || (await approvals.isKnown(id)))) continue;
      const record = await approvals.record({ ...given, id }, signers);
      if (record.status === 'accepted') changed.push(record);
    }
  }
  return changed;
}

function givenBy(
  request: Pick<OpenRequest, 'number'>,
  review: ForgeReview,
  advice: AdviceRecord,
  forge: string,
): GivenApproval {
  const account = { forge, name: review.account };
  const bytes = adviceBytes(advice);
  const statement = { ...bytes, time: review.time };
  const voucher = { forge, account: review.account, request: request.number, review: review.id, commit: review.commit };
  const id = digest([bytes, accountName(account), nameOf(request, review)]);
  return {
    id,
    via: 'forge',
    text: vouchedText(statement, voucher),
    signature: null,
    statement,
    account,
    review: nameOf(request, review),
    ...(review.commit === null ? { void: `${forge} does not say which commit was approved` } : {}),
  };
}

function nameOf({ number }: Pick<OpenRequest, 'number'>, { id, account }: ForgeReview): string {
  return `${number}/${account.toLowerCase()}/${id}`;
}

function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}
