import { createHmac } from 'node:crypto';
import { CountersignError } from '../../errors.js';

export interface HttpDestination {
  readonly url: string;
  readonly secret?: string;
}

/** Milliseconds until a destination must have answered. */
const PATIENCE = 10_000;

/**
 * Posts a body to the address that the administrator configured, and to no other: redirects are not followed. Throws `notification-failed`
 * (retry true) for anything but a 2xx; the message names neither path nor query, which may be the secret.
 */
export async function post(
  { url, secret }: HttpDestination,
  { id, body, contentType }: { readonly id: string; readonly body: string; readonly contentType: string },
  now = Date.now(),
): Promise<void> {
  const { host } = new URL(url);
  const failed = (why: string, cause?: unknown): CountersignError =>
    new CountersignError('notification-failed', `${host} ${why}`, {
      remedy: 'Look at it, or take it out of service.yaml; what it was not told of waits',
      retry: true,
      cause,
    });
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': contentType, ...(secret === undefined ? {} : signed(id, body, secret, now)) },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch (thrown) {
    const { cause, name, message } = thrown as Error & { cause?: NodeJS.ErrnoException };
    const why =
      name === 'TimeoutError'
        ? `did not answer within ${PATIENCE / 1_000} s`
        : `cannot be reached: ${cause?.code ?? message}`;
    throw failed(why, thrown);
  }
  await response.body?.cancel().catch(() => undefined);
  if (!response.ok) throw failed(`answers ${response.status}`);
}

/** As Standard Webhooks have it: an HMAC over id, time and body, so that neither is another's and old ones are told apart. */
export function signed(id: string, body: string, secret: string, now: number): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(now / 1_000));
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}
