import { globMatcher } from '../change/glob.js';
import { CountersignError } from '../errors.js';

/** What one may be; more come with what they may do. */
export type Role = 'approver';

/** What somebody who asks this service to do something may have done, and in whose name. */
export interface Authority {
  /** What the token is called, which is no secret. */
  readonly token: string;
  /** How the person logs in: the identity map says who that is. */
  readonly login: string;
  readonly role: Role;
  /** Globs. */
  readonly repositories: readonly string[];
  readonly environments: readonly string[];
  /** RFC 3339. */
  readonly expires: string;
}

export interface Asked {
  readonly role: Role;
  readonly repository: string;
  readonly environment: string;
}

/** Throws `forbidden`, which tells the asker nothing of what there is. */
export function requireAuthority(authority: Authority, asked: Asked, now: Date): void {
  const { token, role, repositories, environments, expires } = authority;
  const refuse = (why: string): CountersignError =>
    new CountersignError('forbidden', `the token ${token} ${why}`, {
      remedy: 'Ask whoever runs this service for a token that may',
    });
  if (Date.parse(expires) <= now.getTime()) throw refuse(`expired at ${expires}`);
  if (role !== asked.role) throw refuse('is for another role');
  if (!may(repositories, asked.repository)) throw refuse(`is not for the repository ${asked.repository.slice(0, 80)}`);
  if (!may(environments, asked.environment))
    throw refuse(`is not for the environment ${asked.environment.slice(0, 80)}`);
}

function may(globs: readonly string[], name: string): boolean {
  return globs.some((glob) => glob === '*' || globMatcher(glob)(name));
}
