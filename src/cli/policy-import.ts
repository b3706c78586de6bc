import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { openCluster } from '../adapters/kubernetes/cluster.js';
import type { KubernetesObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import { asWritten, yamlOf } from '../policy/gatekeeper/import.js';
import { at } from '../policy/gatekeeper/template.js';
import type { ApiKind, Cluster } from '../reconcile/cluster.js';
import { jsonLine, print, printable } from './output.js';

export interface ImportOptions {
  readonly kubeconfig: string;
  readonly context?: string;
  readonly to: string;
  readonly force?: boolean;
  readonly output: 'text' | 'json';
}

/** Writes the Gatekeeper objects of a cluster into a folder, one file each. Only reads from the cluster. */
export async function importPolicies({ kubeconfig, context, to, force = false, output }: ImportOptions): Promise<void> {
  const options = { name: kubeconfig, kubeconfig: resolve(kubeconfig), ...(context === undefined ? {} : { context }) };
  const cluster = await openCluster(options);
  let found: Found[];
  try {
    found = await gatekeeperObjects(cluster);
  } finally {
    await cluster.close();
  }
  const files = found.map((one) => {
    const file = join(to, one.folder, fileName(one));
    return { file, text: yamlOf(asWritten(one.object), file) };
  });
  await refuseToOverwrite(files, force);
  for (const { file, text } of files) {
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, text);
    await print(output === 'json' ? jsonLine({ file }) : printable(file));
  }
  const count = (folder: string) => found.filter((one) => one.folder === folder).length;
  const summary = {
    templates: count('templates'),
    constraints: count('constraints'),
    expansions: count('expansions'),
    syncs: count('sync'),
  };
  await print(
    output === 'json'
      ? jsonLine(summary)
      : `${summary.templates} templates, ${summary.constraints} constraints, ${summary.expansions} expansion templates, ${summary.syncs} that say what is synced; countersign policy check ${to} says whether they work here`,
  );
}

interface Found {
  readonly folder: 'templates' | 'constraints' | 'expansions' | 'sync';
  readonly object: KubernetesObject;
}

/** A name of the cluster's becomes one of ours: it must be no path, whatever the server says. */
function fileName({ folder, object }: Found): string {
  const { kind, metadata } = object;
  const name = folder === 'constraints' || folder === 'sync' ? `${kind.toLowerCase()}-${metadata.name}` : metadata.name;
  if (/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name) && !name.includes('..')) return `${name}.yaml`;
  throw new CountersignError('object-invalid', `the cluster has a ${kind} with a name that Kubernetes does not allow`);
}

async function gatekeeperObjects(cluster: Cluster): Promise<Found[]> {
  const templates = await listed(cluster, 'templates.gatekeeper.sh', ['v1', 'v1beta1'], 'ConstraintTemplate');
  if (!templates) {
    throw new CountersignError('kind-unknown', `Gatekeeper is not installed in the cluster of ${cluster.name}`, {
      remedy: 'Name the kubeconfig of a cluster that has it',
    });
  }
  const found: Found[] = templates.map((object) => ({ folder: 'templates', object }));
  for (const template of templates) {
    const kind = at(template, ['spec', 'crd', 'spec', 'names', 'kind']);
    if (typeof kind !== 'string') continue;
    // A template that does not compile has no kind of its own yet; policy check will say why.
    const constraints = await listed(cluster, 'constraints.gatekeeper.sh', ['v1beta1'], kind);
    found.push(...(constraints ?? []).map((object) => ({ folder: 'constraints' as const, object })));
  }
  const expansions = await listed(cluster, 'expansion.gatekeeper.sh', ['v1beta1', 'v1alpha1'], 'ExpansionTemplate');
  const configs = await listed(cluster, 'config.gatekeeper.sh', ['v1alpha1'], 'Config');
  const syncSets = await listed(cluster, 'syncset.gatekeeper.sh', ['v1alpha1'], 'SyncSet');
  found.push(...(expansions ?? []).map((object) => ({ folder: 'expansions' as const, object })));
  return [
    ...found,
    ...[...(configs ?? []), ...(syncSets ?? [])].map((object) => ({ folder: 'sync' as const, object })),
  ];
}

/** In the first version that is served; undefined if none is. */
async function listed(
  cluster: Cluster,
  group: string,
  versions: readonly string[],
  kind: string,
): Promise<readonly KubernetesObject[] | undefined> {
  for (const version of versions) {
    let api: ApiKind;
    try {
      api = await cluster.kind({ group, version, kind });
    } catch (error) {
      if (error instanceof CountersignError && error.code === 'kind-unknown') continue;
      throw error;
    }
    return (await cluster.list(api)).items;
  }
  return undefined;
}

/** Before anything is written: a folder that is half new and half old is nobody's policy. */
async function refuseToOverwrite(
  files: readonly { readonly file: string; readonly text: string }[],
  force: boolean,
): Promise<void> {
  if (force) return;
  for (const { file, text } of files) {
    if (!existsSync(file) || (await readFile(file, 'utf8')) === text) continue;
    throw new CountersignError('usage', 'the file is there already, and it differs from what the cluster has', {
      place: { file },
      remedy: 'Compare the two; --force writes over it',
    });
  }
}
