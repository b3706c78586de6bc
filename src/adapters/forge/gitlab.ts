import { z } from 'zod';
import { globMatcher } from '../../change/glob.js';
import { isJsonObject } from '../../cluster/object.js';
import type { BranchProtection, CommitStatus, Forge, ForgeReview, OpenRequest } from '../../review/forge.js';
import { account, branch, commit, number, pages, settingsAt, time, understood } from './answers.js';
import { STATES } from './github.js';
import { ask, type ForgeApi } from './http.js';

const merges = z.array(
  z.object({
    iid: number,
    sha: commit.nullable(),
    target_branch: branch,
    author: z.object({ username: account }).nullish(),
    updated_at: time.nullish(),
  }),
);
const approvals = z.object({
  approved_by: z.array(z.object({ user: z.object({ username: account }), approved_at: time.nullish() })).default([]),
});
const versions = z.array(z.object({ head_commit_sha: commit, created_at: time }));

export class GitLab implements Forge {
  readonly kind = 'gitlab';
  readonly #path: string;

  constructor(
    private readonly api: ForgeApi,
    project: string,
  ) {
    this.#path = `/projects/${encodeURIComponent(project)}`;
  }

  async openRequests(): Promise<readonly OpenRequest[]> {
    const all = await pages(async (page) => {
      const path = `${this.#path}/merge_requests?state=opened&per_page=100&page=${page}`;
      return understood('list of requests', merges, await ask(this.api, 'GET', path));
    });
    // A request whose source is gone has no head.
    return all.flatMap(({ iid, sha, target_branch, author, updated_at }) =>
      sha === null
        ? []
        : [
            {
              number: iid,
              head: sha,
              target: `refs/heads/${target_branch}`,
              ref: `refs/merge-requests/${iid}/head`,
              author: author?.username ?? null,
              updated: updated_at ?? null,
            },
          ],
    );
  }

  /**
   * GitLab says when somebody approved, and when each head came, and nowhere which head was approved: it is the newest that was there
   * by then. Releases that do not say when leave the commit open.
   */
  async approvingReviews({ number: of }: Pick<OpenRequest, 'number'>): Promise<readonly ForgeReview[]> {
    const path = `${this.#path}/merge_requests/${of}`;
    const { approved_by } = understood('list of approvals', approvals, await ask(this.api, 'GET', `${path}/approvals`));
    if (approved_by.length === 0) return [];
    const heads = await pages(async (page) =>
      understood(
        'list of versions',
        versions,
        await ask(this.api, 'GET', `${path}/versions?per_page=100&page=${page}`),
      ),
    );
    return approved_by.map(({ user, approved_at }) => ({
      id: approved_at ? new Date(approved_at).toISOString() : 'undated',
      account: user.username,
      commit: approved_at ? headAt(heads, Date.parse(approved_at)) : null,
      time: approved_at ? new Date(approved_at).toISOString() : new Date(0).toISOString(),
    }));
  }

  async branchProtection(name: string): Promise<BranchProtection> {
    const [branches, approvalSettings, rules] = await Promise.all([
      settingsAt(this.api, `${this.#path}/protected_branches?per_page=100`),
      settingsAt(this.api, `${this.#path}/approvals`),
      settingsAt(this.api, `${this.#path}/approval_rules?per_page=100`),
    ]);
    const matching = Array.isArray(branches)
      ? branches.filter((one) => isJsonObject(one) && typeof one['name'] === 'string' && matches(one['name'], name))
      : null;
    const state = matching === null ? 'unknown' : matching.length > 0 ? 'protected' : 'unprotected';
    return { state, settings: { branches: matching, approvals: approvalSettings, rules } };
  }

  async report({ commit: of, context, outcome, description }: CommitStatus): Promise<void> {
    // GitLab knows no "error".
    const state = { ...STATES, deny: 'failed', error: 'failed' }[outcome];
    await ask(this.api, 'POST', `${this.#path}/statuses/${of}`, { state, name: context, description });
  }
}

/** The newest head that was there at an instant: one that came in that very instant may not have been looked at. */
function headAt(heads: readonly z.infer<typeof versions>[number][], at: number): string | null {
  const before = heads.filter(({ created_at }) => Date.parse(created_at) < at);
  return before.toSorted((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at))[0]?.head_commit_sha ?? null;
}

/** GitLab's `*` also stands for slashes. */
function matches(pattern: string, name: string): boolean {
  return globMatcher(flat(pattern))(flat(name));
}

function flat(text: string): string {
  return text.replaceAll('/', '\u0001');
}
