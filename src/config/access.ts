import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Written } from './file.js';
import { readSecret, type Secrets } from './repository.js';
import { isLoopback } from './listen.js';
import type { Role } from '../review/authority.js';
import type { KnownToken } from '../review/token.js';

export interface AccessConfig {
  /** False where the file says nothing of access: then there is one token, made and kept in the data folder. */
  readonly configured: boolean;
  /** Whether whoever is on this machine may read without a token. */
  readonly loopback: 'read' | 'token';
  /** Whether strangers may read the log's tiles. */
  readonly log: 'public' | 'readers';
  readonly tokens: readonly TokenConfig[];
  /** Absolute path of a folder of .graphql files: the only queries that are answered. */
  readonly queries?: string;
  /** Who may ask for the schema itself: whoever may ask, whoever says who they are, or nobody. */
  readonly introspection: 'callers' | 'known' | 'none';
  readonly oidc?: OidcConfig;
}

/** An API token of a configuration: it ends. */
export type TokenConfig = KnownToken & { readonly expires: string };

/** Whose word counts for who somebody is, and what its groups are given. */
export interface OidcConfig {
  /** Exactly as the issuer calls itself. */
  readonly issuer: string;
  /** Any of these a token must be for. */
  readonly audience: readonly string[];
  /** Signature algorithms that are taken. */
  readonly algorithms: readonly string[];
  /** The claim that says how somebody logs in, and the one that lists their groups. */
  readonly login: string;
  readonly groups: string;
  readonly skewMilliseconds: number;
  readonly roles: readonly GroupRole[];
  /** As what `countersign login` logs people in: a public client. */
  readonly client?: { readonly cli: string; readonly scope: string };
  /** As what people sign in with a browser. */
  readonly console?: ConsoleConfig;
}

export interface ConsoleConfig {
  readonly client: string;
  /** Undefined for a public client. */
  readonly secret?: string;
  readonly scope: string;
  /** Milliseconds after which a session ends that nobody uses, and after which each does. */
  readonly idle: number;
  readonly life: number;
}

export interface GroupRole {
  readonly group: string;
  readonly role: Role;
  readonly repositories: readonly string[];
  readonly environments: readonly string[];
}

export function resolveAccess(written: Written, secrets: Secrets): AccessConfig {
  const { access } = written;
  const { base, fault } = secrets;
  if (!access) return { configured: false, loopback: 'read', log: 'readers', introspection: 'callers', tokens: [] };
  const { oidc, queries, ...rest } = access;
  access.tokens.forEach(({ name, sha256 }, i) => {
    if (access.tokens.findIndex((other) => other.name === name) < i) {
      fault(['access', 'tokens', i, 'name'], `"${name}" is already the name of tokens[${access.tokens.findIndex((other) => other.name === name)}]`); // prettier-ignore
    }
    if (access.tokens.findIndex((other) => other.sha256 === sha256) < i)
      fault(['access', 'tokens', i, 'sha256'], 'it is that of another token');
  });
  const folder = queries === undefined ? undefined : resolve(base, queries);
  if (folder !== undefined && !existsSync(folder)) fault(['access', 'queries'], `there is no folder ${folder}`);
  return {
    configured: true,
    ...rest,
    ...(folder === undefined ? {} : { queries: folder }),
    ...(oidc
      ? { oidc: resolveOidc(oidc, { ...secrets, fault: (path, m) => fault(['access', 'oidc', ...path], m) }) }
      : {}),
  };
}

function resolveOidc(written: NonNullable<NonNullable<Written['access']>['oidc']>, secrets: Secrets): OidcConfig {
  const { issuer, audience, skew, console, ...rest } = written;
  const { fault } = secrets;
  const url = URL.parse(issuer);
  if (!url || (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname)))) {
    fault(['issuer'], 'it must be an https:// address, exactly as the issuer calls itself');
  }
  return {
    ...rest,
    issuer,
    audience: [audience].flat(),
    skewMilliseconds: skew,
    ...(console ? { console: resolveConsole(console, secrets) } : {}),
  };
}

function resolveConsole(
  { secretEnv, secretFile, ...rest }: NonNullable<NonNullable<NonNullable<Written['access']>['oidc']>['console']>,
  secrets: Secrets,
): ConsoleConfig {
  if (secretEnv !== undefined && secretFile !== undefined) {
    secrets.fault(['console'], 'it must hold "secretEnv" or "secretFile", or neither for a public client');
  }
  if (rest.idle > rest.life) secrets.fault(['console', 'idle'], 'it is longer than "life", so it would never count');
  if (!rest.scope.split(' ').includes('openid')) secrets.fault(['console', 'scope'], 'it must hold "openid"');
  if (secretEnv === undefined && secretFile === undefined) return rest;
  const secret = readSecret(['console'], { secretEnv, secretFile }, secrets);
  return { ...rest, ...(secret === undefined ? {} : { secret }) };
}
