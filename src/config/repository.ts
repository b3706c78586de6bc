import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ConfigOptions, RepositoryConfig, TrustStart } from '../config.js';
import type { Written } from './file.js';
import { OBJECT_ID } from '../source/object-id.js';
import type { Credentials, SshFiles } from '../source/repository.js';

/** Tells of a fault at a setting, counted from the repository's own. */
export type FaultAt = (path: readonly PropertyKey[], message: string) => void;

// How often a repository is looked at unless told, in milliseconds: one on this machine costs nearly nothing.
const SSH_KEY = /^(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ [A-Za-z0-9+/]+=*( .*)?$/;
const LOCAL_POLL = 500;
const REMOTE_POLL = 10_000;

export function resolveRepository(
  written: Written['repositories'][number],
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): RepositoryConfig {
  const secrets = { base, env, fault };
  const { url, credentials, ssh } = remoteAccess(written, base, env, fault);
  const administrators = written.administrators?.map(({ name, key }, i) => {
    if (!SSH_KEY.test(key)) fault(['administrators', i, 'key'], 'it must be an SSH public key ("ssh-ed25519 AAAA…")');
    return { name, key: key.split(' ').slice(0, 2).join(' ') };
  });
  const webhook = written.webhook && readWebhook(written.webhook, secrets);
  const forge = written.forge && readForge(written.forge, secrets);
  return {
    name: written.name,
    url,
    refs: [...new Set([written.governance, ...(written.refs ?? [])])],
    governance: written.governance,
    trust: resolveTrust(written.trust, fault),
    ...(written.anchor === undefined ? {} : { anchorMilliseconds: written.anchor }),
    pollMilliseconds: written.poll ?? (/^https?:/.test(url) || isSsh(url) ? REMOTE_POLL : LOCAL_POLL),
    ...(administrators && { administrators }),
    ...(credentials && { credentials }),
    ...(ssh && { ssh }),
    ...(webhook && { webhook }),
    ...(forge && { forge }),
  };
}

/** Where a repository is, and as whom it is reached. */
export function remoteAccess(
  written: Pick<Written['repositories'][number], 'url' | 'credentials' | 'ssh'>,
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): Pick<RepositoryConfig, 'url' | 'credentials' | 'ssh'> {
  const url = resolveUrl(written.url, base, (message) => fault(['url'], message));
  const credentials = written.credentials && readCredentials(written.credentials, { base, env, fault });
  if (written.credentials && !/^https?:/.test(url))
    fault(['credentials'], 'only https:// repositories take credentials');
  const ssh = written.ssh && sshFiles(written.ssh, base, fault);
  if (written.ssh && !isSsh(url)) fault(['ssh'], 'only ssh:// repositories take it');
  else if (!written.ssh && isSsh(url)) fault(['url'], 'a repository over SSH needs "ssh" with keyFile and knownHosts');
  return { url, ...(credentials && { credentials }), ...(ssh && { ssh }) };
}

/** `ssh://…`, or scp's own way of writing it: `git@host:path`. */
function isSsh(url: string): boolean {
  return url.startsWith('ssh://') || isScpLike(url);
}

function isScpLike(url: string): boolean {
  return !url.includes('://') && /^[^/]+@[^/]+:/.test(url);
}

function resolveUrl(url: string, base: string, fault: (message: string) => void): string {
  if (isScpLike(url)) return url;
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) return resolve(base, url);
  const parsed = URL.parse(url);
  if (!parsed) fault(`"${url}" is no URL`);
  else if (parsed.password || (parsed.username && parsed.protocol !== 'ssh:'))
    fault('credentials do not belong in a URL; use credentials.passwordEnv or credentials.passwordFile');
  else if (parsed.protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname)) {
    fault('http:// is for loopback only; use https://');
  } else if (!['file:', 'https:', 'http:', 'ssh:'].includes(parsed.protocol)) {
    fault(`${parsed.protocol}// is not supported; use https://, ssh://, file:// or a path`);
  }
  return url;
}

function sshFiles(written: SshFiles, base: string, fault: FaultAt): SshFiles {
  const file = (setting: keyof SshFiles): string => {
    const path = resolve(base, written[setting]);
    if (!existsSync(path)) fault(['ssh', setting], `there is no file ${path}`);
    return path;
  };
  return { keyFile: file('keyFile'), knownHosts: file('knownHosts') };
}

function resolveTrust(trust: { commit?: string; key?: string }, fault: FaultAt): TrustStart {
  if ((trust.commit === undefined) === (trust.key === undefined)) {
    fault(['trust'], 'it must hold either "commit" (a full commit id) or "key" (an SSH public key or its fingerprint)');
  } else if (trust.commit !== undefined && !OBJECT_ID.test(trust.commit)) {
    fault(['trust', 'commit'], 'it must be a full commit id (40 or 64 hex digits); a short one can be forged');
  } else if (
    trust.key !== undefined &&
    !/^(SHA256:[A-Za-z0-9+/]{43}|(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ [A-Za-z0-9+/]+=*( .*)?)$/.test(trust.key)
  ) {
    fault(['trust', 'key'], 'it must be an SSH public key ("ssh-ed25519 AAAA…") or its fingerprint ("SHA256:…")');
  }
  return trust.commit === undefined ? { key: trust.key ?? '' } : { commit: trust.commit };
}

export interface Secrets {
  /** Folder of the configuration file. */
  readonly base: string;
  readonly env: ConfigOptions['env'];
  readonly fault: FaultAt;
}

function readCredentials(
  written: NonNullable<Written['repositories'][number]['credentials']>,
  secrets: Secrets,
): Credentials | undefined {
  const { username, passwordEnv, passwordFile, tokenEnv, tokenFile } = written;
  const given = [passwordEnv, passwordFile, tokenEnv, tokenFile].filter((name) => name !== undefined);
  if (given.length !== 1) {
    const message = 'it must hold exactly one of "passwordEnv", "passwordFile", "tokenEnv" and "tokenFile"';
    secrets.fault(['credentials'], message);
    return undefined;
  }
  if (tokenEnv === undefined && tokenFile === undefined) {
    const password = readSecret(['credentials'], { passwordEnv, passwordFile }, secrets);
    return password === undefined ? undefined : { username: username ?? 'git', password };
  }
  if (username !== undefined) secrets.fault(['credentials', 'username'], 'a token is sent without a user name');
  const token = readSecret(['credentials'], { tokenEnv, tokenFile }, secrets);
  return token === undefined ? undefined : { token };
}

/** Bytes below which a shared secret could be guessed from one webhook that somebody saw. */
const SHORTEST_SECRET = 16;

function readWebhook(
  written: { readonly secretEnv?: string | undefined; readonly secretFile?: string | undefined },
  secrets: Secrets,
): RepositoryConfig['webhook'] {
  if ((written.secretEnv === undefined) === (written.secretFile === undefined)) {
    secrets.fault(['webhook'], 'it must hold either "secretEnv" or "secretFile"');
    return undefined;
  }
  const secret = readSecret(['webhook'], written, secrets);
  if (secret === undefined) return undefined;
  if (Buffer.byteLength(secret) < SHORTEST_SECRET) {
    secrets.fault(
      ['webhook'],
      `the secret is shorter than ${SHORTEST_SECRET} bytes; make one with openssl rand -hex 32`,
    );
  }
  return { secret };
}

function readForge(
  written: NonNullable<Written['repositories'][number]['forge']>,
  secrets: Secrets,
): RepositoryConfig['forge'] {
  const { kind, project, tokenEnv, tokenFile } = written;
  const api = written.api ?? (kind === 'github' ? 'https://api.github.com' : undefined);
  if (api === undefined) secrets.fault(['forge'], `it needs "api", such as ${API_OF[kind]}`);
  const url = api === undefined ? null : URL.parse(api);
  const loopback = url?.protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (api !== undefined && (!url || url.username || url.password || (url.protocol !== 'https:' && !loopback))) {
    secrets.fault(['forge', 'api'], 'it must be an https:// URL without credentials');
  }
  if ((tokenEnv === undefined) === (tokenFile === undefined)) {
    secrets.fault(['forge'], 'it must hold either "tokenEnv" or "tokenFile"');
    return undefined;
  }
  const token = readSecret(['forge'], { tokenEnv, tokenFile }, secrets);
  if (token !== undefined && !/^[\x21-\x7e]*$/.test(token)) {
    secrets.fault(['forge'], 'the token holds characters that no header may hold');
  }
  return api === undefined || token === undefined ? undefined : { kind, api, project, token };
}

const API_OF = {
  github: 'https://api.github.com',
  gitlab: 'https://gitlab.example.org/api/v4',
  gitea: 'https://gitea.example.org/api/v1',
};

/** From the one setting of `…Env` and `…File` that is given. */
export function readSecret(
  at: readonly PropertyKey[],
  named: Readonly<Record<string, string | undefined>>,
  { base, env, fault }: Secrets,
): string | undefined {
  const [setting, name] = Object.entries(named).find(([, value]) => value !== undefined) ?? ['', ''];
  if (setting.endsWith('Env')) {
    if (!env[name!]) fault([...at, setting], `the environment variable ${name} is not set`);
    return env[name!] ?? undefined;
  }
  const path = resolve(base, name!);
  try {
    const secret = readFileSync(path, 'utf8').trimEnd();
    if (secret === '') fault([...at, setting], `${path} is empty`);
    return secret;
  } catch (error) {
    fault([...at, setting], `${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}`);
  }
  return undefined;
}
