import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CountersignError } from '../../errors.js';
import { ApiTransport, type Call } from './transport.js';

const lost = new CountersignError('lease-lost', 'it is another’s', { retry: true });
const patch: Call = { method: 'PATCH', path: '/x', body: '{"a":1}', subject: { text: 'x' } };

describe('writes that are asked for at the last moment', () => {
  let server: Server;
  let transport: ApiTransport;
  /** Requests that came in whole. */
  const came: string[] = [];
  let hold: Promise<void> | null = null;

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = '';
    try {
      for await (const chunk of request) body += String(chunk);
    } catch {
      return; // it was not sent to its end
    }
    came.push(`${request.method} ${body}`);
    await hold;
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  };

  beforeAll(async () => {
    server = createServer((request, response) => void answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const connection = {
      server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      authority: undefined,
      serverName: undefined,
      insecure: false,
      certificate: undefined,
      key: undefined,
      authorization: () => Promise.resolve(undefined),
    };
    transport = new ApiTransport('prod', connection, { request: 10_000, silence: 10_000 });
  });
  beforeEach(() => void came.splice(0));
  afterAll(async () => {
    await transport.close();
    server.closeAllConnections();
    server.close();
  });

  it('are sent while they may be, with what they say', async () => {
    expect(await transport.guarded(() => {}).call(patch)).toEqual({});
    expect(came).toEqual(['PATCH {"a":1}']);
  });

  it('are not begun when they may not be, and questions and dry runs go on', async () => {
    const guarded = transport.guarded(() => {
      throw lost;
    });
    await expect(guarded.call(patch)).rejects.toBe(lost);
    await guarded.call({ ...patch, query: { dryRun: 'All' } });
    await guarded.call({ method: 'GET', path: '/x', subject: { text: 'x' } });
    expect(came).toEqual(['PATCH {"a":1}', 'GET ']);
  });

  it('are not sent when they waited for a connection until they might not be any more', async () => {
    let may = true;
    const guarded = transport.guarded(() => {
      if (!may) throw lost;
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    hold = promise;
    // All connections are taken: the last ones wait, as those of a process that is paused do.
    const calls = Array.from({ length: 20 }, (_, i) => guarded.call({ ...patch, body: String(i) }));
    const ends = Promise.allSettled(calls);
    while (came.length < 16) await new Promise((done) => setTimeout(done, 5));
    may = false;
    resolve();
    const refused = (await ends).filter(({ status }) => status === 'rejected');
    hold = null;
    expect(came).toHaveLength(16);
    expect(refused.map((one) => (one as PromiseRejectedResult).reason as unknown)).toEqual([lost, lost, lost, lost]);
  });
});
