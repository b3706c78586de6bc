import { csrfToken, newSessionSecret } from '../review/session.js';
import { forgedBy, ownPath, takesSession } from './same-origin.js';

const ORIGIN = 'https://countersign.example.org';
const csrf = csrfToken(newSessionSecret());
const json = { 'content-type': 'application/json' };
const ours = { origin: ORIGIN, 'x-countersign-csrf': csrf, ...json };
const asked = (method: string, route: string, headers: Record<string, string> = {}) =>
  forgedBy({ method, route, headers }, ORIGIN, csrf);

describe('a request that a cookie came with', () => {
  it.each([
    ['POST', '/graphql', ours],
    ['POST', '/graphql', { ...ours, 'content-type': 'application/json; charset=utf-8' }],
    ['POST', '/graphql', { ...ours, 'sec-fetch-site': 'same-origin' }],
    ['POST', '/logout', { origin: ORIGIN, 'x-countersign-csrf': csrf }],
    ['GET', '/reports/changes.csv', {}],
    ['GET', '/reports/changes.csv', { 'sec-fetch-site': 'none' }],
    ['GET', '/', { 'sec-fetch-site': 'cross-site' }],
  ])('is the session’s own: %s %s %j', (method, route, headers) => expect(asked(method, route, headers)).toBeNull());

  it.each([
    ['POST', '/graphql', {}, 'application/json'],
    ['POST', '/graphql', json, 'nowhere that it says'],
    ['POST', '/graphql', { ...ours, 'content-type': 'text/plain' }, 'application/json'],
    ['POST', '/graphql', { ...ours, 'content-type': 'application/json-patch' }, 'application/json'],
    ['POST', '/graphql', { ...ours, origin: 'https://evil.example.org' }, 'https://evil.example.org'],
    ['POST', '/graphql', { ...ours, origin: `${ORIGIN}.evil.example.org` }, 'it comes from'],
    ['POST', '/graphql', { ...ours, origin: 'null' }, 'it comes from'],
    ['POST', '/graphql', { ...ours, origin: 'http://countersign.example.org' }, 'it comes from'],
    ['POST', '/graphql', { ...ours, 'sec-fetch-site': 'cross-site' }, 'another site'],
    ['POST', '/graphql', { ...ours, 'sec-fetch-site': 'same-site' }, 'another site'],
    ['POST', '/graphql', { ...ours, 'x-countersign-csrf': csrfToken('of another') }, 'x-countersign-csrf'],
    ['POST', '/graphql', { ...json, origin: ORIGIN }, 'x-countersign-csrf'],
    ['GET', '/graphql', ours, 'by POST'],
    ['POST', '/logout', { origin: ORIGIN }, 'x-countersign-csrf'],
    ['GET', '/reports/changes.csv', { 'sec-fetch-site': 'cross-site' }, 'another page'],
  ])('may be forged: %s %s %j', (method, route, headers, why) => expect(asked(method, route, headers)).toContain(why));

  it('counts where people look, and nowhere else', () => {
    expect(['/graphql', '/session', '/reports/changes.:format'].every(takesSession)).toBe(true);
    expect(['/metrics', '/log/checkpoint', '/webhook/:forge/:repository', '/auth'].some(takesSession)).toBe(false);
  });
});

describe('the place to go on to after the sign-in', () => {
  it.each(['/', '/reports/changes.csv?since=2026-07-01', '/verify', '/a//b', '/%2F%2Fevil.example.org'])(
    'is a path of the service: %j',
    (to) => expect(ownPath(to, ORIGIN)).toBe(to),
  );
  it.each([
    '//evil.example.org',
    '/\\evil.example.org',
    '/\t/evil.example.org',
    '/\n/evil.example.org',
    'https://evil.example.org/',
    'https:evil.example.org',
    'javascript:alert(1)',
    'evil.example.org',
    '',
    ' //evil.example.org',
    '/a\\b',
    '/\u2215evil',
    `/${'a'.repeat(1_100)}`,
  ])('is not elsewhere: %j', (to) => expect(ownPath(to, ORIGIN)).toBeNull());
});
