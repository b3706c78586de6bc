import { CountersignError } from '../errors.js';
import type { TreeEntry } from '../source/repository.js';
import type { Environment, HelmSettings } from './environment.js';

/** Of an environment whose path has a `*`, what each folder of the tree that fits makes of it, in the order of paths. */
export function expandTemplate(
  template: Environment,
  entries: readonly Pick<TreeEntry, 'path' | 'type'>[],
): Environment[] {
  const found = new Map<string, readonly string[]>();
  for (const { path, type } of entries) {
    const fit = type === 'blob' ? fitting(template.path, path) : null;
    if (fit) found.set(fit.folder, fit.matches);
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([path, matches]) => filled(template, path, matches));
}

/** Whether a file lies in a folder that a template makes an environment of, and that none was made of yet. */
export function isNewEnvironment(
  path: string,
  templates: readonly Environment[],
  environments: readonly Environment[],
): boolean {
  return templates.some((template) => {
    const fit = fitting(template.path, path);
    return fit !== null && !environments.some((environment) => environment.path === fit.folder);
  });
}

export function stars(text: string): number {
  return text.split('*').length - 1;
}

/** The folder of a file that fits a pattern, and what its stars stand for; null if it lies elsewhere. */
function fitting(pattern: string, file: string): { folder: string; matches: readonly string[] } | null {
  const parts = pattern.split('/');
  const names = file.split('/');
  if (names.length <= parts.length) return null;
  const matches: string[] = [];
  for (const [i, part] of parts.entries()) {
    if (part === '*') matches.push(names[i]);
    else if (part !== names[i]) return null;
  }
  return { folder: names.slice(0, parts.length).join('/'), matches };
}

function filled(template: Environment, path: string, matches: readonly string[]): Environment {
  const fill = (text: string) => {
    let n = 0;
    return text.replaceAll('*', () => matches[n++]);
  };
  const name = fill(template.name);
  // Folders are named by whoever may write in the repository: what no one could write as a name is none.
  if (!ENVIRONMENT_NAME.test(name)) {
    throw new CountersignError(
      'config-invalid',
      `the folder ${path} cannot be an environment: "${name}" is no name of one`,
      {
        place: { file: 'countersign.yaml' },
        remedy: 'Rename the folder, or name the environments one by one',
      },
    );
  }
  const { helm, namespace, target, dependsOn } = template;
  return {
    ...template,
    name,
    path,
    namespace: namespace && fill(namespace),
    target: target && fill(target),
    labels: Object.fromEntries(Object.entries(template.labels).map(([key, value]) => [key, fill(value)])),
    ...(helm && { helm: filledHelm(helm, fill) }),
    ...(dependsOn && { dependsOn: dependsOn.map(fill) }),
  };
}

function filledHelm(helm: HelmSettings, fill: (text: string) => string): HelmSettings {
  const { chart, release, namespace, values } = helm;
  return {
    ...helm,
    ...(chart !== undefined && { chart: fill(chart) }),
    ...(release !== undefined && { release: fill(release) }),
    ...(namespace !== undefined && { namespace: fill(namespace) }),
    ...(values && { values: values.map(fill) }),
  };
}

/** Letters, digits, ".", "_" and "-", in parts separated by "/". */
export const ENVIRONMENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/;
