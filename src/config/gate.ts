import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { IN_CLUSTER, type Written } from './file.js';
import type { ConfigOptions, Grant, RepositoryConfig } from '../config.js';
import { remoteAccess, type FaultAt } from './repository.js';
import type { Credentials, SshFiles } from '../source/repository.js';

type WrittenGate = Written['gates'][number];

/** A target that Argo CD or Flux writes to: Countersign judges, and moves the ref that they follow. */
export interface GateConfig {
  readonly name: string;
  /** Folder of refs under which each environment has its own: `refs/heads/countersign/approved/`. */
  readonly refs: string;
  /** Where the refs are, if not in the governed repository itself. */
  readonly remote?: { readonly url: string; readonly credentials?: Credentials; readonly ssh?: SshFiles };
  /** Milliseconds between two looks at the refs; undefined: as often as at the repository. */
  readonly pollMilliseconds?: number;
  /** Whose word on what became of it is read back; nobody's unless it is configured. */
  readonly status?: {
    /** Absolute path, or `in-cluster`. */
    readonly kubeconfig: string;
    readonly context?: string;
    readonly allowExec?: boolean;
    /** As what Argo CD and Flux know the repository, beside its own URL. */
    readonly urls: readonly string[];
  };
  readonly grants: readonly Grant[];
}

const DEFAULT_REF = 'refs/heads/countersign/approved/*';

/** A gate of service.yaml. Adds to the faults. */
export function resolveGate(
  written: WrittenGate,
  repositories: readonly Pick<RepositoryConfig, 'name' | 'refs'>[],
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): GateConfig {
  const { name, ref = DEFAULT_REF, url, credentials, ssh, poll, status, grants } = written;
  const refs = ref.slice(0, -1);
  // Without a folder of its own the ref of an environment `main` would be the branch that people push to.
  if (!/^refs\/heads\/([\w.-]+\/)+\*$/.test(ref) || /\.\.|\/\.|\.lock\//.test(ref)) {
    fault(['ref'], 'it must be a folder of branches that ends in "/*", such as refs/heads/countersign/approved/*');
  }
  const granted = new Set(grants.map(({ repository }) => repository));
  for (const repository of repositories) {
    const within = granted.has(repository.name) && url === undefined ? repository.refs.find((one) => one.startsWith(refs)) : undefined; // prettier-ignore
    if (within) fault(['ref'], `${within} is a branch that ${repository.name} is judged by: nothing that is moved here may be`); // prettier-ignore
  }
  if (url !== undefined && granted.size > 1) {
    fault(['url'], 'environments of several repositories may have the same name: give each repository a gate of its own'); // prettier-ignore
  }
  if (url === undefined && (credentials || ssh)) {
    fault([credentials ? 'credentials' : 'ssh'], 'it goes with "url"; the governed repository has its own under repositories:'); // prettier-ignore
  }
  return {
    name,
    refs,
    ...(url === undefined ? {} : { remote: remoteAccess({ url, credentials, ssh }, base, env, fault) }),
    ...(poll === undefined ? {} : { pollMilliseconds: poll }),
    ...(status && { status: resolveStatus(status, base, env, (path, message) => fault(['status', ...path], message)) }),
    grants,
  };
}

function resolveStatus(
  { kubeconfig: written, context, allowExec, urls }: NonNullable<WrittenGate['status']>,
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): NonNullable<GateConfig['status']> {
  const shown = {
    urls,
    ...(context === undefined ? {} : { context }),
    ...(allowExec === undefined ? {} : { allowExec }),
  };
  if (written === IN_CLUSTER) {
    if (context !== undefined) fault(['context'], `${IN_CLUSTER} has no contexts`);
    if (allowExec) fault(['allowExec'], `${IN_CLUSTER} runs no program`);
    if (!env['KUBERNETES_SERVICE_HOST']) {
      fault(['kubeconfig'], `${IN_CLUSTER} is for a pod, and here KUBERNETES_SERVICE_HOST is not set`);
    }
    return { kubeconfig: written, ...shown };
  }
  const kubeconfig = resolve(base, written);
  if (!existsSync(kubeconfig)) fault(['kubeconfig'], `there is no file ${kubeconfig}`);
  return { kubeconfig, ...shown };
}

/** The folders of refs that we move ourselves in a repository: never followed, whatever else is. */
export function ownRefs(gates: readonly GateConfig[]): readonly string[] {
  return [...new Set(gates.map(({ refs }) => refs.slice(0, -1)))];
}
