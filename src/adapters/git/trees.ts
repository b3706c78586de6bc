import { CountersignError } from '../../errors.js';
import { decodePath, encodePath, isUnsafePath, normalizeFolder } from '../../source/path.js';
import type { FileChange, TreeEntry } from '../../source/repository.js';

/** Deeper trees are refused: no real repository has them, and every level costs a round trip. */
const DEPTH_LIMIT = 256;

export interface RawEntry {
  readonly mode: string;
  readonly name: string;
  readonly id: string;
}

/** Reads tree objects by id, many at a time. */
export type ReadTrees = (ids: readonly string[]) => Promise<readonly Buffer[]>;

/** One tree object's entries. Throws `repository-corrupt`, and `repository-unsupported` for names no checkout would hold. */
export function parseTree(id: string, data: Buffer, idLength: number): RawEntry[] {
  const entries: RawEntry[] = [];
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at);
    const nul = data.indexOf(0, space);
    const end = nul + 1 + idLength;
    if (space < 0 || nul < 0 || end > data.length) throw corruptTree(id);
    const name = decodePath(data.subarray(space + 1, nul));
    if (name.includes('/')) throw unsafePath(name);
    refuseUnsafe(name);
    entries.push({
      mode: data.toString('latin1', at, space).padStart(6, '0'),
      name,
      id: data.toString('hex', nul + 1, end),
    });
    at = end;
  }
  return entries;
}

export function refuseUnsafe(path: string): void {
  if (isUnsafePath(path)) throw unsafePath(path);
}

/** The entry at `folder`, or null where there is none; the tree itself for ''. */
export async function entryAt(root: string, folder: string, read: Reader): Promise<RawEntry | null> {
  let entry: RawEntry = { mode: TREE, name: '', id: root };
  for (const part of normalizeFolder(folder).split('/').filter(Boolean)) {
    if (entry.mode !== TREE) return null;
    const [children] = await read([entry.id]);
    const child = children.find(({ name }) => name === part);
    if (!child) return null;
    entry = child;
  }
  return entry;
}

export type Reader = (ids: readonly string[]) => Promise<readonly RawEntry[][]>;

export function treeReader(read: ReadTrees, idLength: number): Reader {
  return async (ids) => (await read(ids)).map((data, i) => parseTree(ids[i], data, idLength));
}

/** Everything under `folder`, in byte order of paths. */
export async function listTree(root: string, folder: string, read: Reader): Promise<TreeEntry[]> {
  const path = normalizeFolder(folder);
  const start = await entryAt(root, path, read);
  if (!start) return [];
  const found: TreeEntry[] = [];
  await walk(path, null, start, read, (at, _old, entry) => {
    if (entry)
      found.push({ path: at, mode: entry.mode, id: entry.id, type: entry.mode === GITLINK ? 'commit' : 'blob' });
  });
  return found.toSorted(byPath);
}

/** What differs between two trees under `folder`, renames as a delete and an add, in byte order of paths. */
export async function diffTrees(
  base: string | null,
  head: string | null,
  folder: string,
  read: Reader,
): Promise<FileChange[]> {
  const path = normalizeFolder(folder);
  const before = base === null ? null : await entryAt(base, path, read);
  const after = head === null ? null : await entryAt(head, path, read);
  const found: FileChange[] = [];
  await walk(path, before, after, read, (at, old, entry) => {
    if (entry && old)
      found.push({ path: at, op: 'modify', mode: entry.mode, id: entry.id, oldMode: old.mode, oldId: old.id });
    else if (entry) found.push({ path: at, op: 'add', mode: entry.mode, id: entry.id });
    else if (old) found.push({ path: at, op: 'delete', mode: old.mode, id: old.id, oldMode: old.mode, oldId: old.id });
  });
  return found.toSorted(byPath);
}

const TREE = '040000';
const GITLINK = '160000';

interface Pair {
  readonly path: string;
  readonly before: RawEntry | null;
  readonly after: RawEntry | null;
}

/** Level by level, so that each level is one round trip however many folders it has. Equal ids are not descended into. */
async function walk(
  path: string,
  before: RawEntry | null,
  after: RawEntry | null,
  read: Reader,
  visit: (path: string, before: RawEntry | null, after: RawEntry | null) => void,
): Promise<void> {
  let level: Pair[] = split({ path, before, after }, visit);
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_LIMIT) {
      throw new CountersignError('repository-unsupported', `folders are nested deeper than ${DEPTH_LIMIT} levels`, {
        place: { file: level[0].path },
      });
    }
    const ids = level.flatMap((pair) => [pair.before, pair.after].flatMap((entry) => (entry ? [entry.id] : [])));
    const trees = await read(ids);
    const next: Pair[] = [];
    let at = 0;
    for (const pair of level) {
      const olds = new Map((pair.before ? trees[at++] : []).map((entry) => [entry.name, entry]));
      const news = pair.after ? trees[at++] : [];
      const below = (name: string): string => (pair.path === '' ? name : `${pair.path}/${name}`);
      for (const entry of news) {
        const old = olds.get(entry.name) ?? null;
        olds.delete(entry.name);
        if (old?.id === entry.id && old.mode === entry.mode) continue;
        next.push(...split({ path: below(entry.name), before: old, after: entry }, visit));
      }
      for (const old of olds.values()) next.push(...split({ path: below(old.name), before: old, after: null }, visit));
    }
    level = next;
  }
}

/** Visits what is no folder; returns the folders still to be read. A file that became a folder is both. */
function split(pair: Pair, visit: (path: string, before: RawEntry | null, after: RawEntry | null) => void): Pair[] {
  const oldTree = pair.before?.mode === TREE ? pair.before : null;
  const newTree = pair.after?.mode === TREE ? pair.after : null;
  const oldFile = oldTree ? null : pair.before;
  const newFile = newTree ? null : pair.after;
  if (oldFile || newFile) visit(pair.path, oldFile, newFile);
  return (oldTree || newTree) && oldTree?.id !== newTree?.id
    ? [{ path: pair.path, before: oldTree, after: newTree }]
    : [];
}

/** As git sorts: by bytes. UTF-16 order differs from byte order only with surrogates, so most pairs compare directly. */
function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  if (!/[^\x20-\x5b\x5d-\x7e]/.test(a.path + b.path)) return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
  return Buffer.compare(encodePath(a.path), encodePath(b.path));
}

function corruptTree(id: string): CountersignError {
  return new CountersignError('repository-corrupt', `tree ${id} cannot be read`, {
    remedy: 'Run git fsck in the repository',
  });
}

function unsafePath(path: string): CountersignError {
  return new CountersignError(
    'repository-unsupported',
    `the path ${JSON.stringify(path)} is one that Git refuses to check out`,
    {
      place: { file: path },
      remedy: 'Remove it from the history with git filter-repo, and set receive.fsckObjects on the server',
    },
  );
}
