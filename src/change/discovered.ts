import { posix } from 'node:path';
import { isJsonObject, type Json, type JsonObject, type ManifestObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import { normalizeFolder } from '../source/path.js';
import type { HelmSettings } from './environment.js';

/** An environment as another GitOps tool's object in the repository defines it, ready to stand in countersign.yaml. */
export interface DiscoveredEnvironment {
  readonly name: string;
  readonly path: string;
  readonly ref: string;
  readonly namespace?: string;
  readonly helm?: HelmSettings;
}

export interface Discovery {
  readonly environments: readonly DiscoveredEnvironment[];
  /** One for each object that says more than can be carried over, with what it is. */
  readonly problems: readonly CountersignError[];
}

const ARGO = 'argoproj.io';
const FLUX = ['kustomize.toolkit.fluxcd.io', 'helm.toolkit.fluxcd.io'];

/**
 * Argo CD's Applications and Flux's Kustomizations among the objects of a repository. What is not understood whole is refused by name:
 * an environment that is rendered in another way than it is deployed would be judged for something else.
 */
export function discover(objects: readonly ManifestObject[], folders: ReadonlySet<string>): Discovery {
  const environments: DiscoveredEnvironment[] = [];
  const problems: CountersignError[] = [];
  for (const entry of objects) {
    const { group, kind } = entry.identity;
    try {
      const found =
        group === ARGO && kind === 'Application'
          ? application(entry)
          : group === FLUX[0] && kind === 'Kustomization'
            ? kustomization(entry, objects)
            : undefined;
      if ((group === ARGO && kind === 'ApplicationSet') || (group === FLUX[1] && kind === 'HelmRelease')) {
        throw unsupported(entry, `the kind ${kind} is not understood`);
      }
      if (!found) continue;
      if (!folders.has(found.path)) throw unsupported(entry, `its path ${found.path} is no folder of this repository`);
      environments.push({ ...found, name: unusedName(found.name, entry, environments) });
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      problems.push(thrown);
    }
  }
  return { environments, problems };
}

function application(entry: ManifestObject): DiscoveredEnvironment {
  const spec = member(entry.object, 'spec');
  if (spec.sources !== undefined) throw unsupported(entry, 'spec.sources (several sources) is not understood');
  const source = member(spec, 'source');
  only(entry, source, 'spec.source', ['repoURL', 'path', 'targetRevision', 'helm', 'kustomize', 'directory']);
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
  const from = member(spec, 'sourceRef');
  if (from.kind !== 'GitRepository')
    throw unsupported(entry, `a source of kind ${JSON.stringify(from.kind)} is not understood`);
  const repository = objects.find(({ identity }) => identity.kind === 'GitRepository' && identity.name === from.name);
  const ref = repository ? member(member(repository.object, 'spec'), 'ref') : {};
  only(entry, ref, `ref of GitRepository ${JSON.stringify(from.name)}`, ['branch', 'name']);
  return {
    name: entry.identity.name,
    path: folderOf(entry, spec.path ?? '.', 'spec.path'),
    ref: typeof ref.name === 'string' ? ref.name : refOf(entry, ref.branch),
  };
}

function refOf(entry: ManifestObject, revision: Json | undefined): string {
  if (revision === undefined || revision === '' || revision === 'HEAD') return 'refs/heads/main';
  if (typeof revision !== 'string' || /^[0-9a-f]{7,64}$|[~^*<>= ]|^v?\d+\.\d+/.test(revision)) {
    throw unsupported(entry, `the revision ${JSON.stringify(revision)} is no branch`);
  }
  return revision.startsWith('refs/') ? revision : `refs/heads/${revision}`;
}

function folderOf(entry: ManifestObject, path: Json | undefined, field: string): string {
  const folder = typeof path === 'string' ? normalizeFolder(posix.normalize(path)) : '..';
  if (/^(\/|\.\.(\/|$))/.test(folder)) throw unsupported(entry, `${field} is no path in this repository`);
  return folder;
}

function only(entry: ManifestObject, of: JsonObject, where: string, known: readonly string[]): void {
  const others = Object.keys(of).filter((field) => !known.includes(field));
  if (others.length > 0) throw unsupported(entry, `${where}: ${others.join(', ')} is not understood`);
}

function unusedName(name: string, { identity }: ManifestObject, taken: readonly DiscoveredEnvironment[]): string {
  return taken.some((other) => other.name === name) ? `${identity.namespace || 'default'}/${name}` : name;
}

function member(of: JsonObject, name: string): JsonObject {
  const value = of[name];
  return isJsonObject(value) ? value : {};
}

function unsupported({ identity, source }: ManifestObject, message: string): CountersignError {
  return new CountersignError('environment-invalid', `${identity.kind} ${identity.name}: ${message}`, {
    place: { file: source.path, line: source.line },
    remedy: 'Write its environment into countersign.yaml by hand',
  });
}
