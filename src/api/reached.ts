import type { FastifyInstance } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import { watchFile, unwatchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { BlockList, isIPv6 } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { createSecureContext, type Server as TlsServer } from 'node:tls';
import { CountersignError } from '../errors.js';
import { problem, sendProblem } from './problems.js';

/** How the service is reached, beside loopback. */
export interface Reached {
  /** Origin that others know it by: `https://countersign.example.org`. */
  readonly url?: string;
  /** Addresses and networks of proxies; where there are any, nobody else is answered, but this machine. */
  readonly proxy: readonly string[];
}

export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
}

const LOOPBACK_NAME = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/** Answers to its own names only, and by its proxies where it has any. */
export function registerNames(fastify: FastifyInstance, reached: Reached): void {
  fastify.addHook('onRequest', (request, reply, next) => {
    void reply.header('x-request-id', request.id);
    const not = whyNotAnswered(request.headers, request.socket.remoteAddress ?? '', reached);
    if (not) return sendProblem(reply, problem(not.status, not.code, not.words));
    return next();
  });
}

/** Null where a request that came from `peer` is answered at all. */
export function whyNotAnswered(
  headers: IncomingHttpHeaders,
  peer: string,
  { url, proxy }: Reached,
): { readonly status: 421 | 403; readonly code: 'query-invalid' | 'forbidden'; readonly words: string } | null {
  const host = url === undefined ? undefined : new URL(url).host.toLowerCase();
  const asked = (headers.host ?? '').toLowerCase();
  // A page elsewhere can point its own name at 127.0.0.1 and have a browser here ask for it (DNS rebinding).
  if (asked !== host && !LOOPBACK_NAME.test(asked)) {
    const names = host === undefined ? 'loopback names only, such as 127.0.0.1' : `${host} and loopback names only`;
    return { status: 421, code: 'query-invalid', words: `this service answers to ${names}` };
  }
  if (proxy.length === 0 || LOOPBACK_ADDRESS.test(peer)) return null;
  const family = isIPv6(peer) && !peer.startsWith('::ffff:') ? 'ipv6' : 'ipv4';
  if (!networksOf(proxy).check(peer.replace(/^::ffff:/, ''), family))
    return { status: 403, code: 'forbidden', words: 'this service answers through its proxy only' };
  if (headers['x-forwarded-proto'] === 'http')
    return { status: 403, code: 'forbidden', words: 'this service is for https:// only' };
  return null;
}

/** This machine, as a socket has it. */
export const LOOPBACK_ADDRESS = /^(127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/;

const lists = new WeakMap<readonly string[], BlockList>();

function networksOf(addresses: readonly string[]): BlockList {
  const known = lists.get(addresses);
  if (known) return known;
  const list = new BlockList();
  for (const address of addresses) {
    const [host, bits] = address.split('/');
    const family = isIPv6(host) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(host, family);
    else list.addSubnet(host, Number(bits), family);
  }
  lists.set(addresses, list);
  return list;
}

/** Throws `config-invalid` for files that are no certificate and its key. */
export async function readTls({ certificate, key }: TlsFiles): Promise<TlsOptions> {
  const options = { cert: await readFile(certificate), key: await readFile(key), minVersion: 'TLSv1.2' } as const;
  try {
    createSecureContext(options);
  } catch (cause) {
    throw new CountersignError('config-invalid', 'the certificate or key of tls cannot be used', {
      place: { file: certificate },
      remedy: 'Give PEM files that belong together',
      cause,
    });
  }
  return options;
}

/** Certificates are renewed while the service runs; one that cannot be used leaves the one before in force. */
export function renewTls(server: TlsServer, files: TlsFiles, onFault: (fault: unknown) => void): () => void {
  const renew = (): void => {
    readTls(files).then((options) => server.setSecureContext(options), onFault);
  };
  watchFile(files.certificate, { interval: 10_000, persistent: false }, renew);
  return () => unwatchFile(files.certificate, renew);
}
