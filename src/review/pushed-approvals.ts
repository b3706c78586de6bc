import { toCountersignError } from '../errors.js';
import type { Repository, TreeEntry } from '../source/repository.js';
import type { Signers } from '../source/signers.js';
import { approvalId } from './approval.js';
import type { Approvals, GivenApproval } from './approvals.js';
import type { ApprovalRecord } from './records.js';

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
   * Records what is new at `tip` of the approvals ref; null when there is none. Gives those that were accepted. The first call of a
   * process looks at all there are: what was recorded before is known by its id.
   */
  async see(tip: string | null, signers: Signers): Promise<readonly ApprovalRecord[]> {
    if (tip === null || tip === this.#read) return [];
    const { found, more } = await this.#pushed(tip);
    for (const given of found) {
      const record = await this.approvals.record(given, signers);
      if (record.status === 'accepted') this.#fresh.push(record);
    }
    // What one look leaves over is taken up by the next, which knows by their ids what is recorded.
    if (!more) this.#read = tip;
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh;
  }

  async #pushed(tip: string): Promise<{ readonly found: readonly GivenApproval[]; readonly more: boolean }> {
    const found: GivenApproval[] = [];
    for await (const { text, signature } of pushedStatements(this.repository, tip, this.#read)) {
      const id = approvalId(this.name, text, signature);
      if (found.some((one) => one.id === id) || (await this.approvals.isKnown(id))) continue;
      found.push({ id, via: 'git', text, signature });
      if (found.length === MOST_AT_ONCE) return { found, more: true };
    }
    return { found, more: false };
  }
}

/** Statements with their signatures at a commit of the approvals ref, but for those that an older one of its commits has. */
export async function* pushedStatements(
  repository: Repository,
  tip: string,
  since: string | null,
): AsyncGenerator<{ readonly text: string; readonly signature: string }> {
  const files = new Map((await repository.tree(tip)).filter(isPlain).map((entry) => [entry.path, entry]));
  const fresh =
    since === null
      ? [...files.keys()]
      : (await repository.changes(since, tip)).filter(({ op }) => op !== 'delete').map(({ path }) => path);
  const statements = new Set(fresh.map((path) => path.replace(/\.sig$/, '')).filter((path) => path.endsWith('.json')));
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
