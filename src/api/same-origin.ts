import { timingSafeEqual } from 'node:crypto';

/** What a browser says of a request that its cookie came with. */
export interface CookieRequest {
  readonly method: string;
  /** As it is routed: `/graphql`. */
  readonly route: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** What pages of the service send beside the cookie, lower-case as Node.js has it. */
export const CSRF_HEADER = 'x-countersign-csrf';

/** Where a cookie says who somebody is. Tiles, metrics and what machines ask take a token. */
export const takesSession = (route: string): boolean =>
  ['/', '/session', '/logout', '/graphql'].includes(route) || route.startsWith('/reports/');

/**
 * Why a request may be a page's elsewhere, which has a browser here send its cookie along; null where it cannot be. Where the browser says
 * whose page it is (Fetch Metadata), that counts for reading, too.
 */
export function forgedBy({ method, route, headers }: CookieRequest, origin: string, csrf: string): string | null {
  const site = headers['sec-fetch-site'];
  const ours = site === undefined || site === 'same-origin' || site === 'none';
  if (route === '/graphql') {
    if (method !== 'POST') return 'with a session GraphQL is asked by POST';
    const type = String(headers['content-type'] ?? '');
    if (!/^application\/json\s*(;|$)/i.test(type)) return 'with a session GraphQL is asked in application/json';
  }
  if (method === 'GET' || method === 'HEAD')
    return ours || route === '/' ? null : 'another page asks for it: open it from the service’s own';
  if (headers.origin !== origin) return `it comes from ${nameOf(headers.origin)}, and not from ${origin}`;
  if (!ours) return 'another site’s page sends it';
  if (!equal(headers[CSRF_HEADER], csrf)) return `it lacks the session's own ${CSRF_HEADER} (GET /session tells it)`;
  return null;
}

const nameOf = (origin: unknown): string =>
  typeof origin === 'string' && /^[\w.:/[\]-]{1,200}$/.test(origin) ? origin : 'nowhere that it says';

function equal(given: unknown, known: string): boolean {
  if (typeof given !== 'string') return false;
  const [a, b] = [Buffer.from(given), Buffer.from(known)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** A path of the service to go on to after the sign-in; null for anything that leads elsewhere. */
export function ownPath(to: string, origin: string): string | null {
  // What browsers read as another host (`//host`, `/\host`, tabs and line breaks in it) is none of ours.
  if (!/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,1000}$/.test(to) && to !== '/') return null;
  const url = URL.parse(to, origin);
  return url && url.origin === origin ? `${url.pathname}${url.search}` : null;
}
