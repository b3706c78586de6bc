import type { Forge } from '../../review/forge.js';
import { GitHub } from './github.js';
import { GitLab } from './gitlab.js';

export interface ForgeOptions {
  readonly kind: 'github' | 'gitlab' | 'gitea';
  readonly api: string;
  /** `owner/name`; a GitLab project may have more parts. */
  readonly project: string;
  readonly token: string;
}

export function openForge({ kind, project, token, ...options }: ForgeOptions): Forge {
  const api = options.api.replace(/\/+$/, '');
  if (kind === 'gitlab') return new GitLab({ api, headers: { 'private-token': token } }, project);
  if (kind === 'gitea') return new GitHub({ api, headers: { authorization: `token ${token}` } }, project, 'gitea');
  const headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/vnd.github+json',
    'x-github-api-version': '2022-11-28',
  };
  return new GitHub({ api, headers }, project, 'github');
}
