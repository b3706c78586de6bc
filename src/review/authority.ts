import { type Place, type Reach, reachOfPlaces } from '../audit/reach.js';
import { CountersignError } from '../errors.js';

export const roles = ['viewer', 'developer', 'approver', 'operator', 'auditor', 'administrator'] as const;
export type Role = (typeof roles)[number];

/** What may be asked of the service. */
export type Action = 'read' | 'explain' | 'approve' | 'operate' | 'audit' | 'export' | 'access' | 'administer';

/**
 * Who may what: the one table. Nobody approves by being in charge of the service, and whoever approves is given no more than that;
 * one person may hold several roles.
 */
export const mayDo: Readonly<Record<Action, readonly Role[]>> = {
  // The records of one's own repositories and environments.
  read: roles,
  // What takes work to answer: why a decision came out so, what a policy would have done.
  explain: ['developer', 'approver', 'operator', 'auditor', 'administrator'],
  approve: ['approver'],
  // Figures of the whole service.
  operate: ['operator', 'administrator'],
  // The log from leaf to leaf. A leaf names repositories and environments, and nothing else that is not public.
  audit: ['operator', 'auditor', 'administrator'],
  // Listings that leave the service, with what people wrote in them.
  export: ['auditor', 'administrator'],
  // Who may what, now and at earlier dates.
  access: ['auditor', 'administrator'],
  // What is done to the service itself: people are signed out.
  administer: ['administrator'],
};

/** A role, and where it counts. */
export interface HeldRole extends Place {
  readonly role: Role;
}

/** What somebody who asks this service for something may have done, and in whose name. */
export interface Authority {
  /** What the token is called, which is no secret. */
  readonly token: string;
  /** How the person logs in: the identity map says who that is. */
  readonly login: string;
  readonly roles: readonly HeldRole[];
  /** RFC 3339; null for one that lasts as long as the configuration that names it. */
  readonly expires: string | null;
  /** Nobody said who they are: whoever is on this machine may look. */
  readonly anonymous?: true;
  /** What their session is called, where a browser's cookie says who they are. */
  readonly session?: string;
}

/** Whoever is on this machine, where that is enough for looking. */
export const localReader: Authority = {
  token: 'none',
  login: 'nobody',
  roles: (['developer', 'operator', 'auditor'] as const).map((role) => ({
    role,
    repositories: ['*'],
    environments: ['*'],
  })),
  expires: null,
  anonymous: true,
};

const reaches = new WeakMap<Authority, Map<Action, Reach | null>>();

/** Null where they may do it nowhere. Reaches of one authority are made once. */
export function reachOf(authority: Authority, action: Action): Reach | null {
  const known = reaches.get(authority) ?? new Map<Action, Reach | null>();
  reaches.set(authority, known);
  const found = known.get(action);
  if (found !== undefined) return found;
  const held = placesOf(authority, action);
  const reach = held.length === 0 ? null : reachOfPlaces(held);
  known.set(action, reach);
  return reach;
}

/** Where that is, as its roles name it. */
export const placesOf = ({ roles: held }: Authority, action: Action): readonly Place[] =>
  held
    .filter(({ role }) => mayDo[action].includes(role))
    .map(({ repositories, environments }) => ({ repositories, environments }));

export interface Asked {
  readonly action: Action;
  readonly repository: string;
  readonly environment: string;
}

/** Throws `forbidden`, which tells the asker nothing of what there is. */
export function requireAuthority(authority: Authority, asked: Asked, now: Date): void {
  const { token, expires } = authority;
  const { repository, environment } = asked;
  if (expires !== null && Date.parse(expires) <= now.getTime()) throw refusal(token, `expired at ${expires}`);
  const reach = reachOf(authority, asked.action);
  if (!reach) throw refusal(token, 'is for another role');
  if (!reach.partly(repository)) throw refusal(token, `is not for the repository ${repository.slice(0, 80)}`);
  if (!reach.covers(repository, environment))
    throw refusal(token, `is not for the environment ${environment.slice(0, 80)}`);
}

export function refusal(token: string, why: string): CountersignError {
  return new CountersignError('forbidden', `the token ${token} ${why}`, {
    remedy: 'Ask whoever runs this service for a token that may',
  });
}
