import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ConfigOptions, RepositoryConfig, TrustStart } from './config.js';
import type { Written } from './config-file.js';

/** Tells of a fault at a setting, counted from the repository's own. */
export type FaultAt = (path: readonly PropertyKey[], message: string) => void;

// How often a repository is looked at unless told, in milliseconds: one on this machine costs nearly nothing.
const LOCAL_POLL = 500;
const REMOTE_POLL = 10_000;

export function resolveRepository(
  written: Written['repositories'][number],
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): RepositoryConfig {
  const url = resolveUrl(written.url, base, (message) => fault(['url'], message));
  const local = !/^https?:/.test(url);
  const credentials = written.credentials && readCredentials(written.credentials, base, env, fault);
  if (written.credentials && local) fault(['credentials'], 'only https:// repositories take credentials');
  return {
    name: written.name,
    url,
    refs: [...new Set([written.governance, ...(written.refs ?? [])])],
    governance: written.governance,
    trust: resolveTrust(written.trust, fault),
    pollMilliseconds: written.poll ?? (local ? LOCAL_POLL : REMOTE_POLL),
    ...(credentials && { credentials }),
  };
}

function resolveUrl(url: string, base: string, fault: (message: string) => void): string {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) {
    if (!/^[^/]+@[^/]+:/.test(url)) return resolve(base, url);
    fault('SSH remotes are not supported yet; use https://, file:// or a path');
    return url;
  }
  const parsed = URL.parse(url);
  if (!parsed) fault(`"${url}" is no URL`);
  else if (parsed.username || parsed.password)
    fault('credentials do not belong in a URL; use credentials.passwordEnv or credentials.passwordFile');
  else if (parsed.protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname)) {
    fault('http:// is for loopback only; use https://');
  } else if (!['file:', 'https:', 'http:'].includes(parsed.protocol)) {
    fault(`${parsed.protocol}// is not supported; use https://, file:// or a path`);
  }
  return url;
}

function resolveTrust(trust: { commit?: string; key?: string }, fault: FaultAt): TrustStart {
  if ((trust.commit === undefined) === (trust.key === undefined)) {
    fault(['trust'], 'it must hold either "commit" (a full commit id) or "key" (an SSH public key or its fingerprint)');
  } else if (trust.commit !== undefined && !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(trust.commit)) {
    fault(['trust', 'commit'], 'it must be a full commit id (40 or 64 hex digits); a short one can be forged');
  } else if (
    trust.key !== undefined &&
    !/^(SHA256:[A-Za-z0-9+/]{43}|(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ [A-Za-z0-9+/]+=*( .*)?)$/.test(trust.key)
  ) {
    fault(['trust', 'key'], 'it must be an SSH public key ("ssh-ed25519 AAAA…") or its fingerprint ("SHA256:…")');
  }
  return trust.commit === undefined ? { key: trust.key ?? '' } : { commit: trust.commit };
}

function readCredentials(
  written: { username: string; passwordEnv?: string; passwordFile?: string },
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): RepositoryConfig['credentials'] {
  const { username, passwordEnv, passwordFile } = written;
  if ((passwordEnv === undefined) === (passwordFile === undefined)) {
    fault(['credentials'], 'it must hold either "passwordEnv" or "passwordFile"');
  } else if (passwordEnv !== undefined) {
    if (!env[passwordEnv]) fault(['credentials', 'passwordEnv'], `the environment variable ${passwordEnv} is not set`);
    return { username, password: env[passwordEnv] ?? '' };
  } else if (passwordFile !== undefined) {
    const path = resolve(base, passwordFile);
    try {
      return { username, password: readFileSync(path, 'utf8').trimEnd() };
    } catch (error) {
      fault(
        ['credentials', 'passwordFile'],
        `${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}`,
      );
    }
  }
  return undefined;
}
