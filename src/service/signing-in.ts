import type { DataSource } from 'typeorm';
import { administratorToken } from '../adapters/keys/administrator-token.js';
import { OidcBearer } from '../adapters/oidc/bearer.js';
import { OidcConsole } from '../adapters/oidc/console.js';
import { PostgresSessions } from '../adapters/postgres/sessions.js';
import { Access } from '../api/access.js';
import { Cookies } from '../api/cookies.js';
import type { SigningIn } from '../api/sign-in.controller.js';
import type { LoginPlace } from '../api/state.js';
import type { Config } from '../config.js';
import { SignIn, type SignInOptions } from '../review/sign-in.js';

/** Where `countersign login` goes, if the configuration names an issuer's client for it. */
export function loginPlace({ access: { oidc } }: Config): { readonly login?: LoginPlace } {
  const { cli, scope } = oidc?.client ?? {};
  return oidc && cli && scope ? { login: { issuer: oidc.issuer, client: cli, scope } } : {};
}

/** People who sign in with a browser, where the configuration names an issuer's client for that. */
export function openSigningIn(
  { access: { oidc }, reached: { url, tls } }: Config,
  dataSource: DataSource,
  log: SignInOptions['log'],
): SigningIn & { reachedAt(address: string): void } {
  // The port is known once it is listened on; a name that others know it by wins.
  let origin = url ?? '';
  const browser = {
    cookies: new Cookies(url?.startsWith('https:') ?? tls !== undefined),
    origin: () => origin,
    reachedAt: (address: string) => void (origin ||= address),
  };
  if (!oidc?.console) return { ...browser, signIn: null };
  const { console, ...rules } = oidc;
  const issuer = new OidcConsole({ ...rules, console });
  const basis = [rules.issuer, console.client, rules.login, rules.groups].join(' ');
  const { idle, life } = console;
  return {
    ...browser,
    signIn: new SignIn({ issuer, rules, basis, idle, life, sessions: new PostgresSessions(dataSource), log }),
  };
}

/** Who may do what: by the configured tokens and issuer, else by the one token that is made for an embedded service. */
export async function openAccess(
  { access, data }: Config,
  { signIn }: SigningIn,
  log: SignInOptions['log'],
): Promise<Access> {
  return new Access({
    tokens: access.configured ? access.tokens : [await administratorToken(data)],
    anonymous: access.loopback === 'read',
    log,
    ...(access.oidc ? { issuer: new OidcBearer(access.oidc) } : {}),
    ...(signIn ? { signIn } : {}),
  });
}
