import { CountersignError, toCountersignError } from '../errors.js';
import type { AccessLog, Refusal } from '../review/access-log.js';
import { type Authority, localReader } from '../review/authority.js';
import { authorityOfToken, type KnownToken, tokenDigest } from '../review/token.js';
import { type Permission, requirePermission } from './permissions.js';

/** What a request says of who sends it. */
export interface Credentials {
  /** The header of that name. */
  readonly authorization: string | undefined;
  /** From this machine, and not passed on for somebody else. */
  readonly local: boolean;
}

export interface AccessOptions {
  readonly tokens: readonly KnownToken[];
  /** Whether whoever is on this machine may look without a token. */
  readonly anonymous: boolean;
  readonly log: Pick<AccessLog, 'refused'>;
  readonly now?: () => Date;
}

/** Who calls, and whether they may. Whoever may not is in the log before the answer is out. */
export class Access {
  readonly #tokens: ReadonlyMap<string, Authority>;
  readonly #now: () => Date;

  constructor(private readonly options: AccessOptions) {
    const { tokens, now = () => new Date() } = options;
    this.#now = now;
    this.#tokens = new Map(tokens.map((token) => [token.sha256, authorityOfToken(token)]));
  }

  /** Null for nobody. Throws `unauthenticated` for a token that is not good, after it is in the log. */
  async identify({ authorization, local }: Credentials, action: string): Promise<Authority | null> {
    if (authorization === undefined) return local && this.options.anonymous ? localReader : null;
    const [, token] = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(authorization) ?? [];
    // Tokens are random: their digests may be looked up, and how long that takes tells nothing of them.
    const authority = token === undefined ? undefined : this.#tokens.get(tokenDigest(token));
    if (!authority) return this.#refuse({ action, code: 'unknown-token', message: 'the token is not known here' });
    const { token: name, login, expires } = authority;
    if (expires !== null && Date.parse(expires) <= this.#now().getTime()) {
      const message = `the token ${name} expired at ${expires}`;
      return this.#refuse({ action, code: 'expired', token: name, login, message });
    }
    return authority;
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
