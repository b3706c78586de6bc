import { CountersignError, toCountersignError } from '../errors.js';
import type { AccessLog, Refusal } from '../review/access-log.js';
import type { SignIn } from '../review/sign-in.js';
import { type Authority, localReader } from '../review/authority.js';
import { authorityOfToken, type KnownToken, tokenDigest } from '../review/token.js';
import { type Permission, requirePermission } from './permissions.js';

/** What a request says of who sends it. */
export interface Credentials {
  /** The header of that name. */
  readonly authorization: string | undefined;
  /** From this machine, and not passed on for somebody else. */
  readonly local: boolean;
  /** What a browser's cookie says, where a cookie counts. */
  readonly session?: string | undefined;
}

/** Somebody else who says who people are. */
export interface TokenIssuer {
  /** Throws `unauthenticated` with what is wrong with it, `forbidden` for somebody without a role, `issuer-unavailable`. */
  verify(token: string): Promise<Authority>;
}

/** Tokens of others that are kept checked, and for how long at most, in milliseconds: a key that was withdrawn counts no longer. */
const MOST_KEPT = 10_000;
const KEPT = 300_000;

export interface AccessOptions {
  readonly tokens: readonly KnownToken[];
  /** Whether whoever is on this machine may look without a token. */
  readonly anonymous: boolean;
  readonly log: Pick<AccessLog, 'refused'>;
  /** Whose tokens count beside our own. */
  readonly issuer?: TokenIssuer;
  /** Who is signed in with a browser. */
  readonly signIn?: Pick<SignIn, 'authorityOf'>;
  readonly now?: () => Date;
}

/** Who calls, and whether they may. Whoever may not is in the log before the answer is out. */
export class Access {
  readonly #tokens: ReadonlyMap<string, Authority>;
  readonly #kept = new Map<string, { readonly at: number; readonly authority: Authority }>();
  readonly #now: () => Date;

  constructor(private readonly options: AccessOptions) {
    const { tokens, now = () => new Date() } = options;
    this.#now = now;
    this.#tokens = new Map(tokens.map((token) => [token.sha256, authorityOfToken(token)]));
  }

  /** Null for nobody. Throws `unauthenticated` for a token that is not good, after it is in the log. */
  async identify({ authorization, local, session }: Credentials, action: string): Promise<Authority | null> {
    if (authorization === undefined) {
      const signedIn = session === undefined ? null : await this.#signedIn(session, action);
      return signedIn ?? (local && this.options.anonymous ? localReader : null);
    }
    const [, token] = /^Bearer ([\x21-\x7e]{1,16384})$/i.exec(authorization) ?? [];
    const authority = token === undefined ? null : await this.#known(token, action);
    if (!authority) return this.#refuse({ action, code: 'unknown-token', message: 'the token is not known here' });
    const { token: name, login, expires } = authority;
    if (expires !== null && Date.parse(expires) <= this.#now().getTime()) {
      const message = `the token ${name} expired at ${expires}`;
      return this.#refuse({ action, code: 'expired', token: name, login, message });
    }
    return authority;
  }

  async #signedIn(session: string, action: string): Promise<Authority | null> {
    try {
      return (await this.options.signIn?.authorityOf(session)) ?? null;
    } catch (thrown) {
      await this.note(null, thrown, action);
      throw thrown;
    }
  }

  async #known(token: string, action: string): Promise<Authority | null> {
    const digest = tokenDigest(token);
    // Tokens are random, or signed: their digests may be looked up, and how long that takes tells nothing of them.
    const own = this.#tokens.get(digest);
    const { issuer } = this.options;
    if (own || !issuer || !/^[\w-]+\.[\w-]+\.[\w-]*$/.test(token)) return own ?? null;
    const now = this.#now().getTime();
    const kept = this.#kept.get(digest);
    if (kept && now - kept.at < KEPT) return kept.authority;
    try {
      const authority = await issuer.verify(token);
      for (const oldest of this.#kept.keys()) {
        if (this.#kept.size < MOST_KEPT) break;
        this.#kept.delete(oldest);
      }
      this.#kept.set(digest, { at: now, authority });
      return authority;
    } catch (thrown) {
      const { code, message } = toCountersignError(thrown);
      if (code === 'unauthenticated') await this.options.log.refused({ action, code: 'unknown-token', message });
      if (code === 'forbidden') await this.options.log.refused({ action, code: 'out-of-scope', message });
      throw thrown;
    }
  }

  /** Throws `unauthenticated`, `forbidden`, after it is in the log. */
  async require(authority: Authority | null, permission: Permission, action: string): Promise<void> {
    try {
      requirePermission(authority, permission);
    } catch (thrown) {
      await this.note(authority, thrown, action);
      throw thrown;
    }
  }

  /** Puts a refusal into the log; what is none is left alone. */
  async note(
    authority: Authority | null,
    thrown: unknown,
    action: string,
    asked: Pick<Refusal, 'repository' | 'environment'> = {},
  ): Promise<void> {
    const { code, message } = toCountersignError(thrown);
    const who = authority && !authority.anonymous ? { token: authority.token, login: authority.login } : {};
    const refusal = { action, message, ...who, ...asked };
    if (code === 'unauthenticated') await this.options.log.refused({ ...refusal, code: 'no-token' });
    if (code === 'forbidden') await this.options.log.refused({ ...refusal, code: 'out-of-scope' });
    if (code === 'not-found' && asked.repository !== undefined) {
      await this.options.log.refused({ ...refusal, code: 'nothing-there' });
    }
  }

  async #refuse(refusal: Refusal): Promise<never> {
    await this.options.log.refused(refusal);
    throw new CountersignError('unauthenticated', refusal.message, {
      remedy: 'Send a token that is valid: Authorization: Bearer cs_…',
    });
  }
}
