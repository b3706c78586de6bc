import { CountersignError } from '../errors.js';
import type { Authority, HeldRole } from './authority.js';

/** What an issuer's groups are given here, and which of its claims are looked at. */
export interface ClaimRules {
  /** How somebody logs in. */
  readonly login: string;
  /** Their groups. */
  readonly groups: string;
  readonly roles: readonly (HeldRole & { readonly group: string })[];
}

export type Claims = Readonly<Record<string, unknown>>;

/** Who somebody is to their issuer. */
export interface Identity {
  readonly login: string;
  readonly groups: readonly string[];
}

/**
 * Who somebody is by the claims of a token that was checked. `expires` is RFC 3339. Throws `unauthenticated` for claims that do not say it,
 * `forbidden` for somebody whose groups are given nothing.
 */
export function authorityOfClaims(claims: Claims, rules: ClaimRules, expires: string): Authority {
  return authorityOfIdentity(identityOfClaims(claims, rules), rules, { token: 'oidc', expires });
}

/** Throws `unauthenticated`. */
export function identityOfClaims(claims: Claims, rules: Omit<ClaimRules, 'roles'>): Identity {
  const login = claims[rules.login];
  if (typeof login !== 'string' || login === '' || login.length > 255 || /[\s\p{Cc}*]/u.test(login)) {
    throw unfit(`its claim "${rules.login}", by which people log in here, is no login`);
  }
  // Whoever may write any address into their account would be whom they like.
  if (rules.login === 'email' && claims['email_verified'] !== true) {
    throw unfit('its issuer has not verified the address in it', 'Log in by another claim (access.oidc.login)');
  }
  return { login, groups: [...groupsOf(claims, rules.groups)] };
}

/** Throws `forbidden`. */
export function authorityOfIdentity(
  { login, groups }: Identity,
  rules: Pick<ClaimRules, 'roles'>,
  more: Pick<Authority, 'token' | 'expires' | 'session'>,
): Authority {
  const roles = rules.roles
    .filter(({ group }) => groups.includes(group))
    .map(({ role, repositories, environments }) => ({ role, repositories, environments }));
  if (roles.length === 0) {
    throw new CountersignError('forbidden', `none of the groups of ${login} is given a role here`, {
      remedy: 'Ask whoever runs this service to give one of them a role (access.oidc.roles)',
    });
  }
  return { ...more, login, roles };
}

/** A token that names its groups by reference, because they are too many, would be read as one without groups. */
function groupsOf(claims: Claims, name: string): ReadonlySet<string> {
  const elsewhere = claims['_claim_names'];
  const overflow =
    claims['hasgroups'] === true ||
    claims['hasgroups'] === 'true' ||
    (typeof elsewhere === 'object' && elsewhere !== null && name in elsewhere);
  const groups = claims[name];
  if (overflow && groups === undefined) {
    throw unfit(
      'it has too many groups to name them',
      'Have the issuer send only groups of this application, or its roles (access.oidc.groups: roles)',
    );
  }
  if (groups === undefined) return new Set();
  if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string')) {
    throw unfit(`its claim "${name}" is no list of groups`);
  }
  return new Set(groups);
}

const unfit = (why: string, remedy = 'Ask whoever runs this service'): CountersignError =>
  new CountersignError('unauthenticated', `the token does not say who this is: ${why}`, { remedy });
