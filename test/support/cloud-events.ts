import { Ajv } from 'ajv';
import formats from 'ajv-formats';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

const ajv = new Ajv({ strict: false });
(formats as unknown as (to: Ajv) => void)(ajv);
const validate = ajv.compile(
  JSON.parse(readFileSync(new URL('../vectors/cloudevents/cloudevents.json', import.meta.url), 'utf8')) as object,
);

/** What is wrong with an event by the standard's own schema, and by what its text says of names of attributes. */
export function eventFaults(event: Record<string, unknown>): unknown[] {
  const named = Object.keys(event).filter((name) => !/^[a-z0-9]{1,20}$/.test(name));
  return [...(validate(event) ? [] : (validate.errors ?? [])), ...named];
}

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A place that is told of things: it answers what `answer` says, 204 unless told. */
export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const state = { answer: 204 };
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => void parts.push(part));
    request.on('end', () => {
      if (state.answer < 300) received.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
      response.writeHead(state.answer, state.answer === 302 ? { location: '/elsewhere' } : {}).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=hush`,
    received,
    state,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  readonly state: { answer: number };
  close(): Promise<void>;
}

/** As whoever receives it checks it. */
export function isSigned({ headers, body }: Received, secret: string): boolean {
  const [id, time] = [headers['webhook-id'], headers['webhook-timestamp']];
  const expected = createHmac('sha256', secret)
    .update(`${String(id)}.${String(time)}.${body}`)
    .digest('base64');
  return headers['webhook-signature'] === `v1,${expected}`;
}
