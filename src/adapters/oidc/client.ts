import { allowInsecureRequests, ClientSecretBasic, type Configuration, discovery, None } from 'openid-client';
import { CountersignError } from '../../errors.js';

/** Seconds for an answer of the issuer. */
const PATIENCE = 10;

/** What the issuer says of itself, for a client that it knows: a public one without a secret. Throws `issuer-unavailable`. */
export async function askIssuer(issuer: string, client: string, secret?: string): Promise<Configuration> {
  const address = new URL(issuer);
  const local = address.protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(address.hostname);
  try {
    return await discovery(address, client, undefined, secret === undefined ? None() : ClientSecretBasic(secret), {
      execute: local ? [allowInsecureRequests] : [],
      timeout: PATIENCE,
    });
  } catch (cause) {
    throw new CountersignError('issuer-unavailable', `${issuer} cannot be asked: ${(cause as Error).message}`, {
      remedy: 'Try again when it answers',
      retry: true,
      cause,
    });
  }
}
