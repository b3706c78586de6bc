import type { Environment } from '../change/environment.js';
import type { ChangedCommit } from '../change/proposed-change.js';
import { toCountersignError } from '../errors.js';
import type { InputApproval } from '../policy/input.js';
import type { Repository } from '../source/repository.js';
import { checkSignature, type Signers } from '../source/signers.js';
import { type ApprovedBytes, otherBytes, ownWork, strengthOf } from './approval.js';
import type { ApprovalParts } from './approvals.js';
import { approverNow, bytesOf } from './recorded-approval.js';
import type { ApprovalRecord, Uncounted } from './records.js';

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

/** For which change approvals are asked. */
export interface Asking {
  readonly signers: Signers;
  /** Whether these signers are the ones in force: then what no longer counts by them lapses. */
  readonly inForce: boolean;
  /** Why approvals of other bytes are not carried to this change, or null; without it none are looked at. */
  readonly whyNotCarried?: (from: ApprovedBytes) => Promise<string | null>;
}

/** Which of one repository's accepted approvals count: whose each is, is asked again whenever it is to count. */
export class CountedApprovals {
  constructor(
    private readonly name: string,
    private readonly parts: ApprovalParts,
  ) {}

  /** The approvals that count for a change now, and why others do not that were given for what it merges. */
  async counting(bytes: ApprovedBytes, commits: readonly ChangedCommit[], asking: Asking): Promise<Counting> {
    const { environment, head } = bytes;
    const { ledger, records } = this.parts;
    const known = await records.find('approval', { repository: this.name, environment, head, status: 'accepted' });
    const counted: CountedApproval[] = [];
    const uncounted: Uncounted[] = [];
    const count = async (approval: ApprovalRecord, carriedFrom?: string): Promise<void> => {
      const { index, id } = approval;
      if (index === null) return; // it gets its place in the log, and counts from then on
      const { signature, reason } = await approverNow({ ...approval, index }, asking.signers, ledger);
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
        const { signature } = await approverNow({ ...approval, index: approval.index! }, asking.signers, ledger);
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
