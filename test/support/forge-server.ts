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
  requests: {
    readonly number: number;
    readonly head: string;
    readonly target: string;
    readonly author?: string;
    readonly updated?: string;
  }[];
  /** By number of the request, as that forge writes them: reviews, or for GitLab what it says of approvals. */
  readonly reviews: Map<number, object[]>;
  /** When each head of a request came, for GitLab. */
  readonly versions: Map<number, object[]>;
  /** What it says at further paths below the project, such as `/branches/main/protection`; anything else is not found. */
  readonly settings: Map<string, unknown>;
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
    reviews: new Map(),
    versions: new Map(),
    settings: new Map(),
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
    const place = pathname.startsWith(project) ? pathname.slice(project.length) : '?';
    const paged = <T>(all: readonly T[]): readonly T[] => {
      const page = Number(searchParams.get('page'));
      return all.slice((page - 1) * 2, page * 2);
    };
    if (method === 'GET' && place === (kind === 'gitlab' ? '/merge_requests' : '/pulls')) {
      return send(200, paged(state.requests).map(requestOf));
    }
    const [, of, list] = /^\/(?:pulls|merge_requests)\/(\d+)\/(reviews|approvals|versions)$/.exec(place) ?? [];
    const reviews = state.reviews.get(Number(of)) ?? [];
    if (method === 'GET' && list === 'reviews' && kind !== 'gitlab') return send(200, paged(reviews));
    if (method === 'GET' && list === 'approvals' && kind === 'gitlab') return send(200, { approved_by: reviews });
    if (method === 'GET' && list === 'versions' && kind === 'gitlab') {
      return send(200, paged(state.versions.get(Number(of)) ?? []));
    }
    if (method === 'GET' && state.settings.has(place)) return send(200, state.settings.get(place));
    if (method === 'POST' && /^\/statuses\/[0-9a-f]{40}$/.test(place)) return send(201, { id: 1 });
    return send(404, { message: 'Not Found' });
  }

  function requestOf({
    number,
    head,
    target,
    author,
    updated = '2026-11-21T00:00:00Z',
  }: (typeof state.requests)[number]) {
    if (kind === 'gitlab') {
      const user = author === undefined ? {} : { author: { username: author } };
      return {
        iid: number,
        sha: head,
        target_branch: target,
        state: 'opened',
        title: 'x',
        updated_at: updated,
        ...user,
      };
    }
    const user = author === undefined ? {} : { user: { login: author } };
    const refs = { head: { ref: 'x', sha: head }, base: { ref: target, sha: head } };
    return { number, state: 'open', title: 'x', updated_at: updated, ...refs, ...user };
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, { api: `http://127.0.0.1:${port}${PREFIX[kind]}` });
}
