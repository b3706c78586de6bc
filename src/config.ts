import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { CountersignError } from './errors.js';
import { faultsError, faultsOf, readSettings, suggest, type Fault } from './settings.js';
import { bytes, milliseconds } from './units.js';

/** The service's own configuration: resolved, complete, with secrets only where `secrets` says. */
export interface Config {
  /** Absolute path of the file it came from; null where there was none. */
  readonly file: string | null;
  /** Absolute path of the data folder: keys, mirrors, the embedded database, the last checkpoint seen. */
  readonly data: string;
  /** Loopback only. */
  readonly listen: { readonly host: string; readonly port: number };
  /** `embedded`, or a `postgres://` URL (which may hold a password: never print it). */
  readonly database: string;
  /** Undefined: the data folder's own, made with its keys. */
  readonly log: { readonly origin: string | undefined };
  readonly logLevel: (typeof logLevels)[number];
  readonly repositories: readonly RepositoryConfig[];
  readonly targets: readonly TargetConfig[];
  readonly limits: Limits;
}

export interface RepositoryConfig {
  readonly name: string;
  /** `file://`, `https://` (`http://` on loopback), or an absolute path. */
  readonly url: string;
  /** Full names of the refs that are followed; `governance` is always among them. */
  readonly refs: readonly string[];
  readonly governance: string;
  /** Where trust in the governance ref starts (invariant 2). */
  readonly trust: TrustStart;
  /** Milliseconds between two looks at it. */
  readonly pollMilliseconds: number;
  /** Read from the environment or a file; never written anywhere. */
  readonly credentials?: { readonly username: string; readonly password: string };
}

/** A full commit id, or an SSH signer: its public key line (`ssh-ed25519 AAAA…`) or fingerprint (`SHA256:…`). */
export type TrustStart =
  { readonly commit: string; readonly key?: undefined } | { readonly key: string; readonly commit?: undefined };

export interface TargetConfig {
  readonly name: string;
  readonly kind: 'kubernetes';
  /** Absolute path. */
  readonly kubeconfig: string;
  readonly context?: string;
  readonly grants: readonly Grant[];
}

/** What a repository may touch in a target; nothing else is ever written there. */
export interface Grant {
  readonly repository: string;
  /** Namespace names, or `*`. */
  readonly namespaces: readonly string[];
  /** `Deployment`, `apps/Deployment`, or `*`. */
  readonly kinds: readonly string[];
}

export interface Limits {
  readonly manifestBytes: number;
  readonly evaluationMilliseconds: number;
  readonly wasmMemoryBytes: number;
}

export interface ConfigOptions {
  /** The data folder (`--data`). */
  readonly data: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
const REMEDY = 'See "countersign serve --help" for an example of a service.yaml';
const LOCAL_POLL = 500;
const REMOTE_POLL = 10_000;

const name = z.string().regex(/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/, {
  error: 'it must be 1 to 63 lower-case letters, digits, ".", "_" or "-", with a letter or digit at both ends',
});
const ref = z.string().check((ctx) => {
  if (/^refs\/[^\s~^:?*[\\]+$/.test(ctx.value) && !/\.\.|\/\/|\/$|\.lock$|@\{/.test(ctx.value)) return;
  const message = /^[\w./-]+$/.test(ctx.value)
    ? `it must be a full ref name (did you mean "refs/heads/${ctx.value}"?)`
    : 'it must be a full ref name, such as refs/heads/main';
  ctx.issues.push({ code: 'custom', input: ctx.value, message });
});
const envName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'it must be the name of an environment variable' });

const fileSchema = z.strictObject({
  listen: z.string().default('127.0.0.1:4100'),
  database: z.string().default('embedded'),
  log: z.strictObject({ origin: z.string().optional(), level: z.enum(logLevels).optional() }).optional(),
  repositories: z.array(
    z.strictObject({
      name,
      url: z.string(),
      refs: z.array(ref).min(1, { error: 'it must name at least one ref' }).optional(),
      governance: ref.default('refs/heads/main'),
      trust: z.strictObject({ commit: z.string().optional(), key: z.string().optional() }),
      poll: milliseconds({ atLeast: 100, atMost: 86_400_000 }).optional(),
      credentials: z
        .strictObject({
          username: z.string().default('git'),
          passwordEnv: envName.optional(),
          passwordFile: z.string().optional(),
        })
        .optional(),
    }),
  ),
  targets: z
    .array(
      z.strictObject({
        name,
        kind: z.enum(['kubernetes']).default('kubernetes'),
        kubeconfig: z.string(),
        context: z.string().optional(),
        grants: z
          .array(
            z.strictObject({
              repository: z.string(),
              namespaces: z.array(z.string().min(1)).default([]),
              kinds: z
                .array(
                  z.string().regex(/^(\*|([a-z0-9.-]+\/)?[A-Z][A-Za-z0-9]*)$/, {
                    error: 'it must be a kind such as Deployment or apps/Deployment, or "*"',
                  }),
                )
                .default(['*']),
            }),
          )
          .default([]),
      }),
    )
    .default([]),
  limits: z
    .strictObject({
      manifestBytes: bytes({ atLeast: 1_024, atMost: 2 ** 30 }).optional(),
      evaluation: milliseconds({ atLeast: 10, atMost: 600_000 }).optional(),
      wasmMemory: bytes({ atLeast: 16 * 2 ** 20, atMost: 4 * 2 ** 30 }).optional(),
    })
    .optional(),
});
type Written = z.infer<typeof fileSchema>;

/**
 * Reads the service's configuration: the file, then the environment (COUNTERSIGN_LISTEN, COUNTERSIGN_DATABASE,
 * COUNTERSIGN_LOG_ORIGIN, COUNTERSIGN_LOG_LEVEL win over it). Relative paths are relative to the file. Throws
 * `config-invalid` that names every fault at once, each with file and line.
 */
export async function loadConfig(file: string | undefined, options: ConfigOptions): Promise<Config> {
  const path = file === undefined ? null : resolve(file);
  const settings = readSettings(path === null ? '{repositories: []}' : await readText(path), file ?? 'service.yaml');
  const parsed = fileSchema.safeParse(settings.value, { reportInput: true });
  const faults = parsed.success ? [] : faultsOf(parsed.error, fileSchema);
  const config = parsed.success ? resolveAll(parsed.data, path, options, faults) : undefined;
  if (config && faults.length === 0) return config;
  throw faultsError(faults, settings, REMEDY);
}

/** The configuration as it may be written to the data folder and shown: no password, no credential. */
export function withoutSecrets(config: Config): Record<string, unknown> {
  return {
    ...config,
    database: config.database === 'embedded' ? 'embedded' : withoutPassword(config.database),
    repositories: config.repositories.map(({ credentials, ...rest }) => ({
      ...rest,
      ...(credentials && { credentials: { username: credentials.username } }),
    })),
  };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CountersignError(
      'config-invalid',
      missing
        ? 'there is no such configuration file'
        : `the configuration file cannot be read: ${(cause as Error).message}`,
      { place: { file }, remedy: REMEDY, cause },
    );
  }
}

/** What a schema can't say alone: names that must match, files that must exist, the environment. Adds to `faults`. */
function resolveAll(written: Written, file: string | null, { data, env }: ConfigOptions, faults: Fault[]): Config {
  const base = file === null ? process.cwd() : dirname(file);
  const fault = (path: readonly PropertyKey[], message: string): void => void faults.push({ path, message });
  const fromEnv = (
    key: string,
    path: readonly PropertyKey[],
  ): { value?: string; path: readonly PropertyKey[]; by: string } =>
    env[key] ? { value: env[key], path: [], by: `${key}: ` } : { path, by: '' };

  unique(written.repositories, 'repositories', fault);
  unique(written.targets, 'targets', fault);
  const names = written.repositories.map((repository) => repository.name);
  written.targets.forEach((target, t) => {
    target.grants.forEach((grant, g) => {
      if (names.includes(grant.repository)) return;
      const message = `no repository is called "${grant.repository}"${suggest(grant.repository, names)}`;
      fault(['targets', t, 'grants', g, 'repository'], message);
    });
  });

  const listenFrom = fromEnv('COUNTERSIGN_LISTEN', ['listen']);
  const listen = parseListen(listenFrom.value ?? written.listen, (m) => fault(listenFrom.path, listenFrom.by + m));
  const databaseFrom = fromEnv('COUNTERSIGN_DATABASE', ['database']);
  const database = databaseFrom.value ?? written.database;
  checkDatabase(database, databaseFrom.value === undefined, (m) => fault(databaseFrom.path, databaseFrom.by + m));
  const originFrom = fromEnv('COUNTERSIGN_LOG_ORIGIN', ['log', 'origin']);
  const origin = originFrom.value ?? written.log?.origin;
  // C2SP tlog-checkpoint: the origin is also the signed note's key name, which may hold neither spaces nor a plus.
  if (origin !== undefined && !/^[^\s+]{1,200}$/u.test(origin)) {
    fault(
      originFrom.path,
      `${originFrom.by}it must be a name such as countersign.example.org/prod, without spaces and "+"`,
    );
  }
  const levelFrom = fromEnv('COUNTERSIGN_LOG_LEVEL', ['log', 'level']);
  const level = (levelFrom.value ?? written.log?.level ?? 'info') as Config['logLevel'];
  if (!logLevels.includes(level)) fault([], `COUNTERSIGN_LOG_LEVEL: it must be one of ${logLevels.join(', ')}`);

  return {
    file,
    data: resolve(data),
    listen,
    database,
    log: { origin },
    logLevel: level,
    repositories: written.repositories.map((r, i) =>
      resolveRepository(r, base, env, (p, m) => fault(['repositories', i, ...p], m)),
    ),
    targets: written.targets.map((target, i) => {
      const kubeconfig = resolve(base, target.kubeconfig);
      if (!existsSync(kubeconfig)) fault(['targets', i, 'kubeconfig'], `there is no file ${kubeconfig}`);
      return { ...target, kubeconfig };
    }),
    limits: {
      manifestBytes: written.limits?.manifestBytes ?? 10 * 2 ** 20,
      evaluationMilliseconds: written.limits?.evaluation ?? 2_000,
      wasmMemoryBytes: written.limits?.wasmMemory ?? 128 * 2 ** 20,
    },
  };
}

type FaultAt = (path: readonly PropertyKey[], message: string) => void;

function unique(named: readonly { readonly name: string }[], list: string, fault: FaultAt): void {
  named.forEach(({ name }, i) => {
    const first = named.findIndex((other) => other.name === name);
    if (first < i) fault([list, i, 'name'], `"${name}" is already the name of ${list}[${first}]`);
  });
}

function parseListen(text: string, fault: (message: string) => void): Config['listen'] {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (!match || port > 65_535) fault(`"${text}" is no address; it must be like 127.0.0.1:4100 or [::1]:4100`);
  // Loopback only: nothing asks callers who they are yet, so nobody but this machine's users may call.
  else if (host !== 'localhost' && host !== '::1' && !(isIP(host) === 4 && host.startsWith('127.'))) {
    fault(`"${text}" can be reached from other machines, and there is no access control yet; use 127.0.0.1:${port}`);
  }
  return { host, port };
}

function checkDatabase(database: string, inFile: boolean, fault: (message: string) => void): void {
  if (database === 'embedded') return;
  const url = URL.parse(database);
  if (!url || !['postgres:', 'postgresql:'].includes(url.protocol)) fault('it must be "embedded" or a postgres:// URL');
  else if (inFile && url.password) {
    fault(
      'a password does not belong in this file; put the URL into COUNTERSIGN_DATABASE, or the password into PGPASSWORD',
    );
  }
}

function resolveRepository(
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

function withoutPassword(text: string): string {
  const url = new URL(text);
  if (url.password) url.password = '…';
  return url.toString();
}
