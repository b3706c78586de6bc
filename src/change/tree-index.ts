import type { TreeEntry, TreeReader } from '../source/repository.js';
import { SUBMODULE, SYMLINK } from './manifest-files.js';

/** A commit's whole tree for looking up paths, as a renderer follows them from one folder to another. */
export class TreeIndex {
  private readonly files = new Map<string, TreeEntry>();
  private readonly folders = new Map<string, TreeEntry[]>();

  constructor(entries: readonly TreeEntry[]) {
    for (const entry of entries) {
      this.files.set(entry.path, entry);
      const folder = folderOf(entry.path);
      const siblings = this.folders.get(folder);
      if (siblings) siblings.push(entry);
      else {
        this.folders.set(folder, [entry]);
        for (let up = folder; up !== '' && !this.folders.has((up = folderOf(up)));) this.folders.set(up, []);
      }
    }
    this.sorted = entries;
  }

  private readonly sorted: readonly TreeEntry[];

  file(path: string): TreeEntry | undefined {
    return this.files.get(path);
  }

  isFolder(path: string): boolean {
    return path === '' || this.folders.has(path);
  }

  /** Files directly in a folder. */
  within(folder: string): readonly TreeEntry[] {
    return this.folders.get(folder) ?? [];
  }

  /** All files in a folder and below it. */
  under(folder: string): readonly TreeEntry[] {
    return folder === '' ? this.sorted : this.sorted.filter((entry) => entry.path.startsWith(`${folder}/`));
  }

  /** The symbolic link or submodule that a path is or goes through. */
  detour(path: string): TreeEntry | undefined {
    for (let part = path; part !== ''; part = folderOf(part)) {
      const entry = this.files.get(part);
      if (entry && (entry.mode === SYMLINK || entry.mode === SUBMODULE)) return entry;
    }
    return undefined;
  }
}

export function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

const KEPT = 4;
const indexes = new WeakMap<TreeReader, Map<string, Promise<TreeIndex>>>();

/** The last few commits' trees are kept: environments of one commit follow each other. '' is no commit, so nothing to keep. */
export async function treeIndex(repository: TreeReader, commit: string): Promise<TreeIndex> {
  const read = async () => new TreeIndex(await repository.tree(commit, ''));
  if (commit === '') return read();
  let known = indexes.get(repository);
  if (!known) indexes.set(repository, (known = new Map()));
  let index = known.get(commit);
  if (!index) {
    index = read();
    known.set(commit, index);
    index.catch(() => known.delete(commit));
    if (known.size > KEPT) known.delete(known.keys().next().value!);
  }
  return index;
}
