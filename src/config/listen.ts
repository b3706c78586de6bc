import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import type { Written } from './file.js';
import type { FaultAt } from './repository.js';

/** How the service is reached from elsewhere. */
export interface ReachedAs {
  /** The address that others know it by: `https://countersign.example.org`. Undefined on loopback only. */
  readonly url?: string;
  /** Absolute paths of PEM files. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Addresses and networks of the proxies that do TLS for it; nobody else is answered, but this machine. */
  readonly proxy: readonly string[];
}

/** What it takes to be reached from other machines: TLS or a proxy that does it, a name, and that everybody says who they are. */
export function resolveReached(
  written: Written,
  listen: { readonly host: string; readonly port: number },
  base: string,
  at: { readonly path: readonly PropertyKey[]; readonly by: string },
  fault: FaultAt,
): ReachedAs {
  const { url, tls, proxy = [], access } = written;
  const file = (field: 'certificate' | 'key'): string => {
    const path = resolve(base, tls?.[field] ?? '');
    if (!existsSync(path)) fault(['tls', field], `there is no file ${path}`);
    return path;
  };
  proxy.forEach((address, i) => {
    const [host, bits, ...more] = address.split('/');
    const family = isIP(host);
    const whole = family === 4 ? 32 : 128;
    if (family === 0 || more.length > 0 || (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= whole)))
      fault(['proxy', i], `"${address}" is no address and no network; it must be like 10.0.0.5 or 10.0.0.0/24`);
  });
  const parsed = url === undefined ? undefined : URL.parse(url);
  if (url !== undefined && (!parsed || parsed.pathname !== '/' || parsed.search || parsed.hash || !isProper(parsed))) {
    fault(['url'], 'it must be an https:// address without a path, such as https://countersign.example.org');
  }
  if (proxy.length > 0 && access?.loopback === 'read') {
    fault(['access', 'loopback'], 'a proxy may speak for anybody, so with one everybody takes a token');
  }
  if (proxy.length > 0 && !access) {
    fault(['proxy'], `who comes by a proxy must say who they are: ${HOW_TO_KNOW}`);
  }
  // Without a host it was no address, and that is said already.
  if (listen.host !== '' && !isLoopback(listen.host)) {
    const open = `${at.by}"${listen.host}" can be reached from other machines, so `;
    if (!tls && proxy.length === 0) {
      fault(at.path, `${open}it takes TLS (tls: {certificate: tls.crt, key: tls.key}) or a proxy that does it (proxy: [10.0.0.5])`); // prettier-ignore
    }
    if (!access || (access.tokens.length === 0 && !access.oidc)) {
      fault(at.path, `${open}everybody must say who they are: ${HOW_TO_KNOW}`);
    }
    if (url === undefined) fault(at.path, `${open}it takes the address that others know it by (url: https://…)`);
  }
  return {
    ...(parsed ? { url: parsed.origin } : {}),
    ...(tls ? { tls: { certificate: file('certificate'), key: file('key') } } : {}),
    proxy,
  };
}

const HOW_TO_KNOW = 'access: {tokens: […]} (countersign token makes one) or access: {oidc: {…}}';

const isProper = ({ protocol, hostname }: URL): boolean =>
  protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname));

/** This machine and no other can reach it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}
