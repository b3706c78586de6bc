import { resolve } from 'node:path';
import type { MirrorConfig } from '../config.js';
import type { Written } from './file.js';

// What `log` of service.yaml says of copies.

/** Milliseconds. */
const MIRROR_EVERY = 10_000;

type Fault = (field: readonly string[], message: string) => void;
type Environment = Readonly<Record<string, string | undefined>>;

export function resolveMirror(
  written: NonNullable<Written['log']>['mirror'],
  base: string,
  env: Environment,
  fault: Fault,
): { readonly mirror?: MirrorConfig } {
  if (written === undefined) return {};
  const to = resolvePlace(written, base, env, fault);
  return to ? { mirror: { to, everyMilliseconds: written.every ?? MIRROR_EVERY } } : {};
}

type WrittenPlace = Omit<NonNullable<NonNullable<Written['log']>['mirror']>, 'every'>;

/** A folder, or a place in an S3-compatible store; undefined where it is neither, which is a fault. */
export function resolvePlace(
  written: WrittenPlace,
  base: string,
  env: Environment,
  fault: Fault,
): MirrorConfig['to'] | undefined {
  const { folder, bucket, prefix = '', region, endpoint, accessKeyEnv, secretKeyEnv } = written;
  if ((folder === undefined) === (bucket === undefined)) {
    fault([], 'it must name either a folder or a bucket');
    return undefined;
  }
  if (folder !== undefined) {
    const foreign = Object.entries({ prefix: written.prefix, region, endpoint, accessKeyEnv, secretKeyEnv });
    for (const [field, value] of foreign) if (value !== undefined) fault([field], 'it is for a bucket');
    return { folder: resolve(base, folder) };
  }
  if (endpoint !== undefined && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? '')) {
    fault(['endpoint'], 'it must be like https://s3.example.org');
  }
  const credentials = keysIn(accessKeyEnv, secretKeyEnv, env, fault);
  return {
    bucket: bucket!,
    prefix: prefix.replace(/^\/+|\/+$/g, ''),
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials ? { credentials } : {}),
  };
}

/** Undefined: as the AWS SDK finds them. */
function keysIn(
  access: string | undefined,
  secret: string | undefined,
  env: Environment,
  fault: Fault,
): { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined {
  if (access === undefined && secret === undefined) return undefined;
  if (access === undefined || secret === undefined) {
    fault([], 'accessKeyEnv and secretKeyEnv belong together');
    return undefined;
  }
  for (const [field, name] of [
    ['accessKeyEnv', access],
    ['secretKeyEnv', secret],
  ] as const)
    if (!env[name]) fault([field], `the environment variable ${name} is not set`);
  return { accessKeyId: env[access] ?? '', secretAccessKey: env[secret] ?? '' };
}
