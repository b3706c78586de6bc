import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { CountersignError } from '../../errors.js';
import type { Authority } from '../../review/authority.js';
import { authorityOfClaims, type ClaimRules } from '../../review/claims.js';
import { Discovery } from './discovery.js';

export interface BearerOptions extends ClaimRules {
  readonly issuer: string;
  /** Any of these a token must be for. */
  readonly audience: readonly string[];
  /** Signatures by keys that only the issuer has. */
  readonly algorithms: readonly string[];
  readonly skewMilliseconds: number;
  /** Milliseconds for which no key that is not known is asked for again: strangers may name any. */
  readonly cooldown?: number;
}

/** Milliseconds. */
const PATIENCE = 5_000;
const COOLDOWN = 30_000;

/** Checks JSON Web Tokens that an OpenID Connect issuer signed: for whom, by whom, until when. */
export class OidcBearer {
  readonly #discovery: Discovery;
  #keys: { readonly uri: string; readonly get: JWTVerifyGetKey } | undefined;

  constructor(private readonly options: BearerOptions) {
    this.#discovery = new Discovery(options.issuer, PATIENCE);
  }

  /** Throws `unauthenticated` with what is wrong with it, `forbidden` for somebody without a role, `issuer-unavailable`. */
  async verify(token: string): Promise<Authority> {
    const payload = await this.claims(token);
    return authorityOfClaims(payload, this.options, new Date(payload.exp! * 1_000).toISOString());
  }

  /** What it says, once that is checked. Throws `unauthenticated`, `issuer-unavailable`. */
  async claims(token: string): Promise<JWTPayload> {
    const { issuer, audience, algorithms, skewMilliseconds } = this.options;
    const keys = await this.#keysOf();
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience: [...audience],
      algorithms: [...algorithms],
      clockTolerance: skewMilliseconds / 1_000,
      requiredClaims: ['exp', 'iat'],
    }).catch((thrown: unknown) => {
      throw this.#refusal(thrown);
    });
    // OpenID Connect Core 3.1.3.7: a token for several says for which of them it was made.
    const { azp } = payload as { azp?: unknown };
    if (
      Array.isArray(payload.aud) &&
      payload.aud.length > 1 &&
      azp !== undefined &&
      !audience.some((known) => known === azp)
    ) {
      throw bad('it was made for another client');
    }
    return payload;
  }

  async #keysOf(): Promise<JWTVerifyGetKey> {
    const { jwksUri } = await this.#discovery.found();
    if (this.#keys?.uri !== jwksUri) {
      const cooldownDuration = this.options.cooldown ?? COOLDOWN;
      const get = createRemoteJWKSet(new URL(jwksUri), { timeoutDuration: PATIENCE, cooldownDuration });
      this.#keys = { uri: jwksUri, get };
    }
    return this.#keys.get;
  }

  #refusal(thrown: unknown): CountersignError {
    if (thrown instanceof errors.JWTExpired) return bad('it expired');
    if (thrown instanceof errors.JWTClaimValidationFailed) return bad(claimFault(thrown));
    if (thrown instanceof errors.JOSEAlgNotAllowed || thrown instanceof errors.JOSENotSupported)
      return bad('it is signed with an algorithm that is not taken here');
    if (thrown instanceof errors.JWKSNoMatchingKey || thrown instanceof errors.JWKSMultipleMatchingKeys)
      return bad('its issuer has no such key');
    if (thrown instanceof errors.JWSSignatureVerificationFailed) return bad('its signature is wrong');
    if (thrown instanceof errors.JWTInvalid || thrown instanceof errors.JWSInvalid) return bad('it is no signed token');
    return new CountersignError('issuer-unavailable', `the keys of ${this.options.issuer} cannot be read`, {
      remedy: 'Try again when the issuer answers',
      retry: true,
      cause: thrown,
    });
  }
}

function claimFault({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === 'missing') return `it does not say "${claim}"`;
  const said: Readonly<Record<string, string>> = {
    iss: 'it is by another issuer',
    aud: 'it is for another audience',
    nbf: 'it does not count yet',
    iat: 'it was made in the future',
  };
  return said[claim] ?? `its claim "${claim}" is wrong`;
}

const bad = (why: string): CountersignError =>
  new CountersignError('unauthenticated', `the token is not good: ${why}`, {
    remedy: 'Log in again: countersign login',
  });
