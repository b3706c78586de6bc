import { createHmac, randomUUID } from 'node:crypto';

/** Sends what GitHub would send of an event, signed with the secret; resolves to the status of the answer. */
export async function sendGithub(url: string, secret: string, event: string, told: object): Promise<number> {
  const delivery = randomUUID();
  const body = JSON.stringify({ ...told, delivery });
  const { status } = await fetch(url, {
    method: 'POST',
    body,
    headers: {
      'x-github-event': event,
      'x-github-delivery': delivery,
      'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
    },
  });
  return status;
}
