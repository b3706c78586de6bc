import { createHash } from 'node:crypto';
import { CountersignError } from '../errors.js';
import type { AccessLog, Refusal } from '../review/access-log.js';
import type { Authority } from '../review/authority.js';

/** A token as it is configured: what it allows, and its digest. */
export type KnownToken = Omit<Authority, 'token'> & { readonly name: string; readonly sha256: string };

/** Who calls, by the token that they send as `Authorization: Bearer`. */
export class Access {
  readonly #tokens: ReadonlyMap<string, Authority>;

  constructor(
    tokens: readonly KnownToken[],
    private readonly log: Pick<AccessLog, 'refused'>,
    private readonly now: () => Date = () => new Date(),
  ) {
    this.#tokens = new Map(tokens.map(({ name, sha256, ...rest }) => [sha256, { ...rest, token: name }]));
  }

  /** Throws `unauthenticated`, after it is in the log. */
  async authenticate(header: string | undefined, action: string): Promise<Authority> {
    const [, token] = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(header ?? '') ?? [];
    // Tokens are random: their digests may be looked up, and how long that takes tells nothing of them.
    const authority = token === undefined ? undefined : this.#tokens.get(digest(token));
    if (!authority) {
      const code = header === undefined ? 'no-token' : 'unknown-token';
      const what = header === undefined ? 'this takes a token' : 'the token is not known here';
      return this.#refuse({ action, code, message: what });
    }
    const { token: name, login, expires } = authority;
    if (Date.parse(expires) <= this.now().getTime()) {
      return this.#refuse({
        action,
        code: 'expired',
        token: name,
        login,
        message: `the token ${name} expired at ${expires}`,
      });
    }
    return authority;
  }

  async #refuse(refusal: Refusal): Promise<never> {
    await this.log.refused(refusal);
    throw new CountersignError('unauthenticated', refusal.message, {
      remedy: 'Send a token that is valid: Authorization: Bearer cs_…',
    });
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
