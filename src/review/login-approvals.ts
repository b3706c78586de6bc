import { createHash, randomUUID } from 'node:crypto';
import { CountersignError } from '../errors.js';
import { type ApprovedBytes, vouchedText } from './approval.js';
import { type Approvals } from './approvals.js';
import { bytesOf } from './recorded-approval.js';
import { type Authority, requireAuthority } from './authority.js';
import type { ApprovalRecord, Records } from './records.js';
import type { Standing } from './governance.js';

/** What it takes to approve in one repository. */
export interface ApprovingRepository {
  readonly approvals: Approvals;
  /** Null until something governs. */
  readonly standing: Standing | null;
  /** An approval came or was withdrawn: what waits for it is judged again at once. */
  approvalsCame(approvals: readonly ApprovalRecord[]): void;
}

/** Approvals by people who have a token of this service, which vouches for who they are. */
export class LoginApprovals {
  constructor(
    private readonly repositories: ReadonlyMap<string, ApprovingRepository>,
    private readonly records: Records,
    private readonly now: () => Date = () => new Date(),
  ) {}

  /**
   * Approves exactly these bytes, so that nobody approves what came between their look and their word. Gives the approval, whether or
   * not it counts; the same approval twice is one. Throws `forbidden`, `not-found`.
   */
  async approve(authority: Authority, bytes: ApprovedBytes, comment?: string): Promise<ApprovalRecord> {
    const { repository, approvals, signers } = this.#repository(authority, bytes);
    const account = { login: authority.login };
    const { environment, head } = bytes;
    const where = { repository: bytes.repository, environment, head, via: 'login', status: 'accepted' } as const;
    const given = (await this.records.find('approval', where)).find(
      (one) =>
        one.account !== null &&
        'login' in one.account &&
        one.account.login === account.login &&
        JSON.stringify(bytesOf(one)) === JSON.stringify(bytesOf({ ...one, ...bytes })),
    );
    if (given) return given;
    const id = createHash('sha256')
      .update(JSON.stringify([bytes, account, randomUUID()]))
      .digest('hex');
    const statement = { ...bytes, time: this.now().toISOString(), ...(comment ? { comment } : {}) };
    const text = vouchedText(statement, { ...account, token: authority.token });
    const record = await approvals.record({ id, via: 'login', text, signature: null, statement, account }, signers);
    if (record.status === 'accepted') repository.approvalsCame([record]);
    return record;
  }

  /** Takes back what the same person approved, by whatever way of this service. Throws `forbidden`, `not-found`. */
  async withdraw(authority: Authority, id: string): Promise<ApprovalRecord> {
    const [approval] = await this.records.find('approval', { id });
    const none = new CountersignError('not-found', `there is no approval ${id.slice(0, 80)} of yours that counts`);
    if (!approval) throw none;
    const { repository, approvals } = this.#repository(authority, bytesOf(approval));
    const own = approval.account && 'login' in approval.account && approval.account.login === authority.login;
    if (!own || approval.status !== 'accepted') throw none;
    const record = await approvals.withdraw(approval, 'whoever gave it took it back');
    repository.approvalsCame([record]);
    return record;
  }

  #repository(
    authority: Authority,
    { repository: name, environment }: Pick<ApprovedBytes, 'repository' | 'environment'>,
  ) {
    // Asked at the door already; whoever comes in by another is asked here.
    requireAuthority(authority, { action: 'approve', repository: name, environment }, this.now());
    const repository = this.repositories.get(name);
    const governance = repository?.standing?.governance;
    if (!repository || !governance) {
      throw new CountersignError('not-found', `nothing governs a repository ${name.slice(0, 80)} here`);
    }
    return { repository, approvals: repository.approvals, signers: governance.signers };
  }
}
