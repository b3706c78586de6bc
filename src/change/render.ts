import { describeIdentity, identityKey, type ManifestObject } from '../cluster/object.js';
import { CountersignError, formatPlace, type Place } from '../errors.js';
import type { TreeEntry, TreeReader } from '../source/repository.js';
import { applySetParent } from './apply-set.js';
import { type Environment, GOVERNANCE } from './environment.js';
import type { ManifestCache, ReadFile } from './manifest-cache.js';
import { selectManifests } from './manifest-files.js';
import { treeIndex } from './tree-index.js';

/** An environment at one commit, as it is written: what a reconciler would apply, and what stands in the way. */
export interface Rendering {
  readonly objects: readonly ManifestObject[];
  readonly problems: readonly CountersignError[];
  readonly otherDocuments: ReadonlyMap<string, number>;
  /** Folders of Kustomize or Helm that nobody rendered, because there is no renderer. */
  readonly notRendered: readonly string[];
  /** Folders of Kustomize or Helm whose objects are in `objects`. */
  readonly folders: readonly string[];
}

const NOTHING: Rendering = { objects: [], problems: [], otherDocuments: new Map(), notRendered: [], folders: [] };

/** Files parsed at the same time; bounds what is in memory before it is in the cache. */
const CONCURRENCY = 16;

/**
 * Every object of an environment at a commit (null: the empty tree), in the order of files and lines. Reads Git's object store
 * only. Throws faults of the repository; faults of files are in `problems`.
 */
export async function render(
  repository: TreeReader,
  environment: Environment,
  commit: string | null,
  cache: ManifestCache,
): Promise<Rendering> {
  // The environment of governance holds settings and policies, which are no objects of any target.
  if (commit === null || environment.name === GOVERNANCE) return NOTHING;
  const entries = await repository.tree(commit, environment.path);
  const { manifests, problems, notRendered: owned } = selectManifests(entries, environment);
  const rendered = await renderFolders(repository, environment, commit, owned, cache);
  const files = await readAll(repository, manifests, environment.namespace, cache);
  const otherDocuments = new Map<string, number>();
  files.forEach((file, i) => {
    if (file.otherDocuments > 0) otherDocuments.set(manifests[i].path, file.otherDocuments);
  });
  rendered?.forEach(({ read, folder }) => {
    if (read.otherDocuments > 0) otherDocuments.set(folder, read.otherDocuments);
  });
  const all = [...files, ...(rendered ?? []).map(({ read }) => read)];
  const { objects, duplicates } = unique(all.flatMap((file) => file.objects));
  // Where it is written, too, that is said as of any other.
  const parent = applySetParent(environment, objects);
  const whole = parent ? unique([...objects, parent]) : { objects, duplicates: [] };
  return {
    objects: whole.objects,
    problems: [...problems, ...all.flatMap((file) => file.problems), ...duplicates, ...whole.duplicates],
    otherDocuments,
    notRendered: rendered ? [] : owned,
    folders: rendered?.map(({ folder }) => folder) ?? [],
  };
}

/** Each folder as a unit, as Kustomize or Helm would apply it; null where there is no renderer. */
async function renderFolders(
  repository: TreeReader,
  environment: Environment,
  commit: string,
  owned: readonly string[],
  cache: ManifestCache,
): Promise<readonly { folder: string; read: ReadFile }[] | null> {
  const { folders } = cache;
  const dirs = owned.map((folder) => (folder === '.' ? '' : folder));
  const { chart } = environment.helm ?? {};
  if (chart !== undefined && !dirs.includes(chart)) dirs.push(chart);
  if (!folders) return dirs.length > 0 ? null : [];
  if (dirs.length === 0) return [];
  const tree = await treeIndex(repository, commit);
  const rendered: { folder: string; read: ReadFile }[] = [];
  for (const dir of dirs) {
    rendered.push({ folder: dir || '.', read: await folders.read(repository, tree, dir, environment, cache) });
  }
  return rendered;
}

export async function readAll(
  repository: TreeReader,
  files: readonly Pick<TreeEntry, 'id' | 'path'>[],
  namespace: string | null | undefined,
  cache: ManifestCache,
): Promise<ReadFile[]> {
  const results: ReadFile[] = [];
  for (let i = 0; i < files.length; i += CONCURRENCY) {
    const batch = files.slice(i, i + CONCURRENCY).map(async (file) => cache.read(repository, file, namespace));
    results.push(...(await Promise.all(batch)));
  }
  return results;
}

/** The first of several objects with one identity stays; each further one is a problem that names both places. */
function unique(objects: readonly ManifestObject[]): { objects: ManifestObject[]; duplicates: CountersignError[] } {
  const byKey = new Map<string, ManifestObject>();
  const duplicates: CountersignError[] = [];
  for (const entry of objects) {
    const key = identityKey(entry.identity);
    const first = byKey.get(key);
    if (!first) {
      byKey.set(key, entry);
      continue;
    }
    duplicates.push(
      new CountersignError(
        'object-duplicate',
        `${describeIdentity(entry.identity)} is defined at ${formatPlace(placeOf(first))} too`,
        {
          place: placeOf(entry),
          remedy: 'Keep one of the two: which one would win is chance',
        },
      ),
    );
  }
  return { objects: [...byKey.values()], duplicates };
}

function placeOf({ source }: ManifestObject): Place {
  return { file: source.path, line: source.line };
}
