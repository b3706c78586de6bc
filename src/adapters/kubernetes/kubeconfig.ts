import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { load, YAMLException } from 'js-yaml';
import { CountersignError, type Place } from '../../errors.js';
import { readSettings } from '../../settings.js';
import { ExecCredential, readExecPlugin } from './exec-credential.js';

/** How to reach an API server, and as whom. Holds credentials: never print it. */
export interface Connection {
  readonly server: string;
  readonly authority: string | undefined;
  readonly serverName: string | undefined;
  readonly insecure: boolean;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  /** The Authorization header's value, read again from its file where tokens rotate. */
  authorization(): Promise<string | undefined>;
  /** It was refused: true if another may be had at once. */
  renew?(): boolean;
}

export interface KubeconfigOptions {
  readonly context?: string | undefined;
  /** Whether a program that it names for credentials may be run. */
  readonly allowExec?: boolean | undefined;
}

/** What would run a program, act as somebody else, or go another way than it seems. Refused rather than ignored. */
const refused = [
  'exec',
  'auth-provider',
  'as',
  'as-uid',
  'as-groups',
  'as-user-extra',
  'token-file', // client-node's own word for tokenFile, read once and against the wrong folder
  'proxy-url',
];

/** Reads a kubeconfig as kubectl does, but for what is `refused`. Throws `config-invalid`, which never quotes the file. */
export async function readKubeconfig(
  file: string,
  { context, allowExec = false }: KubeconfigOptions = {},
): Promise<Connection> {
  const invalid: Invalid = (message, remedy, cause, place = { file }) =>
    new CountersignError('config-invalid', message, { place, remedy, cause });
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw invalid('it cannot be read', 'Give the path of a kubeconfig', cause);
  });
  const written = parse(text, file);
  const config = new (await client()).KubeConfig();
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(resolve(dirname(file)));
  } catch (thrown) {
    // What is missing is told by its place in the file; a TypeError says nothing to people.
    const why = thrown instanceof TypeError ? '' : `: ${(thrown as Error).message}`;
    throw invalid(`it is not a kubeconfig${why}`, 'Compare it with what kubectl config view shows');
  }
  const name = context ?? config.getCurrentContext();
  const chosen = config.getContextObject(name);
  if (!chosen) throw invalid(`there is no context ${name || '(none is current)'}`, 'Name one of its contexts');
  config.setCurrentContext(name);
  if (!config.getCurrentCluster())
    throw invalid(`there is no cluster ${chosen.cluster}`, 'Add it, or name another context');
  if (chosen.user && !config.getCurrentUser())
    throw invalid(`there is no user ${chosen.user}`, 'Add it, or name another context');
  const user = asWritten(written, 'user', chosen.user);
  for (const [kind, called, fields] of [
    ['cluster', chosen.cluster, asWritten(written, 'cluster', chosen.cluster)],
    ['user', chosen.user, user],
  ] as const) {
    const of = `${kind} ${called}`;
    for (const [field, value] of Object.entries(fields)) {
      if (field === 'exec' && allowExec && value !== null) continue;
      if (refused.includes(field) && value !== null && value !== '') {
        const place = placeOf(text, file, written, [kind, called, field]);
        throw invalid(`${of} uses ${field}, which ${field === 'exec' ? 'runs a program' : 'is not supported'}`, instead(field), undefined, place); // prettier-ignore
      }
      // YAML reads digits without quotes as a number, whose text may be another: 0012 is 12.
      if (typeof value === 'number' || (value !== null && typeof value === 'object' && field !== 'extensions'))
        throw invalid(`${of}: ${field} is not text`, 'Put it into quotes');
    }
  }
  // client-node drops it.
  const tokenFile = user['tokenFile'];
  const path = typeof tokenFile === 'string' && tokenFile ? resolve(dirname(file), tokenFile) : undefined;
  const { exec } = user;
  if (exec === undefined || exec === null || !allowExec) return connect(config, path, invalid);
  const { server, caData } = config.getCurrentCluster()!;
  const place = placeOf(text, file, written, ['user', chosen.user, 'exec']);
  const credential = new ExecCredential(readExecPlugin(exec, { file, place, server, caData }));
  return {
    ...(await connect(config, undefined, invalid)),
    authorization: async () => `Bearer ${await credential.token()}`,
    renew: () => {
      credential.forget();
      return true;
    },
  };
}

/** Where a field of a cluster or user is written; the file alone where that cannot be told. */
function placeOf(
  text: string,
  file: string,
  written: unknown,
  [kind, name, field]: readonly [string, string, string],
): Place {
  // prettier-ignore
  const list = (written as Record<string, unknown>)[`${kind}s`];
  const at = Array.isArray(list) ? list.findIndex((entry: { name?: unknown }) => entry.name === name) : -1;
  try {
    return readSettings(text, file).place([`${kind}s`, at, kind, field]);
  } catch {
    return { file };
  }
}

/**
 * The service account of the pod that we run in. `root` goes before the paths at which a pod finds it. Throws `config-invalid`
 * outside a pod.
 */
export async function readServiceAccount(root = ''): Promise<Connection> {
  const remedy = 'Run it in a pod with a service account, or give the path of a kubeconfig';
  const invalid: Invalid = (message, _, cause) =>
    new CountersignError('config-invalid', `in-cluster: ${message}`, { remedy, cause });
  for (const variable of ['KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT']) {
    if (!process.env[variable]) throw invalid(`${variable} is not set`, remedy);
  }
  const config = new (await client()).KubeConfig();
  config.loadFromCluster(root);
  const provider = config.getCurrentUser()?.authProvider as { config: { tokenFile: string } };
  return connect(config, provider.config.tokenFile, invalid);
}

/** More than half a second and 50 MB: only for who talks to a cluster. */
const client = (): Promise<typeof import('@kubernetes/client-node')> => import('@kubernetes/client-node');

type Invalid = (message: string, remedy: string, cause?: unknown, place?: Place) => CountersignError;

async function connect(config: KubeConfig, tokenFile: string | undefined, invalid: Invalid): Promise<Connection> {
  const { bufferFromFileOrString } = await client();
  const cluster = config.getCurrentCluster()!;
  const user = config.getCurrentUser();
  const unreadable = (path: string | undefined, cause: unknown): CountersignError =>
    invalid(`${path} cannot be read`, 'Correct the path that it names, or its permissions', cause);
  const material = (data: string | undefined, path: string | undefined): string | undefined => {
    try {
      // Data goes before a file, as for kubectl; client-node has it the other way round.
      return bufferFromFileOrString(data ? undefined : path, data)?.toString();
    } catch (cause) {
      throw unreadable(path, cause);
    }
  };
  const url = URL.parse(cluster.server);
  if (!url || !['http:', 'https:'].includes(url.protocol))
    throw invalid('its server is no URL', 'Use https://host:port');
  if (url.username || url.password) throw invalid('credentials do not belong in a URL', 'Give them as a user');
  if (url.protocol === 'http:' && !isLoopback(url)) throw invalid(`${url.origin} is not encrypted`, 'Use https');

  // client-node would hold a token for a minute and keep the line's end in it.
  const authorization = async (): Promise<string | undefined> => {
    if (tokenFile !== undefined) {
      const token = await readFile(tokenFile, 'utf8').catch((cause: unknown) => {
        throw unreadable(tokenFile, cause);
      });
      return `Bearer ${token.trim()}`;
    }
    if (user?.token) return `Bearer ${user.token}`;
    if (!user?.username) return undefined;
    return `Basic ${Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')}`;
  };
  await authorization(); // a file that is not there is told now, not at the first request
  return {
    server: cluster.server,
    authority: material(cluster.caData, cluster.caFile),
    serverName: cluster.tlsServerName,
    insecure: cluster.skipTLSVerify,
    certificate: material(user?.certData, user?.certFile),
    key: material(user?.keyData, user?.keyFile),
    authorization,
  };
}

function parse(text: string, file: string): unknown {
  try {
    return load(text);
  } catch (thrown) {
    // Neither its message nor its reason is passed on: both quote the file, whose next word may be a password.
    const { mark } = thrown as YAMLException;
    const place = mark ? { file, line: mark.line + 1, column: mark.column + 1 } : { file };
    throw new CountersignError('config-invalid', 'it is not valid YAML', {
      place,
      remedy: 'Give the path of a kubeconfig',
    });
  }
}

/** The fields of a cluster or user as the file has them, of which client-node keeps only those that it knows. */
function asWritten(written: unknown, kind: 'cluster' | 'user', name: string): Readonly<Record<string, unknown>> {
  const list = (written as Record<string, unknown>)[`${kind}s`];
  const entries = (Array.isArray(list) ? list : []) as Record<string, unknown>[];
  return (entries.find((entry) => entry['name'] === name)?.[kind] ?? {}) as Record<string, unknown>;
}

const instead = (field: string): string =>
  ({
    'proxy-url': 'Remove it',
    exec: 'Say allowExec: true for its target in service.yaml if that program may be run, or use a token, tokenFile or client certificate',
  })[field] ?? 'Use a token, tokenFile or client certificate';

const isLoopback = ({ hostname }: URL): boolean => /^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname);
