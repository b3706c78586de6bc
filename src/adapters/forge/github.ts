import { z } from 'zod';
import { globMatcher } from '../../change/glob.js';
import { isJsonObject, type Json } from '../../cluster/object.js';
import type { Outcome } from '../../policy/decision.js';
import type { BranchProtection, CommitStatus, Forge, ForgeReview, OpenRequest } from '../../review/forge.js';
import { account, branch, commit, number, pages, settingsAt, time, understood } from './answers.js';
import { ask, type ForgeApi } from './http.js';

const pulls = z.array(
  z.object({
    number,
    head: z.object({ sha: commit }),
    base: z.object({ ref: branch }),
    user: z.object({ login: account }).nullish(),
    updated_at: time.nullish(),
  }),
);
const reviews = z.array(
  z.object({
    id: z.int(),
    state: z.string(),
    user: z.object({ login: account }).nullish(),
    commit_id: commit.or(z.literal('')).nullish(),
    submitted_at: time.nullish(),
    dismissed: z.boolean().optional(),
  }),
);

export const STATES: Readonly<Record<Outcome, string>> = {
  allow: 'success',
  deny: 'failure',
  pending: 'pending',
  error: 'error',
};
/** What a review says that settles what its author thinks, as GitHub and Gitea call it. */
const DECIDING = new Set(['APPROVED', 'CHANGES_REQUESTED', 'REQUEST_CHANGES', 'DISMISSED']);

/** GitHub, and Gitea (Forgejo), which took its API over. */
export class GitHub implements Forge {
  readonly #path: string;
  readonly #pageSize: string;

  constructor(
    private readonly api: ForgeApi,
    project: string,
    readonly kind: 'github' | 'gitea',
  ) {
    this.#path = `/repos/${project.split('/').map(encodeURIComponent).join('/')}`;
    this.#pageSize = kind === 'gitea' ? 'limit=50' : 'per_page=100';
  }

  openRequests(): Promise<readonly OpenRequest[]> {
    return pages(async (page) => {
      const answer = await ask(this.api, 'GET', `${this.#path}/pulls?state=open&${this.#pageSize}&page=${page}`);
      return understood('list of requests', pulls, answer).map(({ number: of, head, base, user, updated_at }) => ({
        number: of,
        head: head.sha,
        target: `refs/heads/${base.ref}`,
        ref: `refs/pull/${of}/head`,
        author: user?.login ?? null,
        updated: updated_at ?? null,
      }));
    });
  }

  async approvingReviews({ number: of }: Pick<OpenRequest, 'number'>): Promise<readonly ForgeReview[]> {
    const all = await pages(async (page) => {
      const path = `${this.#path}/pulls/${of}/reviews?${this.#pageSize}&page=${page}`;
      return understood('list of reviews', reviews, await ask(this.api, 'GET', path));
    });
    // Both give them oldest first, and neither promises it.
    const ordered = all.toSorted((a, b) => instant(a.submitted_at) - instant(b.submitted_at) || a.id - b.id);
    const last = new Map<string, (typeof all)[number]>();
    for (const review of ordered) {
      if (review.user && DECIDING.has(review.state)) last.set(review.user.login.toLowerCase(), review);
    }
    return [...last.values()]
      .filter(({ state, dismissed }) => state === 'APPROVED' && !dismissed)
      .map(({ id, user, commit_id, submitted_at }) => ({
        id: String(id),
        account: user!.login,
        commit: commit_id || null,
        time: new Date(instant(submitted_at)).toISOString(),
      }));
  }

  async branchProtection(name: string): Promise<BranchProtection> {
    if (this.kind === 'gitea') return this.#giteaProtection(name);
    const at = encodeURIComponent(name);
    const [protection, rules, summary] = await Promise.all([
      settingsAt(this.api, `${this.#path}/branches/${at}/protection`),
      settingsAt(this.api, `${this.#path}/rules/branches/${at}`),
      settingsAt(this.api, `${this.#path}/branches/${at}`),
    ]);
    const isProtected = isJsonObject(summary) ? summary['protected'] : undefined;
    const guarded = protection !== null || isProtected === true || (Array.isArray(rules) && rules.length > 0);
    const known = isProtected !== undefined || rules !== null;
    return {
      state: guarded ? 'protected' : known ? 'unprotected' : 'unknown',
      settings: { protection, rules, protected: isProtected ?? null },
    };
  }

  async #giteaProtection(name: string): Promise<BranchProtection> {
    const all = await settingsAt(this.api, `${this.#path}/branch_protections`);
    if (!Array.isArray(all)) return { state: 'unknown', settings: { protections: null } };
    const protections = all.filter((one) => isJsonObject(one) && names(one).some((glob) => globMatcher(glob)(name)));
    return { state: protections.length > 0 ? 'protected' : 'unprotected', settings: { protections } };
  }

  async report({ commit: of, context, outcome, description }: CommitStatus): Promise<void> {
    const body = { state: STATES[outcome], context, description };
    await ask(this.api, 'POST', `${this.#path}/statuses/${of}`, body);
  }
}

function names({ rule_name, branch_name }: Record<string, Json>): string[] {
  return [rule_name, branch_name].filter((name): name is string => typeof name === 'string' && name !== '');
}

function instant(text: string | null | undefined): number {
  return text ? Date.parse(text) : 0;
}
