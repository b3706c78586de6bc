import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { load, YAMLException } from 'js-yaml';
import { z } from 'zod';
import { CountersignError } from '../../errors.js';

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
}

const named = <T extends z.ZodType, K extends string>(key: K, value: T) =>
  z.array(z.looseObject({ name: z.string(), [key]: value } as { name: z.ZodString } & Record<K, T>)).default([]);

const schema = z.looseObject({
  'current-context': z.string().optional(),
  clusters: named(
    'cluster',
    z.looseObject({
      server: z.url({ protocol: /^https?$/ }),
      'certificate-authority': z.string().optional(),
      'certificate-authority-data': z.string().optional(),
      'insecure-skip-tls-verify': z.boolean().optional(),
      'tls-server-name': z.string().optional(),
      'proxy-url': z.string().optional(),
    }),
  ),
  users: named(
    'user',
    z.looseObject({
      token: z.string().optional(),
      tokenFile: z.string().optional(),
      'client-certificate': z.string().optional(),
      'client-certificate-data': z.string().optional(),
      'client-key': z.string().optional(),
      'client-key-data': z.string().optional(),
      username: z.string().optional(),
      password: z.string().optional(),
      exec: z.unknown().optional(),
      'auth-provider': z.unknown().optional(),
      as: z.unknown().optional(),
    }),
  ),
  contexts: named('context', z.looseObject({ cluster: z.string(), user: z.string() })),
});

/**
 * Reads a kubeconfig as kubectl does, but for what would run a program or act as somebody else: `exec`, `auth-provider`, `as`
 * and proxies are refused rather than ignored. Throws `config-invalid`.
 */
export async function readKubeconfig(file: string, context?: string): Promise<Connection> {
  const invalid = (message: string, remedy: string, cause?: unknown): CountersignError =>
    new CountersignError('config-invalid', message, { place: { file }, remedy, cause });
  const config = await parse(file, invalid);
  const contextName = context ?? config['current-context'];
  const chosen = config.contexts.find(({ name }) => name === contextName)?.context;
  if (!chosen) throw invalid(`there is no context ${contextName ?? '(none is current)'}`, 'Name one of its contexts');
  const cluster = config.clusters.find(({ name }) => name === chosen.cluster)?.cluster;
  if (!cluster) throw invalid(`there is no cluster ${chosen.cluster}`, 'Add it, or name another context');
  const user = config.users.find(({ name }) => name === chosen.user)?.user ?? {};
  for (const field of ['exec', 'auth-provider', 'as'] as const) {
    if (user[field] !== undefined) {
      throw invalid(
        `user ${chosen.user} uses ${field}, which is not supported`,
        'Use a token, tokenFile or client certificate',
      );
    }
  }
  if (cluster['proxy-url'])
    throw invalid(`cluster ${chosen.cluster} uses proxy-url, which is not supported`, 'Remove it');
  if (cluster.server.startsWith('http:') && !isLoopback(cluster.server)) {
    throw invalid(`${cluster.server} is not encrypted`, 'Use https');
  }
  const material = async (data: string | undefined, path: string | undefined): Promise<string | undefined> => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString();
    return path === undefined ? undefined : await read(resolve(dirname(file), path));
  };
  const read = async (path: string): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (cause) {
      throw invalid(`it names ${path}, which cannot be read`, 'Correct the path or its permissions', cause);
    }
  };
  return {
    server: cluster.server.replace(/\/$/, ''),
    authority: await material(cluster['certificate-authority-data'], cluster['certificate-authority']),
    serverName: cluster['tls-server-name'],
    insecure: cluster['insecure-skip-tls-verify'] ?? false,
    certificate: await material(user['client-certificate-data'], user['client-certificate']),
    key: await material(user['client-key-data'], user['client-key']),
    authorization: async () => {
      if (user.tokenFile !== undefined) return `Bearer ${(await read(resolve(dirname(file), user.tokenFile))).trim()}`;
      if (user.token !== undefined) return `Bearer ${user.token}`;
      if (user.username === undefined) return undefined;
      return `Basic ${Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')}`;
    },
  };
}

type Invalid = (message: string, remedy: string, cause?: unknown) => CountersignError;

async function parse(file: string, invalid: Invalid): Promise<z.infer<typeof schema>> {
  let value: unknown;
  try {
    value = load(await readFile(file, 'utf8'), { filename: file });
  } catch (cause) {
    const why = cause instanceof YAMLException ? `it is not valid YAML: ${cause.reason}` : 'it cannot be read';
    // The exception quotes lines, which may hold a token: only its reason is passed on.
    throw invalid(why, 'Give the path of a kubeconfig', cause instanceof YAMLException ? undefined : cause);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(`${issue.path.map(String).join('.')}: ${issue.message}`, 'Give the path of a kubeconfig');
}

const isLoopback = (server: string): boolean => /^(localhost|127\.[\d.]+|\[::1\])$/.test(new URL(server).hostname);
