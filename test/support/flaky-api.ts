import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import type { ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';

/** `lost`: the request is carried out, but its answer never arrives. `timeout`: nothing comes of it, and nobody says so. */
export type ApiFault = 'reset' | 'lost' | '409' | '429' | '500' | 'timeout';

/** Stands between a client and a real API server, and spoils requests as it is told. */
export class FlakyApi {
  readonly spoiled: string[] = [];
  /** Asked for each request that is not a watch. */
  fault: (method: string, path: string) => ApiFault | null = () => null;

  private constructor(
    private readonly server: Server,
    private readonly upstream: string,
    private readonly agent: Agent,
    readonly kubeconfig: string,
  ) {}

  static async start(plane: ControlPlane): Promise<FlakyApi> {
    const text = await readFile(plane.kubeconfig('countersign'), 'utf8');
    const authority = Buffer.from(/"certificate-authority-data":"([^"]+)"/.exec(text)![1], 'base64').toString();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const kubeconfig = join(plane.directory, 'flaky.kubeconfig');
    await writeFile(kubeconfig, text.replace(plane.url, `http://127.0.0.1:${(server.address() as AddressInfo).port}`));
    const api = new FlakyApi(
      server,
      plane.url,
      new Agent({ connect: { ca: authority }, bodyTimeout: 0, allowH2: false }),
      kubeconfig,
    );
    server.on('request', (incoming: IncomingMessage, answer: ServerResponse) => {
      api.#serve(incoming, answer).catch(() => answer.destroy());
    });
    return api;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await this.agent.destroy();
  }

  async #serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = '', url = '' } = incoming;
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const asked = url.includes('watch=true') ? null : this.fault(method, url);
    // Only a write can conflict.
    const fault = asked === '409' && method === 'GET' ? '500' : asked;
    if (fault) this.spoiled.push(`${fault} ${method} ${url}`);
    if (fault === 'reset') return void answer.destroy();
    if (fault === 'timeout') return;
    if (fault !== null && fault !== 'lost') {
      const status = {
        kind: 'Status',
        status: 'Failure',
        reason: 'Injected',
        message: `injected ${fault}`,
        code: Number(fault),
      };
      answer.writeHead(Number(fault), { 'content-type': 'application/json' }).end(JSON.stringify(status));
      return;
    }
    const abort = new AbortController();
    answer.on('close', () => abort.abort());
    const { authorization, 'content-type': contentType, 'user-agent': agent } = incoming.headers;
    const upstream = await request(this.upstream + url, {
      method: method,
      headers: {
        ...(authorization ? { authorization } : {}),
        ...(contentType ? { 'content-type': contentType } : {}),
        ...(agent ? { 'user-agent': agent } : {}),
      },
      body: chunks.length > 0 ? Buffer.concat(chunks) : null,
      dispatcher: this.agent,
      signal: abort.signal,
    });
    if (fault === 'lost') {
      await upstream.body.dump();
      return void answer.destroy();
    }
    answer.writeHead(upstream.statusCode, { 'content-type': String(upstream.headers['content-type']) });
    answer.flushHeaders();
    for await (const chunk of upstream.body) answer.write(chunk);
    answer.end();
  }
}
