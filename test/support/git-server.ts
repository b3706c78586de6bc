import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface GitServer {
  /** `http://127.0.0.1:PORT`; a repository `shop.git` under the root is at `/shop.git`. */
  readonly url: string;
  /** Every request so far: method and path. */
  readonly requests: readonly string[];
  /** While true, answers 503 to everything. */
  down: boolean;
  close(): Promise<void>;
}

/** Real `git http-backend` behind Node's HTTP server, for every repository under `root`; basic auth if `users` are given;
 * who is called `token` there shows the password as a bearer token. */
export async function startGitServer(root: string, users?: Readonly<Record<string, string>>): Promise<GitServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://server');
    requests.push(`${request.method} ${url.pathname}`);
    if (state.down) return answer(request, response, 503);
    if (!/^\/[\w.-]+\.git\/(?:info\/refs|git-upload-pack|git-receive-pack)$/.test(url.pathname))
      return answer(request, response, 404);
    const user = users ? authenticated(request, users) : 'anybody';
    if (user === undefined) {
      response.setHeader('WWW-Authenticate', 'Basic realm="git"');
      return answer(request, response, 401);
    }
    return backend(root, url, user, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const state = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    down: false,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return state;
}

function answer(request: IncomingMessage, response: ServerResponse, status: number): void {
  request.resume();
  response.writeHead(status).end();
}

function authenticated(request: IncomingMessage, users: Readonly<Record<string, string>>): string | undefined {
  const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return users['token'] === bearer ? 'token' : undefined;
  const encoded = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  const [name = '', password] = Buffer.from(encoded ?? '', 'base64')
    .toString('utf8')
    .split(/:(.*)/s);
  return Object.hasOwn(users, name) && users[name] === password ? name : undefined;
}

/** One CGI request (RFC 3875): the program's headers first, then the body as it comes. */
function backend(root: string, url: URL, user: string, request: IncomingMessage, response: ServerResponse): void {
  const header = (name: string): string => String(request.headers[name] ?? '');
  const child = spawn('git', ['-c', 'http.receivepack=true', '-c', 'safe.directory=*', 'http-backend'], {
    env: {
      PATH: process.env['PATH'],
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_PROTOCOL: header('git-protocol'),
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      REMOTE_USER: user,
      REMOTE_ADDR: '127.0.0.1',
      CONTENT_TYPE: header('content-type'),
      ...(header('content-length') ? { CONTENT_LENGTH: header('content-length') } : {}),
      ...(header('content-encoding') ? { HTTP_CONTENT_ENCODING: header('content-encoding') } : {}),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => {});
  request.pipe(child.stdin);
  let head = Buffer.alloc(0);
  const onHead = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    child.stdout.off('data', onHead);
    const headers = head
      .toString('latin1', 0, end)
      .split('\r\n')
      .map((line) => line.split(/: (.*)/s) as [string, string]);
    const status = headers.find(([name]) => name.toLowerCase() === 'status')?.[1];
    response.writeHead(status ? Number.parseInt(status, 10) : 200, Object.fromEntries(headers));
    response.write(head.subarray(end + 4));
    child.stdout.pipe(response);
  };
  child.stdout.on('data', onHead);
  child.once('close', () => response.end());
  response.once('close', () => child.kill());
}
