import { toCountersignError } from '../errors.js';
import type { Repository, TreeEntry } from '../source/repository.js';
import type { Signers } from '../source/signers.js';
import { approvalId } from './approval.js';
import type { Approvals, GivenApproval, SignedStatement } from './approvals.js';
import type { ApprovalRecord } from './records.js';
import { parseWithdrawal, type WithdrawalStatement, withdraws } from './withdrawal.js';

interface Withdrawal extends SignedStatement {
  readonly id: string;
  readonly statement: WithdrawalStatement;
}

interface Pushed {
  readonly found: readonly GivenApproval[];
  readonly withdrawals: Withdrawal[];
  /** There are some that this look leaves over. */
  readonly more: boolean;
}

/** Bytes that a statement, or its signature, may have. */
const LONGEST = 16 * 1024;
/** Approvals recorded in one look: whoever pushes many does not keep the rest of the repository from being judged. */
const MOST_AT_ONCE = 1_000;

/** The approvals that are pushed to their ref in the governed repository. */
export class PushedApprovals {
  #read: string | null = null;
  /** Accepted ones of a look that failed later: each is recorded once, so the next look does not find them again. */
  #fresh: ApprovalRecord[] = [];

  constructor(
    private readonly name: string,
    private readonly repository: Repository,
    private readonly approvals: Approvals,
  ) {}

  /**
   * Records what is new at `tip` of the approvals ref; null when there is none. Gives those that were accepted, or withdrawn. The first call of a
   * process looks at all there are: what was recorded before is known by its id.
   */
  async see(tip: string | null, signers: Signers): Promise<readonly ApprovalRecord[]> {
    if (tip === null || tip === this.#read) return [];
    const { found, withdrawals, more } = await this.#pushed(tip);
    for (const given of found) {
      const record = await this.approvals.record(given, signers);
      if (record.status === 'accepted') this.#fresh.push(record);
      // It may lie there since before its approval came.
      if (record.status === 'accepted') withdrawals.push(...(await this.#withdrawalsOf(record.id, tip)));
    }
    for (const { statement, ...signed } of withdrawals) {
      const withdrawn = await this.approvals.takeBack(signed, statement, signers);
      if (withdrawn) this.#fresh = [...this.#fresh.filter(({ id }) => id !== withdrawn.id), withdrawn];
    }
    // What one look leaves over is taken up by the next, which knows by their ids what is recorded.
    if (!more) this.#read = tip;
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh;
  }

  async #pushed(tip: string): Promise<Pushed> {
    const found: GivenApproval[] = [];
    const withdrawals: Withdrawal[] = [];
    for await (const { text, signature } of pushedStatements(this.repository, tip, this.#read)) {
      const id = approvalId(this.name, text, signature);
      const statement = withdrawalIn(text);
      if (statement) {
        withdrawals.push({ id, text, signature, statement });
        continue;
      }
      if (found.some((one) => one.id === id) || (await this.approvals.isKnown(id))) continue;
      found.push({ id, via: 'git', text, signature });
      if (found.length === MOST_AT_ONCE) return { found, withdrawals, more: true };
    }
    return { found, withdrawals, more: false };
  }

  async #withdrawalsOf(approval: string, tip: string): Promise<readonly Withdrawal[]> {
    const found: Withdrawal[] = [];
    const lies = (path: string): boolean => withdraws(path, approval);
    for await (const { text, signature } of pushedStatements(this.repository, tip, null, lies)) {
      const statement = withdrawalIn(text);
      if (statement?.approval === approval)
        found.push({ id: approvalId(this.name, text, signature), text, signature, statement });
    }
    return found;
  }
}

/** Null also for one that cannot be read: as an approval it is refused with the reason. */
export function withdrawalIn(text: string): WithdrawalStatement | null {
  try {
    return parseWithdrawal(text);
  } catch {
    return null;
  }
}

/** Statements with their signatures at a commit of the approvals ref, but for those that an older one of its commits has. */
export async function* pushedStatements(
  repository: Repository,
  tip: string,
  since: string | null,
  among: (path: string) => boolean = () => true,
): AsyncGenerator<{ readonly text: string; readonly signature: string }> {
  const files = new Map((await repository.tree(tip)).filter(isPlain).map((entry) => [entry.path, entry]));
  const fresh =
    since === null
      ? [...files.keys()]
      : (await repository.changes(since, tip)).filter(({ op }) => op !== 'delete').map(({ path }) => path);
  const statements = new Set(
    fresh
      .filter(among)
      .map((path) => path.replace(/\.sig$/, ''))
      .filter((path) => path.endsWith('.json')),
  );
  for (const path of statements) {
    const [statement, signed] = [files.get(path), files.get(`${path}.sig`)];
    if (!statement || !signed) continue; // half of one says nothing
    const [text, signature] = [await textOf(repository, statement), await textOf(repository, signed)];
    if (text !== null && signature !== null) yield { text, signature };
  }
}

async function textOf(repository: Repository, entry: TreeEntry): Promise<string | null> {
  try {
    return (await repository.blob(entry.id, LONGEST)).toString('utf8');
  } catch (thrown) {
    if (toCountersignError(thrown).code === 'manifest-too-large') return null;
    throw thrown;
  }
}

function isPlain({ type, mode }: TreeEntry): boolean {
  return type === 'blob' && mode.startsWith('100');
}
