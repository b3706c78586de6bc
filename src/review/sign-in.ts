import { randomUUID } from 'node:crypto';
import { CountersignError, toCountersignError } from '../errors.js';
import type { AccessLog } from './access-log.js';
import type { Authority } from './authority.js';
import { authorityOfIdentity, type ClaimRules, type Identity } from './claims.js';
import { newSessionSecret, type Session, sessionDigest, type Sessions } from './session.js';

/** What only the browser that begins a sign-in holds until it comes back. */
export interface SignInSecrets {
  readonly verifier: string;
  readonly state: string;
  readonly nonce: string;
}

export interface SignInBegun extends SignInSecrets {
  /** Of the issuer: where the browser goes now. */
  readonly address: string;
}

/** The port to an issuer by which people sign in with a browser. */
export interface BrowserSignIn {
  /** Throws `issuer-unavailable`. */
  begin(callback: string): Promise<SignInBegun>;
  /** `answer` is the whole address that the browser came back by. Throws `unauthenticated`, `issuer-unavailable`. */
  finish(answer: string, secrets: SignInSecrets): Promise<Identity>;
  /** Where the issuer signs people out, who come `back` from there; null where it does not. */
  endAddress(back: string): Promise<string | null>;
}

export interface SignInOptions {
  readonly issuer: BrowserSignIn;
  readonly rules: ClaimRules;
  /** Names the issuer and the claims: sessions begun under another end. */
  readonly basis: string;
  /** Milliseconds: without a request, and in all. */
  readonly idle: number;
  readonly life: number;
  readonly sessions: Sessions;
  readonly log: Pick<AccessLog, 'refused' | 'session'>;
  readonly now?: () => Date;
}

/** People who sign in with a browser: from the issuer's word to a session, and from a session to who somebody is. */
export class SignIn {
  readonly #now: () => Date;

  constructor(private readonly options: SignInOptions) {
    this.#now = options.now ?? (() => new Date());
  }

  /** How long a session lasts at most. */
  get seconds(): number {
    return this.options.life / 1_000;
  }

  /** Throws `issuer-unavailable`. */
  begin(callback: string): Promise<SignInBegun> {
    return this.options.issuer.begin(callback);
  }

  /**
   * Ends with the secret of a new session, and the end of the one before; `secrets` is null where the browser brings none. Throws `unauthenticated` and
   * `forbidden` after that is in the log, `issuer-unavailable`, `database-unavailable`.
   */
  async finish(answer: string, secrets: SignInSecrets | null, replaced: string | null): Promise<string> {
    const { issuer, rules, basis, life, sessions, log } = this.options;
    let login: string | undefined;
    try {
      if (!secrets) {
        throw new CountersignError('unauthenticated', 'this sign-in was not begun in this browser, or too long ago', {
          remedy: 'Sign in again',
        });
      }
      const identity = await issuer.finish(answer, secrets);
      ({ login } = identity);
      const now = this.#now();
      const [secret, id] = [newSessionSecret(), randomUUID()];
      const endsAt = new Date(now.getTime() + life).toISOString();
      authorityOfIdentity(identity, rules, { token: 'session', session: id, expires: endsAt });
      // Groups that are given nothing are nobody's business here.
      const groups = identity.groups.filter((group) => rules.roles.some((role) => role.group === group));
      const startedAt = now.toISOString();
      await sessions.start(
        sessionDigest(secret),
        { id, login, groups, basis, startedAt, seenAt: startedAt, endsAt },
        replaced === null ? null : sessionDigest(replaced),
      );
      await log.session({ action: 'sign-in', token: 'session', login, session: id });
      return secret;
    } catch (thrown) {
      const { code, message } = toCountersignError(thrown);
      const who = login === undefined ? {} : { login };
      if (code === 'unauthenticated') await log.refused({ action: 'sign-in', code: 'sign-in', message, ...who });
      if (code === 'forbidden') await log.refused({ action: 'sign-in', code: 'out-of-scope', message, ...who });
      throw thrown;
    }
  }

  /** Null where the session is over, or was never one. Throws `forbidden` for somebody whose groups are given nothing any more. */
  async authorityOf(secret: string): Promise<Authority | null> {
    const { rules, basis, sessions } = this.options;
    const session = await sessions.find(sessionDigest(secret), ...this.#instants());
    if (!session || session.basis !== basis) return null;
    return authorityOfIdentity(session, rules, { token: 'session', session: session.id, expires: session.endsAt });
  }

  /** Ends a session, and says where the issuer ends its own; null where it does not. */
  async end(secret: string, back: string): Promise<string | null> {
    const { sessions, log, issuer } = this.options;
    const ended = await sessions.end(sessionDigest(secret));
    if (!ended) return null;
    await log.session({ action: 'sign-out', token: 'session', login: ended.login, session: ended.id });
    return issuer.endAddress(back);
  }

  list(): Promise<readonly Session[]> {
    return this.options.sessions.list(...this.#instants());
  }

  /** Signs somebody out everywhere, in the name of an administrator. */
  async endOf(login: string, by: Authority): Promise<number> {
    const ended = await this.options.sessions.endOf(login);
    await this.options.log.session({ action: 'endSessions', token: by.token, login: by.login, of: login });
    return ended;
  }

  #instants(): [now: string, idleSince: string] {
    const now = this.#now().getTime();
    return [new Date(now).toISOString(), new Date(now - this.options.idle).toISOString()];
  }
}
