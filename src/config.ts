import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { MOST_COMMITS } from './change/proposed-change.js';
import type { Retention } from './audit/retention.js';
import { CountersignError } from './errors.js';
import { faultsError, faultsOf, readSettings, suggest, type Fault } from './settings.js';
import { fileSchema, instanceName, logLevels, type Written } from './config/file.js';
import { type AccessConfig, resolveAccess } from './config/access.js';
import { type GateConfig, resolveGate } from './config/gate.js';
import { type ReachedAs, resolveReached } from './config/listen.js';
import { type ExportConfig, resolveExport } from './config/exports.js';
import { resolveMirror } from './config/log.js';
import { type NotificationConfig, resolveNotification, withoutNotificationSecrets } from './config/notifications.js';
import { resolveRepository, type FaultAt } from './config/repository.js';
import { resolveTarget } from './config/target.js';
import type { Credentials, SshFiles } from './source/repository.js';

/** The service's own configuration: resolved, complete, with secrets only where `secrets` says. */
export interface Config {
  /** Absolute path of the file it came from; null where there was none. */
  readonly file: string | null;
  /** Absolute path of the data folder: keys, mirrors, the embedded database, the last checkpoint seen. */
  readonly data: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** How it is reached from other machines, where it is. */
  readonly reached: ReachedAs;
  /** `embedded`, or a `postgres://` URL (which may hold a password: never print it). */
  readonly database: string;
  /** What this process is called among those of one database; the machine's name where nothing is said. */
  readonly instance: string;
  /** Undefined: the data folder's own, made with its keys. */
  readonly log: {
    readonly origin: string | undefined;
    /** Who else signs checkpoints: a C2SP tlog-policy with their addresses. */
    readonly witnesses?: WitnessConfig;
    /** Where tiles and contents are copied to. */
    readonly mirror?: MirrorConfig;
  };
  readonly logLevel: (typeof logLevels)[number];
  readonly repositories: readonly RepositoryConfig[];
  /** Whose policy lies above that of all of them; it is followed and governed as they are. */
  readonly organisation?: RepositoryConfig;
  readonly targets: readonly TargetConfig[];
  /** Targets that others write to, by a ref that we move. */
  readonly gates: readonly GateConfig[];
  /** Who is told of what happens. */
  readonly notifications: readonly NotificationConfig[];
  /** For how long contents are kept; those of no kind in it for ever. */
  readonly retention: Retention;
  /** Reports that are taken by themselves. */
  readonly exports: readonly ExportConfig[];
  readonly limits: Limits;
  /** Who may do what. */
  readonly access: AccessConfig;
  /** The validating webhook; none unless it is configured. */
  readonly admission?: AdmissionConfig;
}

export interface AdmissionConfig {
  /** Other machines may reach it: the API servers of the targets do. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Absolute paths of PEM files. */
  readonly certificate: string;
  readonly key: string;
  readonly clientAuthority?: string;
  readonly identity: readonly string[];
  readonly namespace: string;
  readonly controllers: readonly string[];
  readonly bypass: readonly string[];
}

/** What works in every cluster on behalf of nobody: garbage collection, scaling, scheduling. */
const CONTROLLERS = ['system:kube-controller-manager', 'system:kube-scheduler', 'system:apiserver', 'system:serviceaccount:kube-system:*', 'system:node:*']; // prettier-ignore

export interface WitnessConfig {
  /** Absolute path. */
  readonly file: string;
  /** Its text. */
  readonly policy: string;
  /** How often a log that has grown asks them, in milliseconds. */
  readonly everyMilliseconds: number;
}

export interface MirrorConfig {
  /** Absolute path, or the place in an S3-compatible store. */
  readonly to:
    | { readonly folder: string }
    | {
        readonly bucket: string;
        readonly prefix: string;
        readonly region?: string;
        readonly endpoint?: string;
        readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
      };
  readonly everyMilliseconds: number;
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
  /** How often the log's checkpoint is pushed to refs/countersign/checkpoints of it, in milliseconds; never without it. */
  readonly anchorMilliseconds?: number;
  /** Read from the environment or a file; never written anywhere. */
  readonly credentials?: Credentials;
  /** Absolute paths; for `ssh://` only. */
  readonly ssh?: SshFiles;
  /** Whose signature lets a change of governance in that policy does not allow; see `src/review/override.ts`. */
  readonly administrators?: readonly Administrator[];
  /** What a forge signs its webhooks with; without it there is no webhook for this repository. */
  readonly webhook?: { readonly secret: string };
  /** Where its pull or merge requests are; without it none is judged. */
  readonly forge?: ForgeConfig;
}

export interface Administrator {
  readonly name: string;
  /** An SSH public key: `ssh-ed25519 AAAA…`. */
  readonly key: string;
}

export interface ForgeConfig {
  readonly kind: 'github' | 'gitlab' | 'gitea';
  /** `https://api.github.com`, `https://gitlab.example.org/api/v4`, `https://gitea.example.org/api/v1`. */
  readonly api: string;
  readonly project: string;
  readonly token: string;
}

/** A full commit id, or an SSH signer: its public key line (`ssh-ed25519 AAAA…`) or fingerprint (`SHA256:…`). */
export type TrustStart =
  { readonly commit: string; readonly key?: undefined } | { readonly key: string; readonly commit?: undefined };

export interface TargetConfig {
  readonly name: string;
  readonly kind: 'kubernetes';
  /** Absolute path, or `in-cluster`. */
  readonly kubeconfig: string;
  readonly context?: string;
  /** Whether a program that the kubeconfig names for credentials may be run. */
  readonly allowExec?: boolean;
  /** Whether what happens is told there as Kubernetes Events. */
  readonly events?: boolean;
  readonly grants: readonly Grant[];
  /** In whose name an environment's objects are written; the first that fits counts. Our own user's for those of none. */
  readonly impersonate?: readonly {
    readonly repository: string;
    /** A glob: `shop/*`. */
    readonly environment: string;
    readonly user: string;
    readonly groups: readonly string[];
  }[];
  /** How its API server's audit events come here; none unless it is configured. */
  readonly audit?: {
    /** What its webhook backend sends as a bearer token; never written anywhere. */
    readonly token?: string;
    /** Absolute path of its log backend's file. */
    readonly log?: string;
  };
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
  /** By one caller; undefined: as many as is usual. */
  readonly requestsPerSecond?: number;
  /** Commits that one change may have. */
  readonly commits: number;
}

export interface ConfigOptions {
  /** The data folder (`--data`). */
  readonly data: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Milliseconds. */
const COSIGN_EVERY = 1_000;

const REMEDY = 'See "countersign serve --help" for an example of a service.yaml';

/**
 * Reads the service's configuration: the file, then the environment (COUNTERSIGN_LISTEN, COUNTERSIGN_DATABASE,
 * COUNTERSIGN_INSTANCE,
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
    // Who may do what belongs in the log; a digest of a token does not.
    access: withoutAccessSecrets(config.access),
    log: withoutMirrorKey(config.log),
    database: config.database === 'embedded' ? 'embedded' : withoutPassword(config.database),
    repositories: config.repositories.map(withoutTheirSecrets),
    targets: config.targets.map(withoutToken),
    gates: config.gates.map(withoutItsCredentials),
    notifications: config.notifications.map(withoutNotificationSecrets),
    exports: config.exports.map(({ to, ...rest }) => ({ ...rest, to: withoutKey(to) })),
    ...(config.organisation && { organisation: withoutTheirSecrets(config.organisation) }),
  };
}

function withoutAccessSecrets({ tokens, oidc, ...rest }: AccessConfig): object {
  const { secret: _secret, ...console } = oidc?.console ?? {};
  return {
    ...rest,
    tokens: tokens.map(({ sha256: _sha256, ...token }) => token),
    ...(oidc && { oidc: { ...oidc, ...(oidc.console && { console }) } }),
  };
}

function withoutMirrorKey(log: Config['log']): Config['log'] {
  return log.mirror ? { ...log, mirror: { ...log.mirror, to: withoutKey(log.mirror.to) } } : log;
}

function withoutKey<T extends MirrorConfig['to']>(to: T): T {
  if ('folder' in to) return to;
  const { credentials: _, ...rest } = to;
  return rest as T;
}

function withoutToken({ audit, ...rest }: TargetConfig): object {
  const { token: _token, ...shown } = audit ?? {};
  return { ...rest, ...(audit && { audit: shown }) };
}

function withoutItsCredentials({ remote, ...rest }: GateConfig): object {
  return { ...rest, ...(remote && { remote: { url: remote.url, ...(remote.ssh && { ssh: remote.ssh }) } }) };
}

function withoutTheirSecrets({ credentials, webhook, forge, ...rest }: RepositoryConfig): object {
  return {
    ...rest,
    ...(credentials && { credentials: 'username' in credentials ? { username: credentials.username } : {} }),
    ...(webhook && { webhook: {} }),
    ...(forge && { forge: { kind: forge.kind, api: forge.api, project: forge.project } }),
  };
}

/** All that are followed, the organisation's own first. */
export function followedIn({
  organisation,
  repositories,
}: Pick<Config, 'organisation' | 'repositories'>): readonly RepositoryConfig[] {
  return organisation ? [organisation, ...repositories] : repositories;
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
  unique(written.gates, 'gates', fault);
  written.gates.forEach(({ name }, i) => {
    const twin = written.targets.findIndex((target) => target.name === name);
    if (twin >= 0) fault(['gates', i, 'name'], `"${name}" is already the name of targets[${twin}]`);
  });
  unique(written.notifications ?? [], 'notifications', fault);
  unique(written.exports ?? [], 'exports', fault);
  const names = [...written.repositories, ...(written.organisation ? [written.organisation] : [])].map(
    (repository) => repository.name,
  );
  if (written.organisation && written.repositories.some(({ name }) => name === written.organisation!.name)) {
    fault(['organisation', 'name'], `"${written.organisation.name}" is already the name of a repository`);
  }
  for (const list of ['targets', 'gates'] as const) {
    written[list].forEach((target, t) => {
      target.grants.forEach((grant, g) => {
        if (names.includes(grant.repository)) return;
        const message = `no repository is called "${grant.repository}"${suggest(grant.repository, names)}`;
        fault([list, t, 'grants', g, 'repository'], message);
      });
    });
  }
  written.targets.forEach((target, t) => {
    // One that fits nothing would leave an environment with all of our own rights.
    target.impersonate?.forEach(({ repository }, i) => {
      if (names.includes(repository)) return;
      fault(['targets', t, 'impersonate', i, 'repository'], `no repository is called "${repository}"${suggest(repository, names)}`); // prettier-ignore
    });
  });

  const listenFrom = fromEnv('COUNTERSIGN_LISTEN', ['listen']);
  const listen = addressOf(listenFrom.value ?? written.listen, (m) => fault(listenFrom.path, listenFrom.by + m));
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
  const instanceFrom = fromEnv('COUNTERSIGN_INSTANCE', ['instance']);
  const instance = instanceFrom.value ?? written.instance ?? hostname();
  if (!instanceName.safeParse(instance).success) fault(instanceFrom.path, `${instanceFrom.by}it must be a name of letters, digits, ".", "_" and "-"`); // prettier-ignore
  const levelFrom = fromEnv('COUNTERSIGN_LOG_LEVEL', ['log', 'level']);
  const level = (levelFrom.value ?? written.log?.level ?? 'info') as Config['logLevel'];
  if (!logLevels.includes(level)) fault([], `COUNTERSIGN_LOG_LEVEL: it must be one of ${logLevels.join(', ')}`);

  const repositories = written.repositories.map((r, i) =>
    resolveRepository(r, base, env, (p, m) => fault(['repositories', i, ...p], m)),
  );
  return {
    file,
    data: resolve(data),
    listen,
    reached: resolveReached(written, listen, base, listenFrom, fault),
    database,
    instance,
    log: {
      origin,
      ...readWitnesses(written.log, base, (m) => fault(['log', 'witnesses'], m)),
      ...resolveMirror(written.log?.mirror, base, env, (field, m) => fault(['log', 'mirror', ...field], m)),
    },
    logLevel: level,
    repositories,
    ...(written.organisation && {
      organisation: resolveRepository(written.organisation, base, env, (p, m) => fault(['organisation', ...p], m)),
    }),
    targets: written.targets.map((target, i) =>
      resolveTarget(target, base, env, (p, m) => fault(['targets', i, ...p], m)),
    ),
    gates: written.gates.map((gate, i) =>
      resolveGate(gate, repositories, base, env, (p, m) => fault(['gates', i, ...p], m)),
    ),
    retention: Object.fromEntries(Object.entries(written.retention ?? {}).filter(([, life]) => life !== undefined)),
    exports: (written.exports ?? []).map((one, i) =>
      resolveExport(one, base, env, (p, m) => fault(['exports', i, ...p], m)),
    ),
    notifications: (written.notifications ?? []).map((one, i) =>
      resolveNotification(one, base, env, (p, m) => fault(['notifications', i, ...p], m)),
    ),
    ...(written.admission
      ? { admission: resolveAdmission(written.admission, base, (p, m) => fault(['admission', p], m)) }
      : {}),
    access: resolveAccess(written, { base, env, fault }),
    limits: {
      ...(written.limits?.requestsPerSecond ? { requestsPerSecond: written.limits.requestsPerSecond } : {}),
      manifestBytes: written.limits?.manifestBytes ?? 10 * 2 ** 20,
      evaluationMilliseconds: written.limits?.evaluation ?? 2_000,
      wasmMemoryBytes: written.limits?.wasmMemory ?? 128 * 2 ** 20,
      commits: written.limits?.commits ?? MOST_COMMITS,
    },
  };
}

function unique(named: readonly { readonly name: string }[], list: string, fault: FaultAt): void {
  named.forEach(({ name }, i) => {
    const first = named.findIndex((other) => other.name === name);
    if (first < i) fault([list, i, 'name'], `"${name}" is already the name of ${list}[${first}]`);
  });
}

function readWitnesses(
  log: Written['log'],
  base: string,
  fault: (message: string) => void,
): { readonly witnesses?: WitnessConfig } {
  if (log?.witnesses === undefined) return {};
  const file = resolve(base, log.witnesses);
  if (!existsSync(file)) {
    fault(`there is no file ${file}`);
    return {};
  }
  const everyMilliseconds = log.cosignEvery ?? COSIGN_EVERY;
  return { witnesses: { file, policy: readFileSync(file, 'utf8'), everyMilliseconds } };
}

function resolveAdmission(
  written: NonNullable<Written['admission']>,
  base: string,
  fault: (field: string, message: string) => void,
): AdmissionConfig {
  const { certificate, key, clientAuthority, listen, controllers = CONTROLLERS, ...rest } = written;
  const file = (field: string, path: string): string => {
    const found = resolve(base, path);
    if (!existsSync(found)) fault(field, `there is no file ${found}`);
    return found;
  };
  return {
    ...rest,
    controllers,
    listen: addressOf(listen, (message) => fault('listen', message)),
    certificate: file('certificate', certificate),
    key: file('key', key),
    ...(clientAuthority === undefined ? {} : { clientAuthority: file('clientAuthority', clientAuthority) }),
  };
}

function addressOf(text: string, fault: (message: string) => void): Config['listen'] {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) fault(`"${text}" is no address; it must be like 127.0.0.1:4100 or [::1]:4100`);
  return { host: match?.[1] ?? match?.[2] ?? '', port };
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

function withoutPassword(text: string): string {
  const url = new URL(text);
  if (url.password) url.password = '…';
  return url.toString();
}
