import type { CommitWithFiles, Repository } from '../source/repository.js';
import type { ManifestCache, ReadFile } from './manifest-cache.js';
import { isOwnerFile } from './manifest-files.js';
import type { RenderedFolders, RenderedFor } from './rendered-folders.js';
import { folderOf, treeIndex, type TreeIndex } from './tree-index.js';

/** Folders with a kustomization or chart at one commit. */
interface Folders {
  /** What each reads, by path of the folder; null where that cannot be told, because something is missing or refused. */
  readonly closures: ReadonlyMap<string, ReadonlySet<string> | null>;
  /** Those that no other one takes in. */
  readonly roots: ReadonlySet<string>;
}

/** What a commit did to the folders that are rendered. */
export interface RenderedStep {
  readonly pairs: readonly { readonly before: ReadFile | null; readonly after: ReadFile | null }[];
  /** Whether a file is rendered with others, before or after the commit, so that it does not count by itself. */
  readonly owned: (path: string) => boolean;
}

const NONE: Folders = { closures: new Map(), roots: new Set() };
const NOTHING: RenderedStep = { pairs: [], owned: () => false };
/** Commits whose folders are remembered, for those that follow on several branches at a time. */
const KEPT = 200;

/**
 * Kustomizations and charts along a history: each that no other takes in is rendered whenever a commit changed a file that it reads,
 * and only then. Commits are to be asked for in their order, parents first.
 */
export class RenderedHistory {
  readonly #known = new Map<string, Promise<Folders>>();
  readonly #repository: Repository;
  readonly #cache: ManifestCache;
  readonly #folders: RenderedFolders;
  readonly #environment: RenderedFor = { name: 'history', namespace: undefined };

  constructor(repository: Repository, cache: ManifestCache, folders: RenderedFolders) {
    this.#repository = repository;
    this.#cache = cache;
    this.#folders = folders;
  }

  async step({ commit, files }: CommitWithFiles): Promise<RenderedStep> {
    const [parent] = commit.parents;
    const changed = new Set(files.map(({ path }) => path));
    const before = parent === undefined ? NONE : await this.#at(parent);
    const touched = [...changed].some(isOwnerFile) || affected(before, changed).length > 0;
    // A file of a chart may be new, and a file that was missing may have come.
    const inFolder = touched || files.some(({ op, path }) => op === 'add' && [...before.closures].some(([dir, closure]) => closure === null || isIn(path, dir))); // prettier-ignore
    if (!inFolder) {
      this.#keep(commit.id, Promise.resolve(before));
      return NOTHING;
    }
    const next = this.#next(before, commit.id, files);
    this.#keep(commit.id, next);
    const after = await next;
    const dirs = new Set([...affected(before, changed), ...affected(after, changed)]);
    for (const dir of before.roots) if (!after.roots.has(dir)) dirs.add(dir);
    for (const dir of after.roots) {
      if (!before.roots.has(dir) || (before.closures.get(dir) === null) !== (after.closures.get(dir) === null)) dirs.add(dir); // prettier-ignore
    }
    const pairs = [];
    for (const dir of [...dirs].toSorted()) {
      pairs.push({
        before: before.roots.has(dir) ? await this.#read(parent, dir) : null,
        after: after.roots.has(dir) ? await this.#read(commit.id, dir) : null,
      });
    }
    const owners = [...before.closures.values(), ...after.closures.values()];
    return { pairs, owned: (path) => owners.some((closure) => closure?.has(path)) };
  }

  #at(commit: string): Promise<Folders> {
    const known = this.#known.get(commit);
    if (known) return known;
    const all = this.#tree(commit).then((tree) => this.#closures(tree, new Map(), ownerFolders(tree)));
    this.#keep(commit, all);
    return all;
  }

  #keep(commit: string, folders: Promise<Folders>): void {
    folders.catch(() => this.#known.delete(commit));
    this.#known.set(commit, folders);
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value!);
  }

  /** Only what the files that changed may have changed is looked at again. */
  async #next(before: Folders, commit: string, files: CommitWithFiles['files']): Promise<Folders> {
    const tree = await this.#tree(commit);
    const same = new Map(before.closures);
    const again = new Set<string>();
    for (const [dir, closure] of before.closures) {
      if (closure === null || files.some(({ path, op }) => closure.has(path) || (op === 'add' && isIn(path, dir)))) again.add(dir); // prettier-ignore
    }
    for (const { path } of files) if (isOwnerFile(path)) again.add(folderOf(path));
    for (const dir of again) same.delete(dir);
    return this.#closures(tree, same, [...again].filter((dir) => tree.within(dir).some(({ path }) => isOwnerFile(path)))); // prettier-ignore
  }

  async #closures(
    tree: TreeIndex,
    known: Map<string, ReadonlySet<string> | null>,
    dirs: readonly string[],
  ): Promise<Folders> {
    for (const dir of dirs) {
      known.set(dir, await this.#folders.closure(this.#repository, tree, dir, this.#environment));
    }
    const taken = new Set<string>();
    for (const [dir, closure] of known) {
      for (const path of closure ?? []) if (isOwnerFile(path) && folderOf(path) !== dir) taken.add(folderOf(path));
    }
    return { closures: known, roots: new Set([...known.keys()].filter((dir) => !taken.has(dir))) };
  }

  async #read(commit: string, dir: string): Promise<ReadFile> {
    return this.#folders.read(this.#repository, await this.#tree(commit), dir, this.#environment, this.#cache);
  }

  #tree(commit: string): Promise<TreeIndex> {
    return treeIndex(this.#repository, commit);
  }
}

function affected({ closures, roots }: Folders, changed: ReadonlySet<string>): string[] {
  return [...roots].filter((dir) => {
    const closure = closures.get(dir);
    // What cannot be told is told once, and again when somebody works on it.
    if (!closure) return [...changed].some((path) => isIn(path, dir));
    for (const path of changed) if (closure.has(path)) return true;
    return false;
  });
}

function ownerFolders(tree: TreeIndex): string[] {
  return [...new Set(tree.under('').filter(({ path }) => isOwnerFile(path)).map(({ path }) => folderOf(path)))]; // prettier-ignore
}

function isIn(path: string, dir: string): boolean {
  return dir === '' || path.startsWith(`${dir}/`);
}
