import { resolve as resolvePath } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CountersignError } from '../../errors.js';
import type { Credentials, RemoteOptions } from '../../source/repository.js';
import { LocalRefs } from './local-refs.js';
import { complaint, type GitEnvironment, runGit } from './processes.js';
import { inPrefixes } from './refs.js';
import { isSshAddress, sshEnvironment, sshReason } from './ssh.js';

/** How long a remote may be silent, in milliseconds. */
const POLL_TIMEOUT = 15_000;

/** Where a mirror looks: refs by a cheap question, and the environment in which git may fetch from there. */
export interface Remote {
  /** What git is given as the repository; never holds credentials. */
  readonly address: string;
  readonly environment: GitEnvironment;
  /** Ids as stored, a tag's own. Throws `repository-missing` with `retry` when the remote is away. */
  refs(prefixes: readonly string[]): Promise<Map<string, string>>;
}

/** Throws `config-invalid` for a URL that is not followed. */
export function remoteOf({ url, credentials, ssh }: RemoteOptions): Remote {
  if (isSshAddress(url)) return gitRemote(url, sshEnvironment(url, ssh));
  if (url.startsWith('file://')) return localRemote(filePath(url));
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url) && !/^[^/]+:/.test(url)) return localRemote(resolvePath(url));
  return httpRemote(parseHttp(url), credentials);
}

function filePath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    throw refuse(`${JSON.stringify(url)} names no file of this machine`, 'Write file:///path, with three slashes');
  }
}

function localRemote(path: string): Remote {
  let local: LocalRefs | undefined;
  return {
    address: path,
    environment: { protocols: ['file'] },
    async refs(prefixes) {
      try {
        local ??= await LocalRefs.open(path);
        return await local.read(prefixes);
      } catch (error) {
        // Looked up anew next time: it may come back as another repository.
        local = undefined;
        if (error instanceof CountersignError && error.code === 'repository-unsupported')
          return refsByGit(path, { protocols: ['file'] }, prefixes);
        throw error instanceof CountersignError && error.code === 'repository-missing'
          ? away(path, error.message)
          : error;
      }
    },
  };
}

/** A remote whose refs git itself asks for. */
function gitRemote(address: string, environment: GitEnvironment): Remote {
  return { address, environment, refs: (prefixes) => refsByGit(address, environment, prefixes) };
}

async function refsByGit(
  address: string,
  environment: GitEnvironment,
  prefixes: readonly string[],
): Promise<Map<string, string>> {
  // Named, so that a server with protocol v2 lists no others; it may list more.
  const patterns = prefixes.flatMap((prefix) => [prefix, `${prefix}/*`]);
  const { code, stdout, stderr } = await runGit(['ls-remote', '--refs', '--', address, ...patterns], {
    ...environment,
    timeout: POLL_TIMEOUT,
  });
  if (code !== 0) throw away(address, sshReason(stderr) ?? complaint(stderr));
  const lines = stdout.toString('utf8').trimEnd().split('\n');
  const all = lines.map((line) => line.split('\t') as [string, string]);
  return new Map(all.filter(([, ref]) => ref && inPrefixes(ref, prefixes)).map(([id, ref]) => [ref, id]));
}

function httpRemote(url: URL, credentials: RemoteOptions['credentials']): Remote {
  const authorization = credentials && authorizationOf(credentials);
  const environment: GitEnvironment = {
    protocols: [url.protocol === 'https:' ? 'https' : 'http'],
    settings: [
      // A redirect would carry the credentials to whoever it names.
      ['http.followRedirects', 'false'],
      ['http.lowSpeedLimit', '1'],
      ['http.lowSpeedTime', '30'],
      ...(authorization ? [[`http.${url.origin}/.extraHeader`, `Authorization: ${authorization}`] as const] : []),
    ],
    variables: inherited([
      'SSL_CERT_FILE',
      'SSL_CERT_DIR',
      'GIT_SSL_CAINFO',
      'HTTPS_PROXY',
      'https_proxy',
      'NO_PROXY',
      'no_proxy',
    ]),
  };
  return {
    address: url.href,
    environment,
    async refs(prefixes) {
      const found = await askRefs(url, authorization, prefixes);
      // The client in process knows SHA-1 alone and takes a SHA-256 repository for an empty one; git knows both.
      return found.size > 0 ? found : refsByGit(url.href, environment, prefixes);
    },
  };
}

function authorizationOf(credentials: Credentials): string {
  if (credentials.token === undefined) {
    return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64')}`;
  }
  // It becomes part of a header as it is.
  if (/^[\x21-\x7e]+$/.test(credentials.token)) return `Bearer ${credentials.token}`;
  throw refuse('the token holds characters that no header may hold', 'Check what its variable or file holds');
}

async function askRefs(
  url: URL,
  authorization: string | undefined,
  prefixes: readonly string[],
): Promise<Map<string, string>> {
  const { listServerRefs } = await import('isomorphic-git');
  const found = new Map<string, string>();
  try {
    for (const prefix of prefixes) {
      const refs = await listServerRefs({
        http: { request },
        url: url.href,
        prefix,
        ...(authorization ? { headers: { Authorization: authorization } } : {}),
      });
      for (const { ref, oid } of refs) if (inPrefixes(ref, prefixes)) found.set(ref, oid);
    }
    return found;
  } catch (cause) {
    throw cause instanceof CountersignError ? cause : away(url.href, httpReason(cause as Error), cause);
  }
}

interface HttpRequest {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** isomorphic-git's own client has no timeout and follows redirects with the credentials. */
async function request({ url, method = 'GET', headers = {}, body }: HttpRequest) {
  const chunks: Uint8Array[] = [];
  if (body) for await (const chunk of body) chunks.push(chunk);
  const response = await fetch(url, {
    method,
    headers,
    redirect: 'error',
    signal: AbortSignal.timeout(POLL_TIMEOUT),
    ...(body ? { body: Buffer.concat(chunks) } : {}),
  });
  return {
    url: response.url,
    method,
    statusCode: response.status,
    statusMessage: response.statusText,
    headers: Object.fromEntries(response.headers),
    body: (response.body ?? []) as unknown as AsyncIterableIterator<Uint8Array>,
  };
}

function httpReason(error: Error): string {
  const status = (error as { data?: { statusCode?: number } }).data?.statusCode;
  if (status === 401 || status === 403) return `it does not accept these credentials (HTTP ${status})`;
  if (status !== undefined) return `it answered HTTP ${status}`;
  return error.cause instanceof Error ? error.cause.message : error.message;
}

function refuse(what: string, remedy: string): CountersignError {
  return new CountersignError('config-invalid', what, { remedy });
}

function parseHttp(text: string): URL {
  if (!URL.canParse(text))
    throw refuse(`${JSON.stringify(text)} is no URL that can be followed`, 'Use a path, file://, https:// or ssh://');
  const url = new URL(text);
  const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && loopback)) {
    const plain = url.protocol === 'http:' ? ' but from this machine' : '';
    throw refuse(`${url.protocol}// is not followed${plain}: ${url.host}`, 'Use a path, file://, https:// or ssh://');
  }
  if (url.username || url.password) {
    throw refuse(`the URL of ${url.host} holds credentials`, 'Give them apart from it, so that they are never shown');
  }
  return url;
}

function inherited(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

/** Away: it may come back without anybody changing anything here. */
export function away(address: string, reason: string, cause?: unknown): CountersignError {
  return new CountersignError('repository-missing', `the repository ${address} cannot be reached: ${reason}`, {
    remedy: 'Check its address, the network and the credentials',
    retry: true,
    cause,
  });
}
