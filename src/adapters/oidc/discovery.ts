import { z } from 'zod';
import { CountersignError } from '../../errors.js';

export interface Issuer {
  readonly jwksUri: string;
}

const schema = z.object({ issuer: z.string(), jwks_uri: z.url() });

/** Milliseconds for which what an issuer says of itself is believed; its keys are looked for more often. */
const FRESH = 3_600_000;
/** Milliseconds until an issuer that failed is asked again: requests in between are not held up by it. */
const PAUSE = 2_000;

/** What an issuer says of itself (OpenID Connect Discovery 1.0), asked for when it is first needed. */
export class Discovery {
  #asked: { readonly at: number; readonly answer: Promise<Issuer> } | undefined;

  constructor(
    private readonly issuer: string,
    private readonly patience: number,
  ) {}

  /** Throws `issuer-unavailable`. */
  async found(): Promise<Issuer> {
    const now = Date.now();
    if (!this.#asked || now - this.#asked.at > FRESH) {
      const before = this.#asked;
      const answer = this.#ask();
      this.#asked = { at: now, answer };
      answer.catch(() => {
        // What it said before is as good as ever while it is away.
        this.#asked = before ? { at: now - FRESH + PAUSE, answer: before.answer } : { at: now - FRESH + PAUSE, answer };
      });
    }
    return this.#asked.answer;
  }

  async #ask(): Promise<Issuer> {
    const address = `${this.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    try {
      const response = await fetch(address, { signal: AbortSignal.timeout(this.patience), redirect: 'error' });
      const said = schema.parse(await response.json());
      if (said.issuer !== this.issuer) throw new Error(`it calls itself ${said.issuer}`);
      const keys = new URL(said.jwks_uri);
      if (keys.protocol !== 'https:' && keys.protocol !== new URL(this.issuer).protocol) {
        throw new Error('its keys are not at an https:// address');
      }
      return { jwksUri: said.jwks_uri };
    } catch (cause) {
      throw new CountersignError('issuer-unavailable', `${this.issuer} cannot be asked: ${(cause as Error).message}`, {
        remedy: 'Check access.oidc.issuer, and that the issuer answers',
        retry: true,
        cause,
      });
    }
  }
}
