import type { InputPush } from '../policy/input.js';
import { type Identities, personOf } from '../source/identities.js';
import type { RefMove } from '../source/repository.js';
import { accountName } from './approval.js';
import type { Account } from './records.js';

/** The word of whoever let somebody in that they moved a ref: from where to where, exactly. */
export interface PusherClaim extends Omit<RefMove, 'kind'> {
  readonly by: Account;
}

/** Whose word it is: the forge's, in a webhook that it signed, or the Git server's, in the environment of a hook. */
type Via = NonNullable<InputPush['pusherVia']>;

/**
 * What policy is told of who pushed: the person of the identity map, else the account. It is never more than the word of the forge or
 * server; what nobody said is absent, and a rule that needs it must say so.
 */
export function pusherInput(
  by: Account | null,
  via: Via,
  identities: Identities,
): Pick<InputPush, 'pusher' | 'pusherAccount' | 'pusherVia'> {
  if (!by) return {};
  const account = accountName(by);
  const person = personOf(identities, 'login' in by ? { login: by.login } : { account: by });
  return { pusher: person ?? account, pusherAccount: account, pusherVia: via };
}

/** Milliseconds for which a claim waits for the push that it is about. */
const WINDOW = 3_600_000;
const MOST = 1_000;

/**
 * Claims about pushes that were not seen yet. Each is for one push, of the same ref, from the same commit to the same commit: of a push
 * that came together with another, and is seen as one move, nobody is said to have made it.
 */
export class PusherClaims {
  readonly #claims = new Set<PusherClaim & { readonly at: number }>();

  constructor(private readonly now: () => Date) {}

  add(claim: PusherClaim): void {
    this.#claims.add({ ...claim, at: this.now().getTime() });
    for (const one of this.#claims) {
      if (this.#claims.size <= MOST && one.at + WINDOW >= this.now().getTime()) break;
      this.#claims.delete(one);
    }
  }

  /** Who made this move; it was told of this one and of no other. */
  take(move: Omit<RefMove, 'kind'>): Account | null {
    for (const claim of this.#claims) {
      if (!sameMove(claim, move)) continue;
      this.#claims.delete(claim);
      return claim.at + WINDOW < this.now().getTime() ? null : claim.by;
    }
    return null;
  }
}

export function sameMove(one: Omit<RefMove, 'kind'>, other: Omit<RefMove, 'kind'>): boolean {
  return one.ref === other.ref && one.old === other.old && one.new === other.new;
}

/**
 * What Git servers tell their hooks of who pushes, the first that is set: GitLab, Gitea and Forgejo, GitHub Enterprise Server,
 * Bitbucket Data Center, Gitolite; and whoever the web server in front of `git http-backend` let in.
 */
const VARIABLES: readonly (readonly [variable: string, forge: string | null])[] = [
  ['GL_USERNAME', 'gitlab'],
  ['GITEA_PUSHER_NAME', 'gitea'],
  ['GITHUB_USER_LOGIN', 'github'],
  ['BB_USER_NAME', 'bitbucket'],
  ['GL_USER', null],
  ['REMOTE_USER', null],
];
/** An account as any of them has it; anything else is nobody's name. */
// eslint-disable-next-line no-control-regex
const NAME = /^[^\s\x00-\x1f\x7f-\x9f]{1,255}$/u;

export function pusherOfHook(env: Readonly<Record<string, string | undefined>>): Account | null {
  for (const [variable, forge] of VARIABLES) {
    const name = env[variable];
    if (name && NAME.test(name)) return forge === null ? { login: name } : { forge, name };
  }
  return null;
}

export function isAccountName(text: unknown): text is string {
  return typeof text === 'string' && NAME.test(text);
}
