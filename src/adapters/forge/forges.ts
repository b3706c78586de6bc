import { z } from 'zod';
import type { Outcome } from '../../policy/decision.js';
import type { CommitStatus, Forge, OpenRequest } from '../../review/forge.js';
import { ask, failed, type ForgeApi } from './http.js';

export interface ForgeOptions {
  readonly kind: 'github' | 'gitlab' | 'gitea';
  readonly api: string;
  /** `owner/name`; a GitLab project may have more parts. */
  readonly project: string;
  readonly token: string;
}

const PAGES = 10;
const commit = z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/);
const branch = z.string().regex(/^[^\s~^:?*[\\\p{Cc}]{1,255}$/u);
const number = z.int().positive();
/** GitHub and Gitea, which took it over from there. */
const pulls = z.array(z.object({ number, head: z.object({ sha: commit }), base: z.object({ ref: branch }) }));
const merges = z.array(z.object({ iid: number, sha: commit.nullable(), target_branch: branch }));

export function openForge(options: ForgeOptions): Forge {
  const api = options.api.replace(/\/+$/, '');
  const { project, token } = options;
  if (options.kind === 'gitlab') return new GitLab({ api, headers: { 'private-token': token } }, project);
  const gitea = options.kind === 'gitea';
  const headers: Record<string, string> = gitea
    ? { authorization: `token ${token}` }
    : {
        authorization: `Bearer ${token}`,
        accept: 'application/vnd.github+json',
        'x-github-api-version': '2022-11-28',
      };
  return new GitHub({ api, headers }, project, gitea ? 'limit=50' : 'per_page=100');
}

const STATES: Readonly<Record<Outcome, string>> = {
  allow: 'success',
  deny: 'failure',
  pending: 'pending',
  error: 'error',
};

class GitHub implements Forge {
  readonly #path: string;

  constructor(
    private readonly api: ForgeApi,
    project: string,
    private readonly pageSize: string,
  ) {
    this.#path = `/repos/${project.split('/').map(encodeURIComponent).join('/')}`;
  }

  openRequests(): Promise<readonly OpenRequest[]> {
    return pages(async (page) => {
      const answer = await ask(this.api, 'GET', `${this.#path}/pulls?state=open&${this.pageSize}&page=${page}`);
      return understood(pulls, answer).map(({ number: of, head, base }) => ({
        number: of,
        head: head.sha,
        target: `refs/heads/${base.ref}`,
        ref: `refs/pull/${of}/head`,
      }));
    });
  }

  async report({ commit: of, context, outcome, description }: CommitStatus): Promise<void> {
    const body = { state: STATES[outcome], context, description };
    await ask(this.api, 'POST', `${this.#path}/statuses/${of}`, body);
  }
}

class GitLab implements Forge {
  readonly #path: string;

  constructor(
    private readonly api: ForgeApi,
    project: string,
  ) {
    this.#path = `/projects/${encodeURIComponent(project)}`;
  }

  openRequests(): Promise<readonly OpenRequest[]> {
    return pages(async (page) => {
      const path = `${this.#path}/merge_requests?state=opened&per_page=100&page=${page}`;
      return understood(merges, await ask(this.api, 'GET', path)).map(({ iid, sha, target_branch }) => ({
        number: iid,
        head: sha ?? '',
        target: `refs/heads/${target_branch}`,
        ref: `refs/merge-requests/${iid}/head`,
      }));
    });
  }

  async report({ commit: of, context, outcome, description }: CommitStatus): Promise<void> {
    // GitLab knows no "error".
    const state = { ...STATES, deny: 'failed', error: 'failed' }[outcome];
    await ask(this.api, 'POST', `${this.#path}/statuses/${of}`, { state, name: context, description });
  }
}

/** Until a page is empty: a forge may give fewer than were asked for. */
async function pages(page: (number: number) => Promise<readonly OpenRequest[]>): Promise<readonly OpenRequest[]> {
  const all: OpenRequest[] = [];
  for (let at = 1; at <= PAGES; at++) {
    const some = await page(at);
    if (some.length === 0) break;
    all.push(...some);
  }
  // A request whose source is gone has no head.
  return all.filter(({ head }) => head !== '');
}

function understood<T>(schema: z.ZodType<T>, answer: unknown): T {
  const read = schema.safeParse(answer);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw failed(
    `the forge's list of requests is not understood: ${issue.path.join('.')} ${issue.message}`,
    'Check forge.kind and forge.api',
    false,
  );
}
