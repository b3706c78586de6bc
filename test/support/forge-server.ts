import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export type ForgeKind = 'github' | 'gitlab' | 'gitea';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Readonly<Record<string, unknown>> | null;
}

export interface ForgeServer {
  /** What is configured as `api`. */
  readonly api: string;
  readonly token: string;
  /** Every request so far. */
  readonly asked: readonly Asked[];
  /** Open requests, given two a page. */
  requests: { readonly number: number; readonly head: string; readonly target: string }[];
  /** What it answers instead, while set. */
  instead: { readonly status: number; readonly body: string } | null;
  statuses(): readonly Readonly<Record<string, unknown>>[];
  close(): Promise<void>;
}

const PREFIX = { github: '', gitlab: '/api/v4', gitea: '/api/v1' };
const PROJECT = { github: '/repos/acme/shop', gitlab: '/projects/acme%2Fshop', gitea: '/repos/acme/shop' };

/** As much of a forge's API as commit statuses and open requests take, for the project `acme/shop`, at the level of HTTP. */
export async function startForgeServer(kind: ForgeKind): Promise<ForgeServer> {
  const token = `token-of-${kind}`;
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void answer(request, response);
  });
  const state: ForgeServer = {
    api: '',
    token,
    asked,
    requests: [],
    instead: null,
    statuses: () =>
      asked.filter(({ method }) => method === 'POST').map(({ path, body }) => ({ commit: path.slice(-40), ...body })),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const { method = '', url = '', headers } = request;
    asked.push({ method, path: url, headers, body: body === '' ? null : (JSON.parse(body) as Asked['body']) });
    const send = (status: number, value: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(typeof value === 'string' ? value : JSON.stringify(value));
    };
    if (state.instead) return send(state.instead.status, state.instead.body);
    const wanted = { github: `Bearer ${token}`, gitea: `token ${token}`, gitlab: undefined }[kind];
    if (headers.authorization !== wanted || (kind === 'gitlab' && headers['private-token'] !== token)) {
      return send(401, { message: '401 Unauthorized' });
    }
    const { pathname, searchParams } = new URL(url, 'http://forge');
    const project = `${PREFIX[kind]}${PROJECT[kind]}`;
    const list = kind === 'gitlab' ? `${project}/merge_requests` : `${project}/pulls`;
    if (method === 'GET' && pathname === list) {
      const page = Number(searchParams.get('page'));
      const some = state.requests.slice((page - 1) * 2, page * 2);
      return send(
        200,
        some.map(({ number, head, target }) =>
          kind === 'gitlab'
            ? { iid: number, sha: head, target_branch: target, state: 'opened', title: 'x' }
            : { number, state: 'open', head: { ref: 'x', sha: head }, base: { ref: target, sha: head }, title: 'x' },
        ),
      );
    }
    if (method === 'POST' && new RegExp(`^${project}/statuses/[0-9a-f]{40}$`).test(pathname))
      return send(201, { id: 1 });
    return send(404, { message: 'Not Found' });
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, { api: `http://127.0.0.1:${port}${PREFIX[kind]}` });
}
