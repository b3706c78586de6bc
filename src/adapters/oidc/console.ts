import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  buildEndSessionUrl,
  calculatePKCECodeChallenge,
  type Configuration,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import { CountersignError } from '../../errors.js';
import { identityOfClaims, type Identity } from '../../review/claims.js';
import type { BrowserSignIn, SignInBegun, SignInSecrets } from '../../review/sign-in.js';
import { OidcBearer, type BearerOptions } from './bearer.js';
import { askIssuer } from './client.js';

export interface ConsoleClient {
  /** Whom people sign in as the console with, at the issuer. */
  readonly client: string;
  /** Undefined for a public client: PKCE protects the code all the same. */
  readonly secret?: string;
  readonly scope: string;
}

/** Milliseconds for which what an issuer says of itself is believed. */
const FRESH = 3_600_000;

/** The code flow of OpenID Connect Core 1.0 with PKCE, state and nonce, for browsers of people. */
export class OidcConsole implements BrowserSignIn {
  readonly #bearer: OidcBearer;
  #asked: { readonly at: number; readonly answer: Promise<Configuration> } | undefined;

  constructor(private readonly options: BearerOptions & { readonly console: ConsoleClient }) {
    // An ID token of the console is for it alone.
    this.#bearer = new OidcBearer({ ...options, audience: [options.console.client] });
  }

  async begin(callback: string): Promise<SignInBegun> {
    const config = await this.#config();
    const secrets = { verifier: randomPKCECodeVerifier(), state: randomState(), nonce: randomNonce() };
    const address = buildAuthorizationUrl(config, {
      redirect_uri: callback,
      scope: this.options.console.scope,
      code_challenge: await calculatePKCECodeChallenge(secrets.verifier),
      code_challenge_method: 'S256',
      state: secrets.state,
      nonce: secrets.nonce,
    });
    return { ...secrets, address: address.href };
  }

  async finish(answer: string, { verifier, state, nonce }: SignInSecrets): Promise<Identity> {
    const config = await this.#config();
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
    const { id_token: token } = await authorizationCodeGrant(config, new URL(answer), checks).catch(
      (thrown: unknown) => {
        throw refused(thrown);
      },
    );
    // As any other token: by its signature, algorithm, times and audience.
    const claims = await this.#bearer.claims(token ?? '');
    return identityOfClaims(claims, this.options);
  }

  async endAddress(back: string): Promise<string | null> {
    // While the issuer is away a session here ends all the same.
    const config = await this.#config().catch(() => null);
    if (!config?.serverMetadata().end_session_endpoint) return null;
    return buildEndSessionUrl(config, { post_logout_redirect_uri: back }).href;
  }

  async #config(): Promise<Configuration> {
    const now = Date.now();
    if (!this.#asked || now - this.#asked.at > FRESH) {
      const { issuer, console } = this.options;
      const asked = { at: now, answer: askIssuer(issuer, console.client, console.secret) };
      this.#asked = asked;
      asked.answer.catch(() => {
        if (this.#asked === asked) this.#asked = undefined;
      });
    }
    return this.#asked.answer;
  }
}

function refused(cause: unknown): CountersignError {
  const { error, message, code } = cause as Error & { error?: string; code?: string };
  const why = (cause as Error).cause;
  // What the issuer answered is a refusal; that it did not answer is none.
  if (error === undefined && (code === 'OAUTH_TIMEOUT' || cause instanceof TypeError)) {
    return new CountersignError('issuer-unavailable', 'the issuer does not answer', { retry: true, cause });
  }
  if (error === 'invalid_client' || code === 'OAUTH_WWW_AUTHENTICATE_CHALLENGE') {
    return new CountersignError('unauthenticated', 'the issuer does not take this service for its client', {
      remedy: 'Ask whoever runs it to check access.oidc.console, and what the issuer knows of that client',
      cause,
    });
  }
  const said =
    error !== undefined && /^[\w.-]{1,60}$/.test(error)
      ? error
      : (why instanceof Error ? why.message : message).slice(0, 200);
  return new CountersignError('unauthenticated', `nobody is signed in: ${said}`, { remedy: 'Sign in again', cause });
}
