import type { ContentReference } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import { toCountersignError } from '../errors.js';
import type { ChangedCommit } from '../change/proposed-change.js';
import type { InputApproval } from '../policy/input.js';
import type { Repository, TreeEntry } from '../source/repository.js';
import type { Signers } from '../source/signers.js';
import {
  approvalId,
  type ApprovalStatement,
  type ApprovedBytes,
  checkApprover,
  otherBytes,
  ownWork,
  parseApproval,
} from './approval.js';
import { approvalEntry } from './entries.js';
import type { ApprovalRecord, ChangeRecord, Records, ReviewDutyRecord } from './records.js';

/** Bytes that a statement, or its signature, may have. */
const LONGEST = 16 * 1024;
/** Approvals recorded in one look: whoever pushes many does not keep the rest of the repository from being judged. */
const MOST_AT_ONCE = 1_000;

export interface CountedApproval {
  readonly id: string;
  readonly input: InputApproval;
}

interface Parts {
  readonly ledger: Ledger;
  readonly records: Records;
  readonly repository: Repository;
  readonly now: () => Date;
}

interface Pushed {
  readonly id: string;
  readonly statement: string;
  readonly signature: string;
}

/**
 * The approvals of one repository: each that was pushed is judged once and recorded with its reason, and those that were accepted are
 * judged again whenever they are to count.
 */
export class Approvals {
  #read: string | null = null;
  /** Environments that got one in a look that failed later: each is recorded once, so the next look does not find them again. */
  #fresh = new Set<string>();

  constructor(
    private readonly name: string,
    private readonly parts: Parts,
  ) {}

  /**
   * Records what is new at `tip` of the approvals ref; null when there is none. `heads` tells what each environment's ref points to.
   * Gives the environments whose change got an approval. The first call of a process looks at all there are: what was recorded before
   * is known by its id.
   */
  async see(tip: string | null, heads: ReadonlyMap<string, string | null>, signers: Signers): Promise<Set<string>> {
    if (tip === null || tip === this.#read) return new Set();
    const { found, more } = await this.#pushed(tip);
    for (const pushed of found) {
      const record = await this.#record(pushed, heads, signers);
      if (record?.status === 'accepted' && record.environment !== null) this.#fresh.add(record.environment);
    }
    // What one look leaves over is taken up by the next, which knows by their ids what is recorded.
    if (!more) this.#read = tip;
    const fresh = this.#fresh;
    this.#fresh = new Set();
    return fresh;
  }

  /** The approvals that count for a change now. Those whose signer no longer does lapse, if these signers are the ones in force. */
  async counting(
    bytes: ApprovedBytes,
    commits: readonly ChangedCommit[],
    signers: Signers,
    inForce: boolean,
  ): Promise<readonly CountedApproval[]> {
    const { environment, head } = bytes;
    const { records } = this.parts;
    const known = await records.find('approval', { repository: this.name, environment, head, status: 'accepted' });
    const counted: CountedApproval[] = [];
    for (const approval of known) {
      if (otherBytes(bytesOf(approval), bytes) !== null) continue;
      const { index } = approval;
      if (index === null) continue; // it gets its place in the log, and counts from then on
      const reason = await this.#lapse({ ...approval, index }, commits, signers);
      if (reason === null) counted.push({ id: approval.id, input: inputOf(approval) });
      else if (inForce) await records.update('approval', { id: approval.id }, { status: 'lapsed', reason });
    }
    return counted;
  }

  /** Environments that wait although an approval came after their decision: the process that saw it died before it judged again. */
  async unjudged(environment: string, head: string, decision: string): Promise<boolean> {
    const { records } = this.parts;
    const [judged] = await records.find('decision', { id: decision });
    const known = await records.find('approval', { repository: this.name, environment, head, status: 'accepted' });
    return known.some(({ id }) => !judged?.approvals.includes(id));
  }

  async #pushed(tip: string): Promise<{ readonly found: readonly Pushed[]; readonly more: boolean }> {
    const { repository, records } = this.parts;
    const files = new Map((await repository.tree(tip)).filter(isPlain).map((entry) => [entry.path, entry]));
    const fresh =
      this.#read === null
        ? [...files.keys()]
        : (await repository.changes(this.#read, tip)).filter(({ op }) => op !== 'delete').map(({ path }) => path);
    const statements = new Set(
      fresh.map((path) => path.replace(/\.sig$/, '')).filter((path) => path.endsWith('.json')),
    );
    const found: Pushed[] = [];
    for (const path of statements) {
      const [statement, signature] = [files.get(path), files.get(`${path}.sig`)];
      if (!statement || !signature) continue; // half of one says nothing
      const [text, armoured] = [await this.#text(statement), await this.#text(signature)];
      if (text === null || armoured === null) continue;
      const id = approvalId(this.name, text, armoured);
      if ((await records.find('approval', { id })).length > 0 || found.some((one) => one.id === id)) continue;
      found.push({ id, statement: text, signature: armoured });
      if (found.length === MOST_AT_ONCE) return { found, more: true };
    }
    return { found, more: false };
  }

  async #text(entry: TreeEntry): Promise<string | null> {
    try {
      return (await this.parts.repository.blob(entry.id, LONGEST)).toString('utf8');
    } catch (thrown) {
      if (toCountersignError(thrown).code === 'manifest-too-large') return null;
      throw thrown;
    }
  }

  async #record(pushed: Pushed, heads: ReadonlyMap<string, string | null>, signers: Signers): Promise<ApprovalRecord> {
    const { ledger, records, now } = this.parts;
    const firstSeen = now();
    const { record, duty } = await this.#judge(pushed, heads, signers, firstSeen);
    const { entries } = await ledger.record(async (transaction) => {
      await records.save(transaction, 'approval', [record]);
      if (duty) await records.save(transaction, 'reviewDuty', [duty]);
      transaction.append(approvalEntry(record, pushed, duty?.id ?? null));
    });
    await records.update('approval', { id: record.id }, { index: entries[0].index });
    return record;
  }

  /** Read, signed by somebody, about something that is there, and not their own work: in this order, and the first "no" is the reason. */
  async #judge(
    { id, statement: text, signature: armoured }: Pushed,
    heads: ReadonlyMap<string, string | null>,
    signers: Signers,
    firstSeen: Date,
  ): Promise<{ readonly record: ApprovalRecord; readonly duty?: ReviewDutyRecord }> {
    const empty: ApprovalRecord = {
      id,
      repository: this.name,
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
      claimedTime: null,
      index: null,
      via: 'git',
      status: 'rejected',
      reason: null,
      firstSeen: firstSeen.toISOString(),
    };
    let statement: ApprovalStatement;
    try {
      statement = parseApproval(text);
    } catch (thrown) {
      return { record: { ...empty, reason: toCountersignError(thrown).message } };
    }
    const { signature, person = null, reason } = checkApprover(text, armoured, signers, firstSeen);
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
    if (reason !== null) return { record: { ...read, reason } };
    const { change, otherwise } = await this.#changeOf(statement);
    if (!change) return { record: { ...read, reason: otherwise } };
    const about = { ...read, change: change.id };
    const own = ownWork(signature, await this.#commits(change), signers);
    if (own !== null) return { record: { ...about, reason: `nobody approves their own change: ${own}` } };
    const duty = await this.#duty(change);
    if (!duty && heads.get(environment) !== head) {
      const over = `${environment} is no longer at ${head.slice(0, 7)}: a new push needs new approvals`;
      return { record: { ...about, reason: over } };
    }
    const record: ApprovalRecord = { ...about, status: 'accepted' };
    return duty ? { record, duty: { ...duty, closedAt: record.firstSeen, approval: id } } : { record };
  }

  /** The newest change with exactly these bytes, or what comes nearest to saying why there is none. */
  async #changeOf(statement: ApprovalStatement): Promise<{ change?: ChangeRecord; otherwise: string }> {
    const { environment, head } = statement;
    if (statement.repository !== this.name) {
      return { otherwise: `it is for the repository ${statement.repository.slice(0, 60)}` };
    }
    const seen = await this.parts.records.find('change', { repository: this.name, environment, head });
    const byTime = seen.toSorted((a, b) => (a.time < b.time ? 1 : -1));
    const change = byTime.find((one) => otherBytes(statement, one) === null);
    if (change) return { change, otherwise: '' };
    if (byTime.length === 0) {
      return { otherwise: `no change of ${environment.slice(0, 60)} to ${head.slice(0, 12)} was judged when it came` };
    }
    return { otherwise: otherBytes(statement, byTime[0])! };
  }

  async #commits(change: ChangeRecord): Promise<Pick<ChangedCommit, 'commit' | 'signature'>[]> {
    const { records, repository } = this.parts;
    const rows = await records.find('commit', { repository: this.name, id: change.commits });
    return Promise.all(rows.map(async ({ id, signature }) => ({ commit: await repository.commit(id), signature })));
  }

  async #duty(change: ChangeRecord): Promise<ReviewDutyRecord | undefined> {
    const { repository, environment, head } = change;
    const open = await this.parts.records.find('reviewDuty', { repository, environment, head, closedAt: null });
    return open[0];
  }

  /** Why an approval that was accepted does not count any more; null if it does. The log has what was signed. */
  async #lapse(
    { index, firstSeen }: ApprovalRecord & { readonly index: number },
    commits: readonly ChangedCommit[],
    signers: Signers,
  ): Promise<string | null> {
    const { ledger } = this.parts;
    const { predicate } = await ledger.entry(index);
    const contents = predicate['contents'] as unknown as Record<'statement' | 'signature', ContentReference>;
    const [text, armoured] = await Promise.all([
      ledger.content(contents.statement),
      ledger.content(contents.signature),
    ]);
    const { signature, reason } = checkApprover(text.toString(), armoured.toString(), signers, new Date(firstSeen));
    return reason ?? ownWork(signature, commits, signers);
  }
}

function isPlain({ type, mode }: TreeEntry): boolean {
  return type === 'blob' && mode.startsWith('100');
}

/** What an accepted approval names: all of it could be read. */
function bytesOf({ repository, ref, environment, base, head, tree, renderedDigest }: ApprovalRecord): ApprovedBytes {
  return {
    repository,
    ref: ref ?? '',
    environment: environment ?? '',
    base,
    head: head ?? '',
    tree: tree ?? '',
    renderedDigest: renderedDigest ?? '',
  };
}

function inputOf({ principal, person, firstSeen, via }: ApprovalRecord): InputApproval {
  return { principal: principal!, person: person ?? principal!, via, time: firstSeen, verified: true };
}
