import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Witness } from '../../audit/witness.js';
import { CountersignError } from '../../errors.js';

/** Bytes: 63 hashes and a checkpoint with a hundred signatures fit well. */
const maxBody = 64 * 1024;
/** Milliseconds that one request may take, its body included. */
const deadline = 10_000;

export interface WitnessServer {
  readonly url: string;
  close(): Promise<void>;
}

/** C2SP tlog-witness over HTTP: `POST /add-checkpoint`, and nothing else. `onFault` hears what kept it from answering. */
export async function serveWitness(
  witness: Witness,
  listen: { readonly host: string; readonly port: number },
  onFault: (error: unknown) => void,
): Promise<WitnessServer> {
  const server = createServer((request, response) => {
    answer(witness, request, response).catch((error: unknown) => {
      onFault(error);
      // Nothing was signed; what went wrong is the operator's to read, not the stranger's.
      if (!response.headersSent) say(response, 500, 'this witness cannot answer for now\n');
    });
  });
  server.requestTimeout = deadline;
  server.headersTimeout = deadline;
  await listening(server, listen);
  const { address, port, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    close: () => new Promise((resolve) => server.close(() => resolve()).closeIdleConnections()),
  };
}

async function listening(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new CountersignError('config-invalid', `cannot listen on ${host}:${port}: ${cause.code}`, {
          remedy: 'Choose another address with --listen',
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
}

async function answer(witness: Witness, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url !== '/add-checkpoint') return say(response, 404, 'POST /add-checkpoint is what a witness answers\n');
  if (request.method !== 'POST') return say(response, 405, 'POST it\n', { allow: 'POST' });
  const body = await read(request);
  if (body === undefined) return say(response, 413, `no more than ${maxBody} bytes\n`, { connection: 'close' });
  const { status, body: text } = await witness.addCheckpoint(body);
  say(response, status, text, status === 409 ? { 'content-type': 'text/x.tlog.size' } : {});
}

async function read(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBody) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function say(response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers }).end(text);
}
