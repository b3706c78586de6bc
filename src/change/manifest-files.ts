import { CountersignError } from '../errors.js';
import { isUnsafePath } from '../source/path.js';
import type { TreeEntry } from '../source/repository.js';
import type { Environment } from './environment.js';
import { globMatcher } from './glob.js';

const MANIFEST = /\.(ya?ml|json)$/i;
const KUSTOMIZATION = /(^|\/)(kustomization\.ya?ml|Kustomization)$/;
const CHART = /(^|\/)Chart\.ya?ml$/;

export const SYMLINK = '120000';
export const SUBMODULE = '160000';

/** True for files whose presence decides who reads their folder: Kustomize or Helm. */
export function isOwnerFile(path: string): boolean {
  return KUSTOMIZATION.test(path) || CHART.test(path);
}

export function isManifestPath(path: string): boolean {
  return MANIFEST.test(path);
}

/** What of an environment's files is read. */
export interface Selection {
  readonly manifests: readonly TreeEntry[];
  readonly problems: readonly CountersignError[];
  /** Folders that Kustomize or Helm own; what is in them is not read, for it means something only together. */
  readonly notRendered: readonly string[];
}

/** Sorts an environment's tree into manifests, what is in the way of reading it, and what others must render. */
export function selectManifests(entries: readonly TreeEntry[], environment: Environment): Selection {
  const ignored = ignores(environment);
  const values = new Set(environment.helm?.values);
  const owned = ownedFolders(entries.filter((entry) => !ignored(entry.path)).map((entry) => entry.path));
  const manifests: TreeEntry[] = [];
  const problems: CountersignError[] = [];
  const spellings = new Map<string, string>();
  for (const entry of entries) {
    const { path, mode } = entry;
    if (ignored(path) || isOwned(path, owned) || values.has(path)) continue;
    const unsafe = isUnsafePath(path);
    if (!unsafe && mode !== SUBMODULE && !isManifestPath(path)) continue;
    // On a disk that folds case or composes characters one of the two would hide the other.
    const folded = path.normalize('NFC').toLowerCase();
    const twin = spellings.get(folded);
    if (unsafe) problems.push(problem(path, 'Git never checks out a file of this name', 'Rename it'));
    else if (mode === SUBMODULE)
      problems.push(problem(path, 'a submodule is not part of this repository', 'Copy its files in'));
    else if (mode === SYMLINK)
      problems.push(problem(path, 'a symbolic link is no manifest', 'Put the file itself here'));
    else if (twin !== undefined) {
      problems.push(
        problem(path, `it differs from ${twin} only in case or in how characters are composed`, 'Rename one of them'),
      );
    } else manifests.push(entry);
    spellings.set(folded, path);
  }
  return { manifests, problems, notRendered: owned };
}

/** Whether a path (from the root of the repository) is one that the environment's `ignore` names. */
export function ignores({ path: root, ignore }: Environment): (path: string) => boolean {
  const globs = ignore.map(globMatcher);
  if (globs.length === 0) return () => false;
  const start = root === '' ? 0 : root.length + 1;
  return (path) => globs.some((matches) => matches(path.slice(start)));
}

/** Outermost folders with a kustomization or a chart; '.' is the root. */
function ownedFolders(paths: readonly string[]): string[] {
  const folders = paths
    .filter(isOwnerFile)
    .map((path) => path.slice(0, Math.max(0, path.lastIndexOf('/'))) || '.')
    .toSorted();
  const outermost: string[] = [];
  for (const folder of folders) if (!isOwned(`${folder}/x`, outermost)) outermost.push(folder);
  return outermost;
}

function isOwned(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => folder === '.' || path.startsWith(`${folder}/`));
}

function problem(file: string, message: string, remedy: string): CountersignError {
  return new CountersignError('manifest-malformed', message, {
    place: { file },
    remedy: `${remedy}, or list it under "ignore"`,
  });
}
