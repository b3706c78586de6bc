import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { globMatcher } from '../change/glob.js';
import { IN_CLUSTER, type Written } from './file.js';
import type { ConfigOptions, TargetConfig } from '../config.js';
import { readSecret, type FaultAt } from './repository.js';

type WrittenTarget = Written['targets'][number];

/** Bytes below which a token could be guessed. */
const SHORTEST_TOKEN = 16;

/** A target of service.yaml, with its files found and its secrets read. Adds to the faults. */
export function resolveTarget(
  written: WrittenTarget,
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): TargetConfig {
  const { audit: writtenAudit, impersonate: writtenAs, ...rest } = written;
  const audit =
    writtenAudit && readAudit(writtenAudit, base, env, (path, message) => fault(['audit', ...path], message));
  const impersonate = writtenAs?.map(({ serviceAccount, user, groups, ...of }, i) => {
    if ((serviceAccount === undefined) === (user === undefined)) {
      fault(['impersonate', i], 'it must hold either "serviceAccount" or "user"');
    }
    if (serviceAccount !== undefined && groups.length > 0) {
      fault(['impersonate', i, 'groups'], 'a service account has its own groups');
    }
    return { ...of, groups, user: user ?? `system:serviceaccount:${serviceAccount?.replace('/', ':')}` };
  });
  const target = { ...rest, ...(impersonate ? { impersonate } : {}), ...(audit ? { audit } : {}) };
  if (target.kubeconfig === IN_CLUSTER) {
    if (target.context !== undefined) fault(['context'], `${IN_CLUSTER} has no contexts`);
    if (target.allowExec) fault(['allowExec'], `${IN_CLUSTER} runs no program`);
    if (!env['KUBERNETES_SERVICE_HOST']) {
      fault(['kubeconfig'], `${IN_CLUSTER} is for a pod, and here KUBERNETES_SERVICE_HOST is not set`);
    }
    return target;
  }
  const kubeconfig = resolve(base, target.kubeconfig);
  if (!existsSync(kubeconfig)) fault(['kubeconfig'], `there is no file ${kubeconfig}`);
  return { ...target, kubeconfig };
}

function readAudit(
  { log, tokenEnv, tokenFile }: NonNullable<WrittenTarget['audit']>,
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): TargetConfig['audit'] {
  const given = [tokenEnv, tokenFile].filter((one) => one !== undefined);
  if (given.length > 1 || (given.length === 0 && log === undefined)) {
    fault([], 'it must hold "log", or one of "tokenEnv" and "tokenFile", or both');
    return undefined;
  }
  const token = given.length === 1 ? readSecret([], { tokenEnv, tokenFile }, { base, env, fault }) : undefined;
  if (token !== undefined && (Buffer.byteLength(token) < SHORTEST_TOKEN || !/^[\x21-\x7e]*$/.test(token))) {
    fault([], `the token must be at least ${SHORTEST_TOKEN} printable characters; make one with openssl rand -hex 32`);
  }
  return { ...(token === undefined ? {} : { token }), ...(log === undefined ? {} : { log: resolve(base, log) }) };
}

/** In whose name an environment's objects are written; null: in our own user's. */
export function writerOf(
  targets: readonly TargetConfig[],
  target: string,
  repository: string,
  environment: string,
): { readonly user: string; readonly groups: readonly string[] } | null {
  const rules = targets.find(({ name }) => name === target)?.impersonate ?? [];
  const found = rules.find((rule) => rule.repository === repository && globMatcher(rule.environment)(environment));
  return found ? { user: found.user, groups: found.groups } : null;
}
