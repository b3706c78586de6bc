import type { ContentReference } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import { toCountersignError } from '../errors.js';
import type { Environment } from '../change/environment.js';
import type { ChangedCommit } from '../change/proposed-change.js';
import { personOf } from '../source/identities.js';
import type { InputApproval } from '../policy/input.js';
import type { Repository } from '../source/repository.js';
import { checkSignature, type Signers } from '../source/signers.js';
import {
  type ApprovalStatement,
  type ApprovedBytes,
  type ApproverCheck,
  checkAccount,
  checkApprover,
  otherBytes,
  ownWork,
  parseApproval,
  show,
  strengthOf,
} from './approval.js';
import { approvalEntry } from './entries.js';
import { adviceBytes, bytesOf, unread } from './recorded-approval.js';
import { whyNotTheirs, type WithdrawalStatement } from './withdrawal.js';
import type {
  Account,
  AdviceRecord,
  ApprovalRecord,
  ChangeRecord,
  Records,
  ReviewDutyRecord,
  Uncounted,
} from './records.js';

/** Approvals given to other heads that one change is held against, the newest first: each costs a merge. */
const MOST_CARRIED = 20;

export interface CountedApproval {
  readonly id: string;
  readonly input: InputApproval;
}

/** What approvals there are for a change. */
export interface Counting {
  readonly counted: readonly CountedApproval[];
  /** Those given for what the change merges. */
  readonly uncounted: readonly Uncounted[];
}

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

/** For which change approvals are asked. */
export interface Asking {
  readonly signers: Signers;
  /** Whether these signers are the ones in force: then what no longer counts by them lapses. */
  readonly inForce: boolean;
  /** Why approvals of other bytes are not carried to this change, or null; without it none are looked at. */
  readonly whyNotCarried?: (from: ApprovedBytes) => Promise<string | null>;
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
 * The approvals of one repository, whichever way they come: each is judged once and recorded with its reason, and those that were
 * accepted are judged again whenever they are to count.
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
    const { records, now } = this.parts;
    const [approval] = await records.find('approval', { id, repository: this.name });
    if (approval?.status !== 'accepted') return null;
    const { index, person, key } = approval;
    const again = index === null ? null : await this.#again({ ...approval, index }, signers);
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

  /** The approvals that count for a change now, and why others do not that were given for what it merges. */
  async counting(bytes: ApprovedBytes, commits: readonly ChangedCommit[], asking: Asking): Promise<Counting> {
    const { environment, head } = bytes;
    const { records } = this.parts;
    const known = await records.find('approval', { repository: this.name, environment, head, status: 'accepted' });
    const counted: CountedApproval[] = [];
    const uncounted: Uncounted[] = [];
    const count = async (approval: ApprovalRecord, carriedFrom?: string): Promise<void> => {
      const { index, id } = approval;
      if (index === null) return; // it gets its place in the log, and counts from then on
      const { signature, reason } = await this.#again({ ...approval, index }, asking.signers);
      const own = reason === null ? ownWork(signature, commits, asking.signers) : null;
      if (reason === null && own === null) counted.push({ id, input: inputOf(approval, carriedFrom) });
      // Whoever merges somebody else's work has approved that all the same: it is this change that they may not approve.
      else if (carriedFrom !== undefined && reason === null) uncounted.push({ approval: id, reason: own! });
      else if (asking.inForce) await records.update('approval', { id }, { status: 'lapsed', reason: reason ?? own });
    };
    for (const approval of known) {
      const { target, ...given } = bytesOf(approval);
      if (otherBytes(given, bytes) !== null) continue;
      // The same objects somewhere else: whoever agreed to them there was not asked about here.
      const other = otherBytes({ ...given, target }, bytes);
      if (other === null) await count(approval);
      else uncounted.push({ approval: approval.id, reason: other });
    }
    if (!asking.whyNotCarried) return { counted, uncounted };
    const seen = new Map<string, string | null>();
    for (const approval of await this.#givenElsewhere(bytes)) {
      const from = bytesOf(approval);
      const key = JSON.stringify([from.base, from.head, from.target]);
      if (!seen.has(key)) seen.set(key, await asking.whyNotCarried(from));
      const reason = seen.get(key) ?? null;
      if (reason !== null) uncounted.push({ approval: approval.id, reason });
      else {
        const merged = await this.#ownCommits(from, asking.signers);
        const { signature } = await this.#again({ ...approval, index: approval.index! }, asking.signers);
        const own = ownWork(signature, merged, asking.signers);
        if (own !== null) uncounted.push({ approval: approval.id, reason: own });
        else await count(approval, from.head);
      }
    }
    return { counted, uncounted };
  }

  /** Accepted approvals of other heads in that environment which may have become part of this change. */
  async #givenElsewhere(bytes: ApprovedBytes): Promise<readonly ApprovalRecord[]> {
    const { records, repository } = this.parts;
    const { environment, ref, base, head } = bytes;
    if (base === null) return [];
    const where = { repository: this.name, environment, ref, status: 'accepted' } as const;
    const candidates: ApprovalRecord[] = [];
    const unused = await records.newest('approval', { ...where, usedFor: null }, 'firstSeen', MOST_CARRIED);
    for (const approval of [...unused, ...(await records.find('approval', { ...where, usedFor: head }))]) {
      if (approval.head === null || approval.head === head || approval.index === null) continue;
      const has = await Promise.all([isIn(repository, approval.head, base), isIn(repository, approval.head, head)]);
      // Merged before this change; or neither merged by it nor of the same objects, as after a squash.
      if (has[0] || (!has[1] && approval.renderedDigest !== bytes.renderedDigest)) continue;
      candidates.push(approval);
    }
    return candidates;
  }

  async #ownCommits(
    { base, head }: ApprovedBytes,
    signers: Signers,
  ): Promise<readonly Pick<ChangedCommit, 'commit' | 'signature'>[]> {
    const { repository, now } = this.parts;
    const commits: Pick<ChangedCommit, 'commit' | 'signature'>[] = [];
    for await (const { commit } of repository.history({ head, exclude: base === null ? [] : [base] })) {
      commits.push({ commit, signature: checkSignature(commit, signers, now()) });
    }
    return commits;
  }

  /** Approvals that let a head through to another target than the environment's. */
  async usedElsewhere({ name: environment, target }: Environment, usedFor: string): Promise<readonly string[]> {
    const where = { repository: this.name, environment, usedFor, status: 'accepted' } as const;
    const used = await this.parts.records.find('approval', where);
    return used.filter((approval) => approval.target !== target).map(({ id }) => id);
  }

  /** Environments that wait although an approval came after their decision: the process that saw it died before it judged again. */
  async unjudged(environment: string, head: string, decision: string): Promise<boolean> {
    const { records } = this.parts;
    const [judged] = await records.find('decision', { id: decision });
    const [change] = judged ? await records.find('change', { id: judged.change }) : [];
    const where = { repository: this.name, environment, status: 'accepted', usedFor: null } as const;
    const looked = new Set([
      ...(judged?.approvals ?? []),
      ...(judged?.uncounted ?? []).map(({ approval }) => approval),
    ]);
    return (await records.newest('approval', where, 'firstSeen', MOST_CARRIED)).some(
      ({ id, ...approval }) =>
        !looked.has(id) && (approval.head === head || approval.renderedDigest === change?.renderedDigest),
    );
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

  /** Whose an approval is by the signers given, read again from what the log has of it. */
  async #again(
    { index, firstSeen, account }: ApprovalRecord & { readonly index: number },
    signers: Signers,
  ): Promise<ApproverCheck> {
    if (account) return checkAccount(account, signers);
    const { ledger } = this.parts;
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

async function isIn(repository: Repository, commit: string, head: string): Promise<boolean> {
  try {
    return await repository.isAncestor(commit, head);
  } catch (thrown) {
    // A head that was never merged, and is gone where it came from.
    if (['revision-unknown', 'object-missing'].includes(toCountersignError(thrown).code)) return false;
    throw thrown;
  }
}

function newestFirst(a: { readonly time: string }, b: { readonly time: string }): number {
  return a.time < b.time ? 1 : -1;
}

function inputOf({ principal, person, firstSeen, via }: ApprovalRecord, carriedFrom?: string): InputApproval {
  return {
    principal: principal!,
    person: person ?? principal!,
    via,
    strength: strengthOf(via),
    time: firstSeen,
    verified: true,
    ...(carriedFrom === undefined ? {} : { carriedFrom }),
  };
}
