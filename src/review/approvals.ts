import type { Ledger } from '../audit/ledger.js';
import { toCountersignError } from '../errors.js';
import type { ChangedCommit } from '../change/proposed-change.js';
import { personOf } from '../source/identities.js';
import type { Repository } from '../source/repository.js';
import { checkSignature, type Signers } from '../source/signers.js';
import {
  type ApprovalStatement,
  type ApproverCheck,
  checkAccount,
  checkApprover,
  otherBytes,
  ownWork,
  parseApproval,
  show,
} from './approval.js';
import { approvalEntry } from './entries.js';
import { adviceBytes, approverNow, unread } from './recorded-approval.js';
import { whyNotTheirs, type WithdrawalStatement } from './withdrawal.js';
import type { Account, AdviceRecord, ApprovalRecord, ChangeRecord, Records, ReviewDutyRecord } from './records.js';

export interface ApprovalParts {
  readonly ledger: Ledger;
  readonly records: Records;
  readonly repository: Repository;
  readonly now: () => Date;
}

/** An approval as it came, whichever way. */
export interface GivenApproval {
  readonly id: string;
  readonly via: ApprovalRecord['via'];
  /** The bytes that it consists of. */
  readonly text: string;
  /** Null where somebody else vouches for who gave it. */
  readonly signature: string | null;
  /** What those bytes say, where they are not to be read for it. */
  readonly statement?: ApprovalStatement;
  readonly account?: Account;
  readonly review?: string;
  /** Why it cannot count, whoever gave it. */
  readonly void?: string;
}

/** What somebody signed, and the signature. */
export interface SignedStatement {
  readonly text: string;
  readonly signature: string;
}

/** What an approval is about: a change that was pushed, or an open request. */
interface Subject {
  readonly change?: ChangeRecord;
  readonly advice?: AdviceRecord;
  readonly commits: readonly string[];
  readonly author?: string | null;
  /** Why it counts for nothing any more. */
  readonly over?: string;
}

/**
 * The approvals of one repository, whichever way they come: each is judged once and recorded with its reason. Which of those that were
 * accepted count for a change is asked of `CountedApprovals`.
 */
export class Approvals {
  constructor(
    private readonly name: string,
    private readonly parts: ApprovalParts,
  ) {}

  async isKnown(id: string): Promise<boolean> {
    return (await this.parts.records.find('approval', { id })).length > 0;
  }

  /** Judges and records one. */
  async record(given: GivenApproval, signers: Signers): Promise<ApprovalRecord> {
    const { record, duty } = await this.#judge(given, signers, this.parts.now());
    return this.#write(record, given, duty);
  }

  async #write(
    record: ApprovalRecord,
    given: Pick<GivenApproval, 'text' | 'signature'>,
    duty?: ReviewDutyRecord,
  ): Promise<ApprovalRecord> {
    const { ledger, records } = this.parts;
    const { entries } = await ledger.record(async (transaction) => {
      await records.save(transaction, 'approval', [record]);
      if (duty) await records.save(transaction, 'reviewDuty', [duty]);
      transaction.append(approvalEntry(record, given, duty?.id ?? null));
    });
    const { index } = entries[0];
    await records.update('approval', { id: record.id }, { index });
    return { ...record, index };
  }

  /**
   * A signed withdrawal that was pushed. Gives the approval that it takes back; null where there is none that counts, and where it is
   * not theirs to take back, which is recorded once.
   */
  async takeBack(
    given: SignedStatement & { readonly id: string },
    { approval: id, comment }: WithdrawalStatement,
    signers: Signers,
  ): Promise<ApprovalRecord | null> {
    const { ledger, records, now } = this.parts;
    const [approval] = await records.find('approval', { id, repository: this.name });
    if (approval?.status !== 'accepted') return null;
    const { index, person, key } = approval;
    const again = index === null ? null : await approverNow({ ...approval, index }, signers, ledger);
    const by = checkApprover(given.text, given.signature, signers, now());
    const reason = whyNotTheirs({ person, key, now: again }, by);
    if (reason === null)
      return this.withdraw(approval, `whoever gave it took it back${comment ? `: ${comment}` : ''}`, given);
    if (await this.isKnown(given.id)) return null;
    const { principal = null, key: signedBy = null } = by.signature;
    const refused = { ...unread(this.name, { id: given.id, via: 'git' }, now()), principal, key: signedBy };
    const record = { ...refused, reason: `it is no approval, but withdraws ${id.slice(0, 12)}: ${reason}` };
    await this.#write(record, given);
    return null;
  }

  /** By whoever gave it, or by the forge that vouched for it. It counts for nothing from then on; what was decided stays decided. */
  async withdraw(
    approval: ApprovalRecord,
    reason: string,
    signed: SignedStatement | null = null,
  ): Promise<ApprovalRecord> {
    const { ledger, records } = this.parts;
    const record: ApprovalRecord = { ...approval, status: 'withdrawn', reason };
    await ledger.record(async (transaction) => {
      await records.update('approval', { id: record.id }, { status: record.status, reason }, transaction);
      transaction.append(approvalEntry({ ...record, firstSeen: this.parts.now().toISOString() }, signed, null));
    });
    return record;
  }

  /** Read, given by somebody, about something that is there, and not their own work: in this order, and the first "no" is the reason. */
  async #judge(
    given: GivenApproval,
    signers: Signers,
    firstSeen: Date,
  ): Promise<{ readonly record: ApprovalRecord; readonly duty?: ReviewDutyRecord }> {
    const empty = unread(this.name, given, firstSeen);
    let statement: ApprovalStatement;
    try {
      statement = given.statement ?? parseApproval(given.text);
    } catch (thrown) {
      return { record: { ...empty, reason: toCountersignError(thrown).message } };
    }
    const { id, account = null } = given;
    const { signature, person = null, reason } = approverOf(given, signers, firstSeen);
    const { ref, environment, base, head, tree, renderedDigest, time: claimedTime, comment = null } = statement;
    const read: ApprovalRecord = {
      ...empty,
      ref,
      environment,
      base,
      head,
      tree,
      renderedDigest,
      claimedTime,
      comment,
      principal: signature.principal ?? null,
      person,
      key: signature.key ?? null,
    };
    const no = reason ?? given.void;
    if (no !== undefined) return { record: { ...read, reason: no } };
    const { subject, otherwise } = await this.#subjectOf(statement);
    if (!subject) return { record: { ...read, reason: otherwise } };
    const about = {
      ...read,
      change: subject.change?.id ?? null,
      advice: subject.advice?.id ?? null,
      target: (subject.change ? subject.change.target : subject.advice?.environmentTarget) ?? null,
    };
    const own =
      ownWork(signature, await this.#commits(subject.commits, signers), signers) ??
      openedBy(subject, account, person, signers);
    if (own !== null) return { record: { ...about, reason: `nobody approves their own change: ${own}` } };
    if (subject.over !== undefined) return { record: { ...about, reason: subject.over } };
    const record: ApprovalRecord = { ...about, status: 'accepted' };
    const duty = subject.change && (await this.#duty(subject.change));
    return duty ? { record, duty: { ...duty, closedAt: record.firstSeen, approval: id } } : { record };
  }

  /** The newest change, or the open request, with exactly these bytes; or what comes nearest to saying why there is none. */
  async #subjectOf(statement: ApprovalStatement): Promise<{ subject?: Subject; otherwise: string }> {
    const { environment, head } = statement;
    if (statement.repository !== this.name) {
      return { otherwise: `it is for the repository ${statement.repository.slice(0, 60)}` };
    }
    const { records } = this.parts;
    const about = { repository: this.name, environment, head };
    const changes = (await records.find('change', about)).toSorted(newestFirst);
    const change = changes.find((one) => otherBytes(statement, one) === null);
    const [record] = await records.find('environment', { repository: this.name, name: environment });
    const pushed = change && { change, commits: change.commits };
    const waits = record?.head === head && record.target === change?.target;
    if (pushed && (waits || (await this.#duty(change)))) return { subject: pushed, otherwise: '' };
    const advised = (await records.find('advice', about)).toSorted(newestFirst);
    const advice = advised.find((one) => otherBytes(statement, adviceBytes(one)) === null);
    if (advice && advice.endedAt === null) {
      return { subject: { advice, commits: advice.commits, author: advice.author }, otherwise: '' };
    }
    if (pushed) {
      const over =
        record?.head === head
          ? `${environment} no longer goes to the target ${show(change.target)}: approve it where it goes now`
          : `${environment} is no longer at ${head.slice(0, 7)}: a new push needs new approvals`;
      return { subject: { ...pushed, over }, otherwise: '' };
    }
    if (advice) {
      const over = `request ${advice.number} is no longer open at ${head.slice(0, 7)}`;
      return { subject: { advice, commits: advice.commits, author: advice.author, over }, otherwise: '' };
    }
    const [nearest] = changes.length > 0 ? changes : advised.map(adviceBytes);
    const nothing = `no change of ${environment.slice(0, 60)} to ${head.slice(0, 12)} was judged when it came`;
    return { otherwise: nearest ? otherBytes(statement, nearest)! : nothing };
  }

  /** Those of a request may be on no ref that is followed: their signatures were recorded nowhere. */
  async #commits(
    ids: readonly string[],
    signers: Signers,
  ): Promise<readonly Pick<ChangedCommit, 'commit' | 'signature'>[]> {
    const { records, repository, now } = this.parts;
    const rows = await records.select('commit', ['id', 'signature'], { repository: this.name, id: ids });
    const signatures = new Map(rows.map(({ id, signature }) => [id, signature]));
    return Promise.all(
      ids.map(async (id) => {
        const commit = await repository.commit(id);
        return { commit, signature: signatures.get(id) ?? checkSignature(commit, signers, now()) };
      }),
    );
  }

  async #duty(change: ChangeRecord): Promise<ReviewDutyRecord | undefined> {
    const { repository, environment, head } = change;
    const open = await this.parts.records.find('reviewDuty', { repository, environment, head, closedAt: null });
    return open[0];
  }
}

function approverOf({ text, signature, account }: GivenApproval, signers: Signers, at: Date): ApproverCheck {
  return account ? checkAccount(account, signers) : checkApprover(text, signature ?? '', signers, at);
}

/** Whoever opens a request asks for others to agree, whoever wrote its commits. */
function openedBy(
  { author, advice }: Subject,
  account: Account | null,
  person: string | null,
  { identities }: Signers,
): string | null {
  if (!author || !advice || !account || 'login' in account) return null;
  const { forge, name } = account;
  const same =
    name.toLowerCase() === author.toLowerCase() ||
    (person !== null && personOf(identities, { account: { forge, name: author } }) === person);
  return same ? `${forge}:${name} opened request ${advice.number}` : null;
}

function newestFirst(a: { readonly time: string }, b: { readonly time: string }): number {
  return a.time < b.time ? 1 : -1;
}
