import { posix } from 'node:path';
import { isJsonObject, type Json, type JsonObject, type ManifestObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import { normalizeFolder } from '../source/path.js';
import { applicationsOf } from './application-set.js';
import type { HelmSettings } from './environment.js';
import { member, only, unsupported } from './foreign-object.js';

/** An environment as another GitOps tool's object in the repository defines it, ready to stand in countersign.yaml. */
export interface DiscoveredEnvironment {
  readonly name: string;
  readonly path: string;
  readonly ref: string;
  readonly namespace?: string;
  readonly helm?: HelmSettings;
  /** Names of the others that it waits for. */
  readonly dependsOn?: readonly string[];
}

export interface Discovery {
  readonly environments: readonly DiscoveredEnvironment[];
  /** One for each object that says more than can be carried over, with what it is. */
  readonly problems: readonly CountersignError[];
}

const ARGO = 'argoproj.io';
const FLUX = ['kustomize.toolkit.fluxcd.io', 'helm.toolkit.fluxcd.io'];

/** Whether a file that cannot be read, being a template or broken, may define an environment that nobody would miss otherwise. */
export function seemsToDefine(text: string): boolean {
  return (
    FLUX.some((group) => text.includes(`${group}/`)) ||
    (text.includes(`${ARGO}/`) && /\bkind: *["']?Application/.test(text))
  );
}

/**
 * Argo CD's Applications and ApplicationSets, Flux's Kustomizations and HelmReleases among the objects of a repository. What is not understood whole is refused by name:
 * an environment that is rendered in another way than it is deployed would be judged for something else.
 */
export function discover(objects: readonly ManifestObject[], folders: ReadonlySet<string>): Discovery {
  const environments: DiscoveredEnvironment[] = [];
  const problems: CountersignError[] = [];
  /** What became of each Flux object, by kind, namespace and name. */
  const named = new Map<string, { readonly at: number; readonly of: ManifestObject }>();
  for (const entry of objects) {
    try {
      for (const { of, found } of definitions(entry, objects, folders)) {
        if (!folders.has(found.path)) throw unsupported(of, `its path ${found.path} is no folder of this repository`);
        named.set(fluxName(of.identity.kind, of.identity.namespace, of.identity.name), { at: environments.length, of });
        environments.push({ ...found, name: unusedName(found.name, of, environments) });
      }
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      problems.push(thrown);
    }
  }
  for (const { at, of } of named.values()) {
    if (!FLUX.includes(of.identity.group)) continue;
    const { kind, namespace } = of.identity;
    const wanted = dependenciesOf(of).map((other) => [other, named.get(fluxName(kind, other.namespace || namespace, other.name))] as const); // prettier-ignore
    for (const [{ name }, found] of wanted) {
      if (!found) problems.push(unsupported(of, `it depends on ${kind} ${JSON.stringify(name)}, which is no environment of this repository`)); // prettier-ignore
    }
    const dependsOn = wanted.flatMap(([, found]) => (found ? [environments[found.at].name] : []));
    if (dependsOn.length > 0) environments[at] = { ...environments[at], dependsOn };
  }
  return { environments, problems };
}

const fluxName = (kind: string, namespace: string, name: string): string => `${kind} ${namespace}/${name}`;

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

function dependenciesOf({ object }: ManifestObject): { readonly namespace: string; readonly name: string }[] {
  const { dependsOn } = member(object, 'spec');
  return (Array.isArray(dependsOn) ? dependsOn : [])
    .filter(isJsonObject)
    .map(({ namespace, name }) => ({ namespace: text(namespace), name: text(name) }));
}

interface Definition {
  readonly of: ManifestObject;
  readonly found: DiscoveredEnvironment;
}

function definitions(
  entry: ManifestObject,
  objects: readonly ManifestObject[],
  folders: ReadonlySet<string>,
): readonly Definition[] {
  const { group, kind } = entry.identity;
  if (group === ARGO && kind === 'Application') return [{ of: entry, found: application(entry) }];
  if (group === ARGO && kind === 'ApplicationSet') {
    return applicationsOf(entry, folders).map((of) => ({ of, found: application(of) }));
  }
  if (group === FLUX[0] && kind === 'Kustomization') return [{ of: entry, found: kustomization(entry, objects) }];
  if (group === FLUX[1] && kind === 'HelmRelease') return [{ of: entry, found: helmRelease(entry, objects) }];
  return [];
}

function application(entry: ManifestObject): DiscoveredEnvironment {
  const spec = member(entry.object, 'spec');
  if (spec.sources !== undefined) throw unsupported(entry, 'spec.sources (several sources) is not understood');
  const source = member(spec, 'source');
  only(entry, source, 'spec.source', ['repoURL', 'path', 'targetRevision', 'helm', 'kustomize', 'directory']);
  const { repoURL } = source;
  if (typeof repoURL === 'string' && /^oci:/i.test(repoURL)) throw unsupported(entry, 'spec.source.repoURL names an OCI registry, which is not understood'); // prettier-ignore
  const path = folderOf(entry, source.path, 'spec.source.path');
  const { namespace } = member(spec, 'destination');
  for (const part of ['kustomize', 'directory'] as const) only(entry, member(source, part), `spec.source.${part}`, part === 'directory' ? ['recurse'] : []); // prettier-ignore
  const options = member(source, 'helm');
  only(entry, options, 'spec.source.helm', ['releaseName', 'valueFiles', 'skipCrds']);
  const values = Array.isArray(options.valueFiles) ? options.valueFiles : [];
  const helm: HelmSettings = {
    release: typeof options.releaseName === 'string' ? options.releaseName : entry.identity.name,
    values: values.map((file) =>
      folderOf(entry, typeof file === 'string' ? posix.join(path, file) : file, 'valueFiles'),
    ),
    ...(options.skipCrds === true && { includeCRDs: false }),
  };
  return {
    name: entry.identity.name,
    path,
    ref: refOf(entry, source.targetRevision),
    ...(typeof namespace === 'string' && namespace !== '' && { namespace }),
    ...(source.helm !== undefined && { helm }),
  };
}

function kustomization(entry: ManifestObject, objects: readonly ManifestObject[]): DiscoveredEnvironment {
  const spec = member(entry.object, 'spec');
  // What changes when things are applied, and what they wait for, changes nothing in what is applied.
  const timing = 'dependsOn force healthChecks healthCheckExprs interval retryInterval prune suspend timeout wait deletionPolicy serviceAccountName'; // prettier-ignore
  only(entry, spec, 'spec', [...timing.split(' '), 'path', 'sourceRef']);
  const ref = branchOf(entry, member(spec, 'sourceRef'), objects);
  return {
    name: entry.identity.name,
    path: folderOf(entry, spec.path ?? '.', 'spec.path'),
    ref,
  };
}

/** A chart in the repository, with values that are files of it. */
function helmRelease(entry: ManifestObject, objects: readonly ManifestObject[]): DiscoveredEnvironment {
  const spec = member(entry.object, 'spec');
  const timing = 'interval timeout suspend dependsOn maxHistory rollback uninstall test driftDetection serviceAccountName storageNamespace persistentClient upgrade'; // prettier-ignore
  only(entry, spec, 'spec', [...timing.split(' '), 'chart', 'releaseName', 'targetNamespace', 'install']);
  const install = member(spec, 'install');
  only(entry, install, 'spec.install', ['crds', 'createNamespace', 'remediation', 'replace', 'timeout', 'disableWait']);
  const chart = member(member(spec, 'chart'), 'spec');
  // Flux itself passes over the version of a chart that it finds in Git.
  only(entry, chart, 'spec.chart.spec', ['chart', 'sourceRef', 'interval', 'version', 'reconcileStrategy', 'valuesFiles']); // prettier-ignore
  const ref = branchOf(entry, member(chart, 'sourceRef'), objects);
  const path = folderOf(entry, chart.chart, 'spec.chart.spec.chart');
  const files = Array.isArray(chart.valuesFiles) ? chart.valuesFiles : [];
  const [first, ...values] = files.map((file) => folderOf(entry, file, 'valuesFiles'));
  // To Flux these files take the place of the chart's own values; to Helm they come after them.
  if (first !== undefined && first !== posix.join(path, 'values.yaml')) {
    throw unsupported(entry, "valuesFiles that do not begin with the chart's own values.yaml is not understood");
  }
  const { releaseName, targetNamespace } = spec;
  const target = typeof targetNamespace === 'string' && targetNamespace !== '' ? targetNamespace : undefined;
  const { name } = entry.identity;
  const namespace = target ?? entry.identity.namespace;
  const release = typeof releaseName === 'string' && releaseName !== '' ? releaseName : target ? `${target}-${name}` : name; // prettier-ignore
  return {
    name,
    path,
    ref,
    ...(namespace !== '' && { namespace }),
    helm: { release, values, ...(install.crds === 'Skip' && { includeCRDs: false }) },
  };
}

/** The branch of the GitRepository that a Flux object names. */
function branchOf(entry: ManifestObject, from: JsonObject, objects: readonly ManifestObject[]): string {
  if (from.kind !== 'GitRepository') {
    throw unsupported(entry, `a source of kind ${JSON.stringify(from.kind)} is not understood`);
  }
  const namespace = typeof from.namespace === 'string' ? from.namespace : undefined;
  const repository = objects.find(
    ({ identity }) =>
      identity.kind === 'GitRepository' &&
      identity.name === from.name &&
      (namespace === undefined || identity.namespace === '' || identity.namespace === namespace),
  );
  const ref = repository ? member(member(repository.object, 'spec'), 'ref') : {};
  only(entry, ref, `ref of GitRepository ${JSON.stringify(from.name)}`, ['branch', 'name']);
  if (typeof ref.name === 'string' && /^refs\/heads\/[^*?[]+$/.test(ref.name)) return ref.name;
  return refOf(entry, ref.name ?? ref.branch);
}

/** A commit, or a range or number of versions, of which Argo CD takes the newest tag that fits. */
const NO_BRANCH = /^[0-9a-f]{7,64}$|[~^*<>=?[ ]|\|\||^[vV]?\d+(\.(\d+|[xX]))*(-.*)?$|^refs\/(?!heads\/)/;

function refOf(entry: ManifestObject, revision: Json | undefined): string {
  if (revision === undefined || revision === '' || revision === 'HEAD') return 'refs/heads/main';
  if (typeof revision !== 'string' || NO_BRANCH.test(revision)) {
    throw unsupported(entry, `the revision ${JSON.stringify(revision)} is no branch (commits, tags and ranges of versions are not followed)`); // prettier-ignore
  }
  return revision.startsWith('refs/') ? revision : `refs/heads/${revision}`;
}

function folderOf(entry: ManifestObject, path: Json | undefined, field: string): string {
  const folder = typeof path === 'string' ? normalizeFolder(posix.normalize(path)) : '..';
  if (/^(\/|\.\.(\/|$))/.test(folder)) throw unsupported(entry, `${field} is no path in this repository`);
  return folder;
}

function unusedName(name: string, { identity }: ManifestObject, taken: readonly DiscoveredEnvironment[]): string {
  return taken.some((other) => other.name === name) ? `${identity.namespace || 'default'}/${name}` : name;
}
